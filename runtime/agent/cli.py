"""`lan-agent`: one process that is one agent."""

from __future__ import annotations

import functools
import gc
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from envs.command import run_command
from envs.errors import InputError
from envs.stopping import StopWish, cut_after
from envs.text import one_line
from runtime.identity.addresses import Address, check_distinct, parse_address
from runtime.logs import PATIENCE_S, capture_native_text, configure_logs, finish_logs

if TYPE_CHECKING:
    from runtime.agent.episodes import EpisodeTable
    from runtime.agent.policy import AgentPolicy

MAX_DATA_BYTES = 1 << 30
"""Writable memory of an agent, its threads' stacks included; it uses less than a tenth."""
MAX_COUNT = 1 << 16
"""Of episodes or calls at once."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
CUT_S = 2 * PATIENCE_S + 0.5
"""For the last lines of stdout and stderr, and a margin; after that, something hangs."""
HANGUPS: list[int] = []
"""Each SIGHUP that came before a loop could follow it."""

Config = TypeVar("Config")

log = logging.getLogger("lan.agent")

FollowModel = Callable[["EpisodeTable", Callable[[], None]], None]
"""Have the models of an agent's episodes changed from outside; the second argument stops the agent."""

DESCRIPTION = (
    "Serve one agent of a team over gRPC. It sees only its own observation and available actions, keeps "
    "its own memory, and answers with an action."
)


@dataclass(frozen=True, kw_only=True)
class ServingConfig:
    """Flags that lan-agent and lan-agents share."""

    model: Path
    """Model file that lan-export wrote."""
    model_sha256: str | None = None
    """Digest that the model file must have (64 hexadecimal digits)."""
    listen: str = "127.0.0.1:50051"
    """HOST:PORT to listen on; port 0 takes a free one."""
    insecure: bool = False
    """Listen on an address that other machines can reach, without encryption or identity."""
    tls_cert: str | None = None
    """The agent's certificate (PEM), issued for spiffe://lan/agent/<id>; {id} stands for the agent's id."""
    tls_key: str | None = None
    """The certificate's private key (PEM); {id} stands for the agent's id."""
    tls_ca: str | None = None
    """Certificate (PEM) of the authority that signed the game host's certificate."""
    max_episodes: int = 64
    """Episodes that may run at once."""
    episode_idle_s: float = 600.0
    """Forget an episode, and end a stream, after this many seconds without a request."""
    max_concurrent_rpcs: int = 64
    """Calls and streams that may be open at once."""
    grace_s: float = 5.0
    """Seconds that running calls have to finish after SIGTERM."""
    state_dir: Path | None = None
    """Keep memories in this directory, so that a restarted agent continues its episodes."""
    fsync: bool = False
    """With --state-dir: survive a loss of power too, at the price of a disk access per step."""
    metrics: str | None = None
    """HOST:PORT where Prometheus finds the metrics; of several agents, the first has this port."""
    health: str | None = None
    """HOST:PORT that answers health checks and nothing else, without TLS; ports as for --metrics."""
    log_json: bool = False
    """Log one JSON object per line."""
    reflection: bool = False
    """Answer gRPC reflection, so that clients can list the services."""


@dataclass(frozen=True, kw_only=True)
class AgentConfig(ServingConfig):
    """The flags of lan-agent."""

    agent_id: int
    """Which agent this is, 0 to n-1."""


def check_config(config: ServingConfig) -> Address:
    """The address to listen on; InputError when a flag cannot be used."""
    from runtime.identity.tls import tls_files

    address = parse_address(config.listen)
    has_tls = tls_files(config.tls_cert, config.tls_key, config.tls_ca) is not None
    if not address.is_loopback and not config.insecure and not has_tls:
        raise InputError(
            f"{address} can be reached from other machines, and the agent would answer anybody: give it "
            "--tls-cert, --tls-key and --tls-ca, listen on 127.0.0.1, or say --insecure if you mean it"
        )
    for flag in ("max_episodes", "max_concurrent_rpcs"):
        if not 1 <= getattr(config, flag) <= MAX_COUNT:
            raise InputError(f"--{flag.replace('_', '-')} must be at least 1 and at most {MAX_COUNT}")
    for flag in ("episode_idle_s", "grace_s"):
        if not 0 < getattr(config, flag) < 1e9:
            raise InputError(f"--{flag.replace('_', '-')} must be a number of seconds above 0")
    check_distinct([("--listen", address), *side_addresses(config).items()])
    if config.fsync and config.state_dir is None:
        raise InputError("--fsync says how to keep memories, but no --state-dir says where")
    return address


def side_addresses(config: ServingConfig, index: int = 0) -> dict[str, Address]:
    """Where the agent at place `index` answers beside --listen, by flag; InputError as `parse_address`."""
    addresses = {}
    for flag, text in (("--metrics", config.metrics), ("--health", config.health)):
        if text is not None:
            addresses[flag] = parse_address(text).offset(index)
            if addresses[flag].port == 0:
                raise InputError(f"{flag} {text}: nobody would learn which port is taken; choose one")
    return addresses


def run_agent(
    config: ServingConfig,
    agent_id: int,
    address: Address,
    model_bytes: bytes,
    on_ready: Callable[[Address, str], None],
    index: int = 0,
    follow: FollowModel | None = None,
) -> None:
    """Load the model, serve agent `agent_id` on `address`, and return after SIGTERM or SIGINT.

    `index` is the agent's place among those of one command, by which its metrics port is found. `follow` is
    called in the event loop, before the agent serves; without it, SIGHUP changes the model.
    `on_ready(address, digest)` is called when requests are answered. InputError as the loader and the server,
    ServingError when the agent cannot go on. Once it stops, the process is cut after the grace period and
    `CUT_S`.
    """
    stop_at_once_until_serving()
    import asyncio

    from runtime.agent.model_change import change_model, check_model
    from runtime.agent.policy import AgentPolicy
    from runtime.agent.server import STOP_S, ServerConfig, serve
    from runtime.agent.signals import call_on_signals
    from runtime.identity.tls import server_credentials, tls_files
    from runtime.model_file.metadata import read_model_file

    configure_logs(config.log_json, agent_id)
    if config.log_json or config.tls_cert is not None:
        capture_native_text()
    limit_resources()
    files = tls_files(config.tls_cert, config.tls_key, config.tls_ca, agent_id)

    model = check_model(model_bytes, str(config.model), config.model_sha256, [agent_id])
    table = make_table(config, AgentPolicy(model, agent_id))
    side = side_addresses(config, index)

    async def run() -> None:
        stop = asyncio.Event()
        calls: dict[int, Callable[[], object]] = dict.fromkeys(STOP_SIGNALS, stop.set)
        if follow is None:
            read = functools.partial(read_model_file, config.model)
            change = functools.partial(change_model, table, read, str(config.model), config.model_sha256)
            calls[signal.SIGHUP] = change
            if HANGUPS:
                change()
        else:
            follow(table, stop.set)
        call_on_signals(asyncio.get_running_loop(), calls, STOP_SIGNALS)
        limits = ServerConfig(
            max_concurrent_rpcs=config.max_concurrent_rpcs,
            grace_s=config.grace_s,
            reflection=config.reflection,
            metrics=side.get("--metrics"),
            health=side.get("--health"),
            credentials=None if files is None else server_credentials(files, agent_id),
        )
        gc.freeze()  # what stays anyway makes no later collection longer
        await serve(
            table, address, limits, on_ready=lambda bound: on_ready(bound, model.digest), stop=stop,
            on_stop=lambda: cut_after(config.grace_s + STOP_S + CUT_S),
        )  # fmt: skip

    try:
        asyncio.run(run())
    finally:
        finish_logs()


def stop_at_once_until_serving() -> None:
    """Until a loop handles signals: end with 0 when one says stop, and note each SIGHUP in `HANGUPS`.

    Nothing needs to be put in order then. Process 1 of a container gets only those signals that it handles.
    """

    def end(number: int, frame: object) -> None:
        finish_logs()
        os._exit(0)

    for number in STOP_SIGNALS:
        signal.signal(number, end)
    signal.signal(signal.SIGHUP, lambda number, frame: HANGUPS.append(number))


def limit_resources() -> None:
    """Bound the memory and forbid core dumps: a second wall, should something get past the checks."""
    for kind, most in ((resource.RLIMIT_DATA, MAX_DATA_BYTES), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def make_table(config: ServingConfig, policy: AgentPolicy) -> EpisodeTable:
    """The agent's episodes, including those that an earlier process left in the state directory."""
    from runtime.agent.episodes import EpisodeTable

    if config.state_dir is None:
        return EpisodeTable(policy, max_episodes=config.max_episodes, idle_s=config.episode_idle_s)
    from runtime.agent.journal import StateFile

    journal = StateFile(
        config.state_dir,
        policy.agent_id,
        n_actions=policy.spec.n_actions,
        max_episodes=config.max_episodes,
        fsync=config.fsync,
    )
    table = EpisodeTable(
        policy, max_episodes=config.max_episodes, idle_s=config.episode_idle_s, journal=journal
    )
    restored = table.restore(journal.restored, time.monotonic())
    if journal.restored:
        log.info("goes on with %d of %d episodes", restored, len(journal.restored))
    return table


def prepare_process(config: ServingConfig) -> None:
    """Set what numpy and gRPC read when they are loaded; call it before that."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads would do nothing, and forbid forking
    # With TLS, gRPC's own log says whose handshake failed and why; without, what fails is raised.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE" if config.tls_cert is None else "INFO")
    configure_logs(config.log_json)


def agent(config: AgentConfig) -> int:
    """Serve until a signal says stop."""
    prepare_process(config)
    from runtime.agent.server import ServingError
    from runtime.model_file.metadata import read_model_file

    address = check_config(config)

    def on_ready(bound: Address, digest: str) -> None:
        model = one_line(config.model)
        print(f"agent {config.agent_id} serves {model} ({digest[:12]}) on {bound}", flush=True)

    try:
        run_agent(config, config.agent_id, address, read_model_file(config.model), on_ready)
    except ServingError as error:
        log.critical("%s", error)
        return 1
    return 0


def serving_command(
    config_type: type[Config],
    run: Callable[[Config], int],
    *,
    prog: str,
    description: str,
    argv: Sequence[str] | None,
) -> int:
    """`run_command` for a process that serves: at once it can be stopped, and logs as its flags say."""
    stop_at_once_until_serving()
    configure_logs("--log-json" in (sys.argv[1:] if argv is None else argv))
    unheard = StopWish()  # signals are answered above, and then by whatever serves
    return run_command(config_type, run, prog=prog, description=description, argv=argv, stop=unheard)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 stopped by a signal, 1 it could not go on, 2 bad input."""
    return serving_command(AgentConfig, agent, prog="lan-agent", description=DESCRIPTION, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
