"""A supervisor whose children do what a scenario says: python -m tests.runtime.support.supervised SCENARIO

It prints `ready` and the children's process ids once all serve, and logs to stderr.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
import select
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import envs.processes
from runtime.agent import child
from runtime.agent.child import Child
from runtime.agent.lifeline import Lifeline
from runtime.agent.signals import SignalInbox
from runtime.agent.supervisor import SIGNALS, Supervisor
from runtime.identity.addresses import Address

LIVES = mmap.mmap(-1, 64)
"""How many processes each agent has had; all of them see it."""
READY_TIMEOUT_S = 1.0


def serve(agent_id: int, address: Address, line: Lifeline) -> None:
    """An agent that takes every offer and ends at SIGTERM, or when its parent has ended."""
    line.send("ready", f"h:{agent_id + 1}")
    while True:
        select.select([line], [], [])
        message = line.receive()
        if message is None:
            return
        line.send("took", message[1])


def ignore_sigterm(agent_id: int, address: Address, line: Lifeline) -> None:
    """An agent that only SIGKILL ends."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    serve(agent_id, address, line)


def hang_once(agent_id: int, address: Address, line: Lifeline) -> None:
    """Agent 0's second process never serves."""
    LIVES[agent_id] += 1
    if (agent_id, LIVES[agent_id]) == (0, 2):
        time.sleep(600)
    serve(agent_id, address, line)


def refuse_twice(agent_id: int, address: Address, line: Lifeline) -> None:
    """Agent 0 cannot take an offer before it has been made three times."""
    line.send("ready", f"h:{agent_id + 1}")
    for turn in range(1000):
        select.select([line], [], [])
        message = line.receive()
        if message is None:
            return
        if agent_id == 1 or turn == 2:
            line.send("took", message[1])


def leave_an_orphan(agent_id: int, address: Address, line: Lifeline) -> None:
    """An agent whose child outlives it, and ends later."""
    if os.fork() == 0:
        time.sleep(0.6)
        os._exit(0)
    line.send("ready", f"h:{agent_id + 1}")
    time.sleep(0.2)


def failing(owner: Any, name: str, error: Exception, after: int, times: int) -> None:
    """Let a function work `after` times and then fail `times` times, in this process."""
    real: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if after < calls <= after + times:
            raise error
        return real(*arguments, **named)

    setattr(owner, name, call)


def slow_fork() -> None:
    """Let a forked process sleep before its first instruction, as on a busy machine."""
    fork = os.fork

    def call() -> int:
        pid = fork()
        if pid == 0:
            time.sleep(0.1)
        return pid

    os.fork = call


def without_prctl() -> None:
    """As with a C library or a kernel that has no prctl."""
    envs.processes.ask_kernel = lambda number: False
    envs.processes.look_for_parent = lambda parent, number: None  # nor a thread: the line alone must do


FAILURES: dict[str, Callable[[], None]] = {
    "fork": lambda: failing(os, "fork", BlockingIOError(errno.EAGAIN, "no process"), 2, 3),
    "first fork": lambda: failing(os, "fork", BlockingIOError(errno.EAGAIN, "no process"), 0, 3),
    "descriptor": lambda: failing(socket, "socketpair", OSError(errno.EMFILE, "no descriptor"), 3, 3),
    "watch": lambda: failing(selectors.EpollSelector, "register", OSError(errno.ENOMEM, "no memory"), 3, 3),
    "memory": lambda: failing(os, "fork", MemoryError(), 2, 3),
    "slow fork": slow_fork,
    "no pidfd": lambda: delattr(os, "pidfd_open"),
    "no prctl": without_prctl,
}
AGENTS = {
    function.__name__: function
    for function in (serve, ignore_sigterm, hang_once, refuse_twice, leave_an_orphan)
}


def main(agent: str, failure: str = "") -> int:
    """Run two such agents under a supervisor; SIGHUP makes them an offer."""
    logging.basicConfig(format="%(message)s")
    if failure:
        FAILURES[failure]()
    child.FIRST_OFFER_PAUSE_S = 0.2
    offers = iter(range(1, 1000))
    children = [Child(agent_id, Address("h", agent_id + 1)) for agent_id in range(2)]
    with SignalInbox(SIGNALS) as signals:
        supervisor = Supervisor(children, AGENTS[agent], 0.2, signals, lambda: f"offer {next(offers)}")
        supervisor.start(READY_TIMEOUT_S)
        print("ready", *(f"process {child.pid}" for child in children), flush=True)
        return supervisor.run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
