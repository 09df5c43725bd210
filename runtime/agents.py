"""`lan-agents`: several agents on one machine, one process each."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import selectors
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from envs.command import InputError, run_command
from runtime.address import Address, parse_agent_ids
from runtime.agent import LimitsConfig, check_agent_id, check_limits, prepare_process, run_agent

DESCRIPTION = (
    "Serve several agents of a team on consecutive ports, one process each. Every agent has its own port, "
    "identity and memory; the processes are forked from one that has loaded the code once."
)
READY_TIMEOUT_S = 30.0
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, kw_only=True)
class AgentsConfig(LimitsConfig):
    """The flags of lan-agents."""

    agents: str
    """Agent ids, such as 0-5 or 0,2,4; the first listens on the port of --listen, each further one above."""


@dataclass
class Child:
    """One agent's process; `report` is the pipe on which it says `ready …` or what kept it from that."""

    agent_id: int
    address: Address
    pid: int = 0
    report: int = -1
    text: str = field(default="", compare=False)
    ready: bool = False


def spawn(child: Child, config: AgentsConfig, model_bytes: bytes) -> None:
    """Fork the child's process; it inherits the loaded code, and no channel, server or session."""
    if len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208
        raise RuntimeError("cannot fork with other threads running")
    read_end, write_end = os.pipe()
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    child.pid = os.fork()
    if child.pid == 0:
        os.close(read_end)
        run_child(child, config, model_bytes, write_end, parent)
    os.close(write_end)
    child.report = read_end


def run_child(child: Child, config: AgentsConfig, model_bytes: bytes, report: int, parent: int) -> NoReturn:
    """What the forked process does from its first to its last instruction."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before we asked to follow it
            os._exit(0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

        def on_ready(bound: Address, digest: str) -> None:
            os.write(report, f"ready {bound}".encode())
            os.close(report)

        run_agent(config, child.agent_id, child.address, model_bytes, on_ready)
        code = 0
    except InputError as error:
        os.write(report, str(error).encode())
        code = 2
    except BaseException:
        logging.getLogger("lan.agent").exception("agent %d failed", child.agent_id)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait_until_ready(children: list[Child]) -> None:
    """Return when every child answers requests; InputError with the first child's reason otherwise."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    with selectors.DefaultSelector() as selector:
        for child in children:
            selector.register(child.report, selectors.EVENT_READ, child)
        while selector.get_map():
            events = selector.select(max(0.0, deadline - time.monotonic()))
            if not events:
                raise InputError(f"the agents were not ready within {READY_TIMEOUT_S:.0f} s")
            for key, _ in events:
                child = key.data
                data = os.read(child.report, 65_536)
                child.text += data.decode(errors="replace")
                if not data:
                    selector.unregister(child.report)
                    os.close(child.report)
                    check_started(child)


def check_started(child: Child) -> None:
    """InputError unless the child said that it is ready before it closed its pipe."""
    if not child.text.startswith("ready "):
        raise InputError(f"agent {child.agent_id}: {child.text or 'its process ended; see its log above'}")
    child.ready = True


def supervise(children: list[Child], grace_s: float) -> int:
    """Wait for the children, passing SIGTERM and SIGINT on to them; 0 when they stopped because of that.

    A child that ends by itself is said on stderr; the others go on.
    """
    alive = {child.pid: child for child in children}
    stopping = False
    failed = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopping
        stopping = True
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        signal.setitimer(signal.ITIMER_REAL, grace_s + 2.0)

    def kill(number: int, frame: object) -> None:
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGALRM, kill)
    while alive:
        pid, status = os.wait()
        child = alive.pop(pid, None)
        if child is None:
            continue
        code = os.waitstatus_to_exitcode(status)
        if not stopping:
            failed = True
            print(f"lan-agents: agent {child.agent_id} (process {pid}) ended with {code}", file=sys.stderr)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return 1 if failed else 0


def terminate(children: list[Child]) -> None:
    """Stop the children that run, after a failed start."""
    for child in children:
        if child.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child.pid, 0)


def preload() -> None:
    """Import what every child needs, once, before any of it has started threads."""
    import runtime.server

    del runtime


def agents(config: AgentsConfig) -> int:
    """Start the agents, say which are up, and stay until a signal says stop."""
    prepare_process()
    from runtime.model import load_model_bytes, read_model_file

    address = check_limits(config)
    agent_ids = parse_agent_ids(config.agents)
    model_bytes = read_model_file(config.model)
    model = load_model_bytes(model_bytes, str(config.model), config.model_sha256)
    for agent_id in agent_ids:
        check_agent_id(agent_id, model.spec.n_agents)
    children = [Child(agent_id, address.offset(index)) for index, agent_id in enumerate(agent_ids)]
    preload()
    gc.collect()
    gc.freeze()  # keeps the collector from touching, and so copying, the pages that are shared
    try:
        for child in children:
            spawn(child, config, model_bytes)
        wait_until_ready(children)
    except BaseException:
        terminate(children)
        raise
    for child in children:
        print(f"agent {child.agent_id} {child.text} (process {child.pid})")
    print(f"{len(children)} agents serve {config.model} ({model.digest[:12]})", flush=True)
    return supervise(children, config.grace_s)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 stopped by a signal, 1 an agent failed, 2 bad input."""
    return run_command(AgentsConfig, agents, prog="lan-agents", description=DESCRIPTION, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
