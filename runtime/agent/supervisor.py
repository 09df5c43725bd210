"""Keeps several agents alive: each is a process forked from this one, started again when it dies.

The parent has loaded the code and stays on one thread, without a channel or a server, so that it can fork at
any time; everything it waits for (signals, deaths, messages) comes through one selector. What fails while it
starts or changes one child is logged and tried again later, and no other child notices.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from envs.errors import InputError, LanError
from envs.processes import end_with_parent
from envs.stopping import cut_after
from envs.text import one_line
from runtime.agent.child import Child, check_single_thread, describe_end
from runtime.agent.lifeline import Lifeline, lifeline
from runtime.agent.signals import SignalInbox
from runtime.identity.addresses import Address, parse_address
from runtime.logs import PATIENCE_S, finish_logs, tick_logs

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
KILL_AFTER_S = 2.0
"""Beyond the grace period, children that do not stop are killed."""
GIVE_UP_AFTER_S = 5.0
"""A killed child that the kernel has not ended by then (it hangs in a disk, say) is left behind."""
CUT_S = 2 * PATIENCE_S + 0.5
"""As an agent's; what holds up this process then is none of its children."""
LONGEST_WAIT_S = 60.0

log = logging.getLogger("lan.agents")

RunAgent = Callable[[int, Address, Lifeline], None]
"""Serve an agent on an address until a signal says stop; send `ready` with the address once it does serve."""


class Supervisor:
    """Starts the children, starts them again, passes offers and signals on, and stops them together."""

    def __init__(
        self,
        children: Sequence[Child],
        run_agent: RunAgent,
        grace_s: float,
        signals: SignalInbox,
        on_hangup: Callable[[], str] = lambda: "",
    ) -> None:
        """`on_hangup` is called on SIGHUP; it returns the offer that each child shall take, such as a model.

        A child forked later has the offer's content already. One that sends no `took` with the offer is asked
        again. `signals` keeps `SIGNALS`.
        """
        self.children = children
        self._on_hangup = on_hangup
        self._run_agent = run_agent
        self._grace_s = grace_s
        self._ready_timeout_s = 0.0
        self._selector = selectors.DefaultSelector()
        self._signals = signals
        self._selector.register(self._signals.reader, selectors.EVENT_READ)
        self._offer = ""
        self._has_hangup = False
        self._is_stopping = False
        self._was_ready = False

    def start(self, timeout_s: float) -> None:
        """Start every child and return when all are ready or a signal says stop.

        InputError with a child's reason, or when they are not ready in time. A child that is started again
        later has the same time.
        """
        self._ready_timeout_s = timeout_s
        deadline_s = time.monotonic() + timeout_s
        for child in self.children:
            child.restart_at_s = 0.0
        self._handle_signals()
        try:
            while not all(child.is_ready for child in self.children) and not self._is_stopping:
                if time.monotonic() > deadline_s:
                    late = [child for child in self.children if not child.is_ready]
                    names = "; ".join(f"{child.name} {child.text}".rstrip() for child in late)
                    raise InputError(f"not ready within {timeout_s:.0f} s: {names}")
                self._turn(deadline_s)
        except BaseException:
            self._kill_all()
            raise
        self._was_ready = True

    def run(self) -> int:
        """Stay until SIGTERM or SIGINT has stopped every child; 0, or 1 when some had to be killed."""
        kill_at_s: float | None = None
        while self._running() or not self._is_stopping:
            if self._is_stopping and kill_at_s is None:
                kill_at_s = time.monotonic() + self._grace_s + KILL_AFTER_S
                cut_after(self._grace_s + KILL_AFTER_S + GIVE_UP_AFTER_S + CUT_S)
            if kill_at_s is not None and time.monotonic() > kill_at_s:
                log.error("agents that did not stop are killed")
                self._kill_all()
                return 1
            if self._has_hangup and not self._is_stopping:
                self._has_hangup = False
                self._change_offer(self._on_hangup())
            self._turn(kill_at_s)
        return 0

    def _running(self) -> list[Child]:
        return [child for child in self.children if child.pid]

    def _turn(self, deadline_s: float | None) -> None:
        """Do what is due, wait for the next event or due time, and handle it; every signal is an event."""
        if not self._is_stopping:
            for child in self.children:
                self._do_what_is_due(child)
        longest_s = time.monotonic() + LONGEST_WAIT_S
        times = [longest_s if deadline_s is None else min(longest_s, deadline_s)]
        if not self._is_stopping:
            times += [at_s for child in self.children for at_s in child.due_times(self._offer)]
        for key, _ in self._selector.select(max(0.0, min(times) - time.monotonic()) + 0.001):
            if key.data is not None:
                self._hear(key.data)
        self._handle_signals()
        self._reap()
        tick_logs()

    def _do_what_is_due(self, child: Child) -> None:
        """Start the child, end a start that takes too long, or ask it to take what it has not taken yet."""
        now_s = time.monotonic()
        if child.restart_at_s is not None and child.restart_at_s <= now_s:
            self._spawn(child)
        elif child.ready_by_s is not None and child.ready_by_s <= now_s and self._was_ready:
            log.error("%s is not ready after %.0f s and is killed", child.name, self._ready_timeout_s)
            child.ready_by_s = now_s + self._ready_timeout_s
            child.send_signal(signal.SIGKILL)
        elif child.is_ready and child.offer != self._offer and child.offer_at_s <= now_s:
            if child.offer_at_s:
                log.error("%s goes on with what it had before, and is asked again to change", child.name)
            child.ask_to_take(self._offer)

    def _change_offer(self, offer: str) -> None:
        """Have every child take an offer; "" is none."""
        if offer and offer != self._offer:
            self._offer = offer
            for child in self.children:
                child.took(child.offer)  # forgets what it was asked before

    def _spawn(self, child: Child) -> None:
        """Fork the child's process; it inherits the loaded code, and no channel, server or session."""
        try:
            child.line, theirs = lifeline()
            try:
                self._selector.register(child.line, selectors.EVENT_READ, child)
                parent = os.getpid()
                with self._signals.held():
                    check_single_thread()
                    child.pid = os.fork()
                    if child.pid == 0:
                        self._be_child(child, theirs, parent)
            finally:
                theirs.close()
        except (OSError, MemoryError, RuntimeError) as error:
            self._drop_line(child)
            child.text = f"cannot be started: {error or type(error).__name__}"
            pause_s = child.plan_restart(was_steady=False)
            log.error("%s %s; next try in %.2f s", child.name, child.text, pause_s)
        else:
            child.begin(self._offer, self._ready_timeout_s)

    def _be_child(self, child: Child, line: Lifeline, parent: int) -> NoReturn:
        """What the forked process does from its first to its last instruction; no exception leaves it."""
        code = 1
        try:
            try:
                self._signals.forget()
                self._selector.close()
                for each in self.children:  # a copy would hide the parent's end from that child
                    if each.line is not None:
                        each.line.close()
                if end_with_parent(parent, signal.SIGTERM):
                    self._run_agent(child.agent_id, child.address, line)
                code = 0
            except LanError as error:
                line.send("failed", str(error))
                code = 2 if isinstance(error, InputError) else 1
            except BaseException:
                log.exception("agent %d failed", child.agent_id)
            finish_logs()
        finally:
            os._exit(code)

    def _hear(self, child: Child) -> bool:
        """Take the child's next message; False when there is none."""
        if child.line is None:
            return False
        try:
            message = child.line.receive()
        except BlockingIOError:
            return False
        if message is None:
            self._drop_line(child)
            return False
        word, text = message
        if word == "ready":
            with contextlib.suppress(InputError):  # whatever a broken child says, the others play on
                child.serves_at(parse_address(text))
            if self._was_ready:
                log.warning("agent %d serves again (process %d)", child.agent_id, child.pid)
        elif word == "took":
            child.took(text)
        elif word == "failed":
            child.text = one_line(text)
        return True

    def _reap(self) -> None:
        """Take note of every process that has ended; as process 1, we are left orphans of others too."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                for child in self.children:
                    if child.pid == ended[0]:
                        self._bury(child, os.waitstatus_to_exitcode(ended[1]))

    def _bury(self, child: Child, code: int) -> None:
        """Log that the child's process has ended, and plan its restart."""
        while self._hear(child):
            pass  # its last words
        self._drop_line(child)
        name, was_ready = child.name, child.is_ready
        child.end()
        if self._is_stopping:
            return
        if not self._was_ready:
            raise InputError(
                f"agent {child.agent_id}: {child.text or 'its process ended; see its log above'}"
            )
        pause_s = child.plan_restart(was_steady=was_ready)
        log.warning("%s %s; next start in %.2f s %s", name, describe_end(code), pause_s, child.text)

    def _handle_signals(self) -> None:
        """Pass SIGTERM and SIGINT on as SIGTERM, after which no child is started again."""
        arrived = self._signals.take()
        self._has_hangup |= signal.SIGHUP in arrived
        if arrived & {signal.SIGTERM, signal.SIGINT}:
            self._stop(signal.SIGTERM)

    def _stop(self, number: int) -> None:
        """End the children by a signal; none is started again."""
        self._is_stopping = True
        for child in self.children:
            child.restart_at_s = None
            child.send_signal(number)

    def _kill_all(self) -> None:
        """End every child now, and wait a while until the kernel has done so."""
        self._stop(signal.SIGKILL)
        end_s = time.monotonic() + GIVE_UP_AFTER_S
        while self._running() and time.monotonic() < end_s:
            self._turn(end_s)
        for child in self._running():
            log.error("%s cannot be ended and is left behind", child.name)

    def _drop_line(self, child: Child) -> None:
        if child.line is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(child.line)
            child.line.close()
            child.line = None
