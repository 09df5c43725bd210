"""Begins Ray on this machine, for this program alone, or joins a cluster at an address."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

from envs.errors import InputError
from envs.stopping import cut_if_longer
from envs.text import one_line

QUIET: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
REASON_CHARS = 200
KNOCK_S = 10.0
END_S = 60.0
"""Ray's own limits for its end add up to less."""


def require_ray(asking: str) -> None:
    """InputError, naming who asks for it, when Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise InputError(f"{asking} needs Ray: install it by pip install 'lan-smac[sweep]'")


def import_ray(asking: str) -> Any:
    """The ray module; InputError, naming who asks for it, when it is not installed."""
    require_ray(asking)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # no reports to Ray's makers
    os.environ["RAY_DISABLE_FAILURE_SIGNAL_HANDLER"] = "1"  # SIGTERM is answered here
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # tasks without a GPU keep what they see
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise InputError(f"{asking} needs Ray, which cannot be imported: {one_line(error)}") from None


def begin_ray(asking: str, n_cpus: int, **settings: Any) -> Any:
    """The ray module, with a Ray of `n_cpus` cores begun that only this user on this machine can reach.

    `settings` are further arguments of `ray.init`. InputError when Ray does not start, or can be reached from
    elsewhere.
    """
    keep_to_this_machine()
    ray = import_ray(asking)
    try:
        with hangup_ignored(), sigterm_kept():
            context = ray.init(
                "local", num_cpus=n_cpus, include_dashboard=False, _node_ip_address="127.0.0.1",
                **(QUIET | settings),
            )  # fmt: skip
    except Exception as error:  # Ray's own have no common base
        raise InputError(
            f"Ray, which {asking} needs, does not start on this machine: {reason(error)}"
        ) from None
    address = context.address_info["node_ip_address"]
    if address not in ("127.0.0.1", "::1"):
        end_ray(ray)
        raise InputError(
            f"Ray, which {asking} needs, would listen on {address}, where other machines reach it; "
            "set RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 before the program starts"
        )
    return ray


def join_ray(asking: str, address: str) -> Any:
    """The ray module, connected to the cluster at `address`; InputError when none answers in a minute."""
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")  # Ray's 20 last a quarter of an hour
    ray = import_ray(asking)
    try:
        knock(address)
        with sigterm_kept():
            ray.init(address, **QUIET)
    except Exception as error:  # Ray's own have no common base
        raise InputError(f"--ray-address {address}: no Ray cluster answers there: {reason(error)}") from None
    return ray


def knock(address: str) -> None:
    """OSError where nobody listens at HOST:PORT or ray://HOST:PORT; other addresses are Ray's to look up."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal() and int(port) < 1 << 16:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_S).close()


def end_ray(ray: Any) -> None:
    """End the Ray that was begun, or leave the cluster that was joined; the process is cut if that hangs.

    Call it after all was saved.
    """
    with cut_if_longer(END_S):
        ray.shutdown()


def running_ray() -> Any | None:
    """The ray module where this program is connected to a Ray already, else None."""
    ray: Any = sys.modules.get("ray")
    return ray if ray is not None and ray.is_initialized() else None


def is_alive(ray: Any) -> bool:
    """Whether the Ray that this program is connected to still runs; a wait for a dead one never ends."""
    node = importlib.import_module("ray._private.worker")._global_node
    if node is not None and any(node.all_processes.values()):  # begun here: these are our children
        return not node.dead_processes()
    own = ray.get_runtime_context().get_node_id()
    return any(known["NodeID"] == own and known["Alive"] for known in ray.nodes())


def keep_to_this_machine() -> None:
    """Have a Ray that is begun here listen on the loopback interface alone, and ask for a token.

    Ray takes `127.0.0.1` for the machine's address, which every host reaches, unless it was told before its
    import not to build clusters (`ray._private.services.get_node_ip_address`). The token keeps out other
    users of this machine; in the environment it needs no file in a home folder.
    """
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    if (constants := sys.modules.get("ray._private.ray_constants")) is not None:
        constants.ENABLE_RAY_CLUSTER = False  # type: ignore[attr-defined]
    else:  # after the import Ray has to notice the mode by itself, and does where it is not set
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


@contextlib.contextmanager
def hangup_ignored() -> Iterator[None]:
    """Processes that start in the block ignore SIGHUP: a closed terminal is for this program alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextlib.contextmanager
def sigterm_kept() -> Iterator[None]:
    """A program that answers SIGTERM goes on doing so in the block: `ray.init` would put its answer there."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        yield
        return
    utils: Any = importlib.import_module("ray._private.utils")
    theirs = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda handler: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = theirs


def reason(error: Exception) -> str:
    """Why Ray did not start, in one line that says what to do where that is known."""
    text = one_line(" ".join(str(error).split()) or type(error).__name__, REASON_CHARS)
    if "AF_UNIX" in text:
        folder = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
        return (
            f"its sockets' names would be too long in {folder}; set RAY_TMPDIR to a shorter folder, e.g. /tmp"
        )
    if "timed out during startup" in text:
        return "it was not up within the half minute that it gives itself, as on a busy machine; try again"
    if isinstance(error, ConnectionError | TimeoutError | socket.gaierror):
        return error.strerror or text
    if isinstance(error, OSError):
        where = f"{error.strerror}: {error.filename}" if error.filename else text
        return f"{where}; RAY_TMPDIR names the folder that it writes to"
    return text
