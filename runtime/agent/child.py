"""What the supervisor knows of one agent's process."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from runtime.agent.lifeline import Lifeline
from runtime.backoff import growing_pauses
from runtime.identity.addresses import Address

FIRST_BACKOFF_S = 0.02
MAX_BACKOFF_S = 5.0
STEADY_S = 1.0
"""A child that served and lived at least this long is started again at once when it dies."""
FIRST_OFFER_PAUSE_S = 2.0
MAX_OFFER_PAUSE_S = 30.0


def restart_pauses() -> Iterator[float]:
    """Seconds to wait before a child that keeps dying young is started again."""
    return growing_pauses(FIRST_BACKOFF_S, MAX_BACKOFF_S)


def offer_pauses() -> Iterator[float]:
    """Seconds that a child has to take an offer before it is asked again."""
    return growing_pauses(FIRST_OFFER_PAUSE_S, MAX_OFFER_PAUSE_S)


@dataclass
class Child:
    """One agent's process, or the gap between two of them; `pid` is 0 in the gap."""

    agent_id: int
    address: Address
    pid: int = 0
    line: Lifeline | None = field(default=None, repr=False)
    text: str = field(default="", repr=False)
    """Why it does not serve, as far as it has told."""
    is_ready: bool = False
    started_s: float = 0.0
    ready_by_s: float | None = None
    restart_at_s: float | None = None
    pauses: Iterator[float] = field(default_factory=restart_pauses, repr=False)
    offer: str = field(default="", repr=False)
    """The last offer that it took."""
    offer_at_s: float = 0.0
    """When it is asked again to take the supervisor's offer; 0 before it was asked."""
    offer_waits: Iterator[float] = field(default_factory=offer_pauses, repr=False)

    @property
    def name(self) -> str:
        """The agent and its process, for logs."""
        return f"agent {self.agent_id} (process {self.pid})" if self.pid else f"agent {self.agent_id}"

    def begin(self, offer: str, ready_timeout_s: float) -> None:
        """A process has been forked; it has the content of `offer`."""
        self.text, self.is_ready = "", False
        self.started_s = time.monotonic()
        self.restart_at_s, self.ready_by_s = None, self.started_s + ready_timeout_s
        self.took(offer)

    def serves_at(self, address: Address) -> None:
        """The process serves; where port 0 has become a real one, the next process takes that again."""
        self.is_ready, self.ready_by_s, self.address = True, None, address

    def took(self, offer: str) -> None:
        """The process has taken an offer."""
        self.offer, self.offer_at_s, self.offer_waits = offer, 0.0, offer_pauses()

    def ask_to_take(self, offer: str) -> None:
        """Send the process an offer, and note when to ask again."""
        if self.line is not None:
            self.line.send("offer", offer)
        self.offer_at_s = time.monotonic() + next(self.offer_waits)

    def end(self) -> None:
        """The process has ended."""
        self.pid, self.is_ready, self.ready_by_s = 0, False, None

    def plan_restart(self, *, was_steady: bool) -> float:
        """Note when to start a process again, and return the seconds until then."""
        now_s = time.monotonic()
        if was_steady and now_s - self.started_s >= STEADY_S:
            self.pauses, pause_s = restart_pauses(), 0.0
        else:
            pause_s = next(self.pauses)
        self.restart_at_s = now_s + pause_s
        return pause_s

    def due_times(self, offer: str) -> list[float]:
        """The times at which something is to be done for the child."""
        offer_at_s = self.offer_at_s if self.is_ready and self.offer != offer else None
        return [at_s for at_s in (self.restart_at_s, self.ready_by_s, offer_at_s) if at_s is not None]

    def send_signal(self, number: int) -> None:
        """Send the process a signal; nobody else can have its id before we have taken note of its end."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def describe_end(code: int) -> str:
    """How a process ended, in words."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with {code}"


def check_single_thread() -> None:
    """RuntimeError when other threads run: a fork would copy whatever they hold locked."""
    with contextlib.suppress(FileNotFoundError):  # without /proc nobody can tell
        if len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208
            raise RuntimeError("other threads are running")
