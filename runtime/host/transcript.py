"""What the game host keeps of its conversation with one agent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class LinkCounts:
    """What happened on a link so far.

    Steps asked for, steps not answered in time, connections made again, and steps that had been answered and
    were taken once more because the agent had lost its memory of them.
    """

    steps: int = 0
    fallbacks: int = 0
    reconnects: int = 0
    replayed_steps: int = 0


@dataclass
class Transcript:
    """The running episode: its requests so far, and how many of them the agent has answered."""

    episode_id: str = ""
    requests: list[Any] = field(default_factory=list)
    answered_steps: int = 0
