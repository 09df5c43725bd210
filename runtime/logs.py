"""How the runtime's commands log: lines for people, or one JSON object per event, at a bounded rate."""

from __future__ import annotations

import atexit
import datetime
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

from envs.text import one_line
from runtime.native_text import NativeText
from runtime.outlets import LineStream, Outlet, hold_standard_descriptors, never_wait

log = logging.getLogger("lan")

TEXT_FORMAT = "%(asctime)s %(name)s %(message)s"
EVENT_FIELDS = ("agent_id", "code", "reason", "field", "peer")
"""Facts that an event may carry beside its text, given as `extra` to the logging call."""
PATIENCE_S = 1.0
"""How long the end of a process waits for its reader."""
BURST = 20
"""Events of one place and reason within `BURST_S` seconds that are logged one by one; more are counted."""
BURST_S = 10.0


class JsonFormatter(logging.Formatter):
    """One JSON object per event: time (UTC), level, logger, event, and the facts that it carries."""

    def __init__(self, agent_id: int | None = None) -> None:
        super().__init__()
        self.agent_id = agent_id

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        event: dict[str, object] = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if self.agent_id is not None:
            event["agent_id"] = self.agent_id
        event |= {name: getattr(record, name) for name in EVENT_FIELDS if getattr(record, name, "") != ""}
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, default=str)


class TextFormatter(logging.Formatter):
    """One line per event; an exception follows on indented lines, so that none looks like an event."""

    def __init__(self, agent_id: int | None = None) -> None:
        super().__init__(TEXT_FORMAT)
        self._name = "" if agent_id is None else f"agent {agent_id}: "

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The event's line, whatever others wrote into it."""
        record.message = self._name + one_line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802
        """The exception's lines."""
        text = super().formatException(ei)  # type: ignore[arg-type]
        return "\n".join(f"    {one_line(line)}" for line in text.splitlines())


class Bursts(logging.Filter):
    """Lets the first events of a burst through, and counts the rest, so that no client can fill a log."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._seen: dict[tuple[object, ...], list[float]] = {}  # since when, and how many
        self._latest: dict[tuple[object, ...], logging.LogRecord] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the event is logged."""
        if getattr(record, "is_count", False) or record.name == "stderr":
            return True
        key = (record.pathname, record.lineno, getattr(record, "reason", ""))
        since_s, count = self._seen.get(key, (0.0, 0))
        if not count or self._now() - since_s >= BURST_S:
            self._report(key)
            since_s, count = self._now(), 0
        self._seen[key] = [since_s, count + 1]
        self._latest[key] = record
        return count < BURST

    def report(self, everything: bool = False) -> None:
        """Log how many events were only counted, of bursts that are over or of all."""
        for key, (since_s, _) in list(self._seen.items()):
            if everything or self._now() - since_s >= BURST_S:
                self._report(key)

    def clear(self) -> None:
        """Forget all bursts."""
        self._seen.clear()
        self._latest.clear()

    def _report(self, key: tuple[object, ...]) -> None:
        _, count = self._seen.pop(key, (0.0, 0))
        record = self._latest.pop(key, None)
        if record is not None and count > BURST:
            logging.getLogger(record.name).log(
                record.levelno,
                "%d more within %g s, the last: %s",
                int(count) - BURST,
                BURST_S,
                record.getMessage(),
                extra={"reason": getattr(record, "reason", ""), "is_count": True},
            )


OUTLETS: dict[int, Outlet] = {}
"""By descriptor: 1 and 2, once `configure_logs` was called."""
bursts = Bursts()
native: NativeText | None = None


def configure_logs(as_json: bool, agent_id: int | None = None) -> None:
    """Log to stderr, and print, without ever waiting; with `agent_id`, every event names the agent.

    With `as_json` all that is written to stderr is a JSON object a line: uncaught exceptions, warnings and
    prints too. Call it before anything else opens files, and again in a process that was forked.
    """
    if not OUTLETS:
        hold_standard_descriptors()
        for fd in (1, 2):
            never_wait(fd)
            OUTLETS[fd] = Outlet(fd)
        atexit.register(finish_logs)
        os.register_at_fork(after_in_child=forget_logs)
    handler = OutletHandler(OUTLETS[2])
    handler.setFormatter(JsonFormatter(agent_id) if as_json else TextFormatter(agent_id))
    handler.addFilter(bursts)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    errors = logging.getLogger("stderr")
    plain = lambda line: OUTLETS[2].write(line + "\n")  # noqa: E731
    sys.stdout = LineStream(OUTLETS[1], lambda line: OUTLETS[1].write(line + "\n"))
    sys.stderr = LineStream(OUTLETS[2], errors.error if as_json else plain)
    sys.excepthook = log_uncaught
    threading.excepthook = lambda args: log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


class OutletHandler(logging.Handler):
    """Writes events to an outlet."""

    def __init__(self, outlet: Outlet) -> None:
        super().__init__()
        self._outlet = outlet

    def emit(self, record: logging.LogRecord) -> None:
        """Write one event."""
        try:
            self._outlet.write(self.format(record) + "\n")
        except Exception:
            self.handleError(record)


def log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """Log an exception that nobody has caught."""
    log.critical("an unexpected error", exc_info=(kind, error or kind(), trace))


def capture_native_text() -> None:
    """Log what libraries in C write to stderr; call it in the process that serves, after a fork."""
    global native
    if native is None:
        native = NativeText(OUTLETS[2])


def forget_logs() -> None:
    """Drop what is kept, which the parent of this process writes."""
    bursts.clear()
    for outlet in OUTLETS.values():
        outlet.forget()


def tick_logs() -> None:
    """Log what was only noted so far, and write what is kept; call it now and then."""
    if native is not None:
        native.log()
    bursts.report()
    for outlet in OUTLETS.values():
        if outlet.flush() and outlet.dropped:
            lost, outlet.dropped = outlet.dropped, 0
            log.warning("%d lines could not be written", lost)


def finish_logs() -> None:
    """Write the last lines: call it where a process ends without Python's own clean-up."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if native is not None:
        native.log()
    bursts.report(everything=True)
    for outlet in OUTLETS.values():
        outlet.finish(PATIENCE_S)
