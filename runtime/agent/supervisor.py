"""Keeps several agents alive: each is a process forked from this one, started again when it dies.

The parent has loaded the code and stays on one thread, without a channel or a server, so that it can fork at
any time; everything it waits for (signals, deaths, first words) comes through one selector.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from envs.errors import InputError
from envs.processes import end_with_parent
from runtime.backoff import growing_pauses
from runtime.identity.addresses import Address

FIRST_BACKOFF_S = 0.02
MAX_BACKOFF_S = 5.0
STEADY_S = 1.0
"""A child that lived at least this long is started again at once when it dies."""
KILL_AFTER_S = 2.0
"""Beyond the grace period, children that do not stop are killed."""

log = logging.getLogger("lan.agents")

RunAgent = Callable[[int, Address, Callable[[str], None]], None]
"""Serve an agent on an address until a signal says stop, and call back with a text once it does serve."""


def restart_pauses() -> Iterator[float]:
    """Seconds to wait before a child that keeps dying young is started again."""
    return growing_pauses(FIRST_BACKOFF_S, MAX_BACKOFF_S)


@dataclass
class Child:
    """One agent's process, or the gap between two of them."""

    agent_id: int
    address: Address
    pid: int = 0
    pidfd: int = -1
    report: int = -1
    text: str = field(default="", repr=False)
    is_ready: bool = False
    started_s: float = 0.0
    restart_at_s: float | None = None
    pauses: Iterator[float] = field(default_factory=restart_pauses, repr=False)
    restarts: int = 0

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self.pid != 0


class Supervisor:
    """Starts the children, starts them again, passes signals on, and stops them together."""

    def __init__(
        self,
        children: Sequence[Child],
        run_agent: RunAgent,
        grace_s: float,
        on_hangup: Callable[[], bool] = lambda: False,
    ) -> None:
        """`on_hangup` is called on SIGHUP; when it returns True, the children get SIGHUP too."""
        self.children = children
        self._on_hangup = on_hangup
        self._run_agent = run_agent
        self._grace_s = grace_s
        self._selector = selectors.DefaultSelector()
        self._signals: list[int] = []
        self._is_stopping = False
        self._was_ready = False

    def start(self, timeout_s: float) -> None:
        """Start every child and return when all are ready; InputError with a child's reason otherwise."""
        self._listen_to_signals()
        try:
            for child in self.children:
                self._spawn(child)
            deadline_s = time.monotonic() + timeout_s
            while not all(child.is_ready for child in self.children) and not self._has_stop_signal():
                if time.monotonic() > deadline_s:
                    raise InputError(f"the agents were not ready within {timeout_s:.0f} s")
                self._turn(deadline_s)
        except BaseException:
            self._kill_all()
            raise
        self._was_ready = True

    def run(self) -> int:
        """Stay until SIGTERM or SIGINT has stopped every child; 0, or 1 when some had to be killed."""
        kill_at_s: float | None = None
        code = 0
        while any(child.is_running for child in self.children) or not self._is_stopping:
            self._handle_signals()
            if self._is_stopping and kill_at_s is None:
                kill_at_s = time.monotonic() + self._grace_s + KILL_AFTER_S
            if kill_at_s is not None and time.monotonic() > kill_at_s:
                log.error("agents that did not stop are killed")
                self._kill_all()
                code = 1
            self._restart_due()
            self._turn(kill_at_s)
        return code

    def _turn(self, deadline_s: float | None) -> None:
        """Wait for the next event or due time, and handle it."""
        times = [child.restart_at_s for child in self.children] + [deadline_s]
        due = min((at for at in times if at is not None), default=None)
        timeout = None if due is None else max(0.0, due - time.monotonic()) + 0.001
        for key, _ in self._selector.select(timeout):
            key.data()

    def _spawn(self, child: Child) -> None:
        """Fork the child's process; it inherits the loaded code, and no channel, server or session."""
        if len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208
            raise RuntimeError("cannot fork with other threads running")
        child.report, report = os.pipe()
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        child.pid = os.fork()
        if child.pid == 0:
            self._selector.close()
            self._be_child(child, report, parent)
        os.close(report)
        child.pidfd = os.pidfd_open(child.pid)
        child.text, child.is_ready = "", False
        child.started_s, child.restart_at_s = time.monotonic(), None
        self._selector.register(child.report, selectors.EVENT_READ, lambda: self._hear(child))
        self._selector.register(child.pidfd, selectors.EVENT_READ, lambda: self._bury(child))

    def _be_child(self, child: Child, report: int, parent: int) -> NoReturn:
        """What the forked process does from its first to its last instruction."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            if not end_with_parent(parent, signal.SIGTERM):
                os._exit(0)

            def on_ready(text: str) -> None:
                os.write(report, f"ready {text}".encode())
                os.close(report)

            self._run_agent(child.agent_id, child.address, on_ready)
            code = 0
        except InputError as error:
            os.write(report, str(error).encode())
            code = 2
        except BaseException:
            log.exception("agent %d failed", child.agent_id)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _hear(self, child: Child) -> None:
        """Read the child's report from its pipe, until it closes the pipe."""
        data = os.read(child.report, 65_536)
        child.text += data.decode(errors="replace")
        if data:
            return
        self._close_report(child)
        child.is_ready = child.text.startswith("ready ")
        if self._was_ready and child.is_ready:
            log.warning("agent %d serves again (process %d)", child.agent_id, child.pid)

    def _bury(self, child: Child) -> None:
        """Log that the child's process has ended, and plan its restart."""
        _, status = os.waitpid(child.pid, 0)
        if child.report >= 0:
            self._hear(child)
        if child.report >= 0:  # the first read took the child's last words; this one meets the end
            self._hear(child)
        self._selector.unregister(child.pidfd)
        os.close(child.pidfd)
        pid, child.pid, child.pidfd = child.pid, 0, -1
        if self._is_stopping or self._has_stop_signal():
            return
        why = "" if child.is_ready else child.text
        if not self._was_ready:
            raise InputError(f"agent {child.agent_id}: {why or 'its process ended; see its log above'}")
        child.is_ready = False
        now_s = time.monotonic()
        if now_s - child.started_s >= STEADY_S:
            child.pauses, delay_s = restart_pauses(), 0.0
        else:
            delay_s = next(child.pauses)
        child.restart_at_s = now_s + delay_s
        what = describe_end(os.waitstatus_to_exitcode(status))
        log.warning(
            "agent %d (process %d) %s; next start in %.2f s %s", child.agent_id, pid, what, delay_s, why
        )

    def _restart_due(self) -> None:
        """Start the children whose pause is over."""
        for child in self.children:
            due = child.restart_at_s is not None and child.restart_at_s <= time.monotonic()
            if due and not self._is_stopping:
                child.restarts += 1
                self._spawn(child)

    def _listen_to_signals(self) -> None:
        """Let signals wake the selector; they are handled between two turns."""
        read_end, write_end = socket.socketpair()
        for end in (read_end, write_end):
            end.setblocking(False)
        signal.set_wakeup_fd(write_end.fileno())
        self._ends = (read_end, write_end)
        self._selector.register(read_end, selectors.EVENT_READ, lambda: read_end.recv(4096))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda received, frame: self._signals.append(received))

    def _handle_signals(self) -> None:
        """Pass signals on: SIGTERM and SIGINT as SIGTERM, after which no child is started again."""
        received, self._signals = self._signals, []
        if signal.SIGHUP in received and self._on_hangup():
            self._send(signal.SIGHUP)
        if any(number != signal.SIGHUP for number in received):
            self._is_stopping = True
            for child in self.children:
                child.restart_at_s = None
            self._send(signal.SIGTERM)

    def _has_stop_signal(self) -> bool:
        return any(number != signal.SIGHUP for number in self._signals)

    def _send(self, number: int) -> None:
        for child in self.children:
            if child.is_running:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(child.pidfd, number)

    def _kill_all(self) -> None:
        """End every child now."""
        self._is_stopping = True
        self._send(signal.SIGKILL)
        for child in self.children:
            if child.is_running:
                self._bury(child)

    def _close_report(self, child: Child) -> None:
        self._selector.unregister(child.report)
        os.close(child.report)
        child.report = -1


def describe_end(code: int) -> str:
    """How a process ended, in words."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with {code}"
