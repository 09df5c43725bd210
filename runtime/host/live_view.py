"""What `lan-play --watch` tells its viewers: the battle that is played, and how each agent is reached.

The game only notes what was played. Viewers ask from threads of their own and read those notes, five times a
second at most; what one of them is told is kept for the others.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from envs.types import FloatArray, IntArray, MultiAgentEnv, TimeStep
from runtime.host.agent_link import AgentLink
from runtime.host.game import EpisodeResult

if TYPE_CHECKING:
    from envs.battle.recorded import RecordedBattle
    from envs.smac.shown import ShowsUnits

TICK_S = 0.2
TEAM_S = 0.4
"""How often viewers hear of the agents."""


@dataclass(frozen=True)
class Seen:
    """How much a viewer has: of which battle how many steps, the end that it was told, when it last heard."""

    battle: int = 0
    steps: int = 0
    end: str = ""
    team_tick: int = -1


class LiveView:
    """Notes battles as a `Watcher` of the game, and words them as server-sent events for viewers.

    `begin`, `step`, `note` and `join` are the game's; the rest may be called from any thread.
    """

    def __init__(self, episodes: int) -> None:
        self.wanted, self.is_over = episodes, False
        self.game = secrets.token_hex(8)
        """The name of this run of battles, which no other has."""
        self._env: ShowsUnits | None = None
        self._links: Sequence[AgentLink] = ()
        self._enemies: Sequence[AgentLink] = ()
        self._played = self._won = 0
        self._current: tuple[int, RecordedBattle | None] = 0, None  # set at once, so that nobody sees half
        self._lock = threading.Lock()
        self._tick = -1
        self._battle: RecordedBattle | None = None  # of this tick, of which viewers are told
        self._frozen = 0, 0, ""  # its number, its steps and its end
        self._told: dict[tuple[int, int], bytes] = {}  # of this tick, by what the viewer had
        self._team = b""

    def join(self, env: MultiAgentEnv, links: Sequence[AgentLink], enemies: Sequence[AgentLink]) -> None:
        """The game that is going to be watched, and the agents on both sides."""
        self._env = cast("ShowsUnits", env)
        self._links, self._enemies = links, enemies

    def begin(self, step: TimeStep) -> None:
        """A battle begins."""
        from envs.battle.recorded import RecordedBattle

        if self._env is not None:
            self._current = self._current[0] + 1, RecordedBattle(self._env, 0, step)

    def step(self, step: TimeStep, actions: IntArray, advantages: FloatArray) -> None:
        """A step was played."""
        battle = self._current[1]
        if self._env is not None and battle is not None:
            battle.step(self._env, step, actions[0], advantages[0])

    def note(self, result: EpisodeResult) -> None:
        """A battle counts."""
        self._played, self._won = self._played + 1, self._won + result.won

    def news(self, seen: Seen) -> tuple[bytes, Seen]:
        """The events that a viewer lacks, and what it has with them."""
        with self._lock:
            self._look()
            number, steps, end = self._frozen
            events = b"" if seen.team_tick >= 0 else event("game", {"game": self.game})
            if (seen.battle, seen.steps, seen.end) != (number, steps, end) and number:
                first = seen.steps if seen.battle == number else -1
                key = number, first
                if key not in self._told:
                    self._told[key] = self._battle_event(first, steps)
                events += self._told[key]
            team_tick = int(self._tick * TICK_S / TEAM_S)
            if team_tick != seen.team_tick or self.is_over:
                events += self._team
            return events, Seen(number, steps, end, team_tick)

    def _look(self) -> None:
        """Look at the battle and at the agents, once a tick; everybody is told the same."""
        tick = int(time.monotonic() / TICK_S)
        if tick == self._tick and not self.is_over:
            return
        self._tick, self._told = tick, {}
        number, battle = self._current
        self._battle = battle
        self._frozen = (0, 0, "") if battle is None else (number, battle.steps, battle.end)
        self._team = event("team", self._team_data())

    def _battle_event(self, first: int, steps: int) -> bytes:
        """The battle so far, or what followed step `first`."""
        assert self._battle is not None
        if first < 0:
            return event("battle", self._battle.data(steps))
        return event("news", self._battle.news(first, steps))

    def _team_data(self) -> dict[str, Any]:
        now_s = time.monotonic()
        return {
            "agents": [link_data(link, now_s) for link in self._links],
            "enemies": [link_data(link, now_s) for link in self._enemies],
            "played": self._played,
            "won": self._won,
            "wanted": self.wanted,
            "over": self.is_over,
        }


def link_data(link: AgentLink, now_s: float) -> dict[str, Any]:
    """How an agent is reached, for the page: its process by its address, and how it answered."""
    asked_s, latency_ms = link.asked_s, link.latency_ms  # which the game may change meanwhile
    return {
        "address": str(link.address),
        "lost": link.why_lost if link.is_lost else None,
        "waits_s": 0.0 if asked_s is None else round(now_s - asked_s, 2),
        "latency_ms": None if latency_ms is None else round(latency_ms, 2),
        "steps": link.counts.steps,
        "missed": link.counts.fallbacks,
        "reconnects": link.counts.reconnects,
    }


def event(name: str, data: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'), allow_nan=False)}\n\n".encode()
