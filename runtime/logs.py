"""How the runtime's commands log: lines for people, or one JSON object per event."""

from __future__ import annotations

import datetime
import json
import logging
import sys

TEXT_FORMAT = "%(asctime)s %(name)s %(message)s"
EVENT_FIELDS = ("agent_id", "code", "reason", "field")
"""Facts that an event may carry beside its text, given as `extra` to the logging call."""


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


def configure_logs(as_json: bool, agent_id: int | None = None) -> None:
    """Log to stderr; with `agent_id`, every line names the agent."""
    handler = logging.StreamHandler(sys.stderr)
    if as_json:
        handler.setFormatter(JsonFormatter(agent_id))
    else:
        name = "" if agent_id is None else f"agent {agent_id}: "
        handler.setFormatter(logging.Formatter(TEXT_FORMAT.replace("%(message)s", f"{name}%(message)s")))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
