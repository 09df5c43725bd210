"""Plays battles in games that may be lost: the part that `Sc2Env` and `OfficialEnv` share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from envs.errors import EpisodeLostError
from envs.sc2.client import LostGameError
from envs.sc2.failures import Failures
from envs.slots import BatchEnv, check_actions
from envs.smac.actions import IDLE
from envs.smac.maps import SmacMap
from envs.types import BoolArray, IntArray, TimeStep


class Slot(Protocol):
    """One battle and its game."""

    def begin(self) -> None:
        """Start a battle, in a new game where there is none; LostGameError."""
        ...

    def play(self, actions: list[int]) -> None:
        """One step with available actions [N]; LostGameError."""
        ...

    def kill(self) -> None:
        """End a lost game at once."""
        ...

    def close(self) -> None:
        """End the game; calling it twice is harmless."""
        ...


AnySlot = TypeVar("AnySlot", bound=Slot)


class Verdict(NamedTuple):
    """The outcome of one step of one battle."""

    reward: float
    terminated: bool
    truncated: bool
    won: bool


class LiveEnv(BatchEnv, Generic[AnySlot]):
    """B battles in `_slots`, which a subclass makes. It also fills in the arrays of `_shown`, the last step.

    `reset` and `step` raise InputError with the game's own words after several lost games in a row.
    """

    idle_actions = IDLE
    _slots: Sequence[AnySlot]

    def __init__(self, smac_map: SmacMap, n_battles: int) -> None:
        super().__init__(smac_map.spec, n_battles)
        B, N, spec = n_battles, smac_map.n_agents, smac_map.spec
        avail_actions = np.zeros((B, N, spec.n_actions), np.bool_)
        avail_actions[:, :, 0] = True
        self._shown = TimeStep(
            obs=np.zeros((B, N, spec.obs_dim), np.float32),
            state=np.zeros((B, spec.state_dim), np.float32),
            avail_actions=avail_actions,
            reward=np.zeros(B, np.float32),
            terminated=np.ones(B, np.bool_),  # nothing has begun
            truncated=np.zeros(B, np.bool_),
            won=np.zeros(B, np.bool_),
        )
        self.failures = Failures(smac_map.name)
        self._episodes = np.full(B, -1)

    @property
    def episodes(self) -> IntArray:
        """[B] number of the episode that each slot plays, -1 before the first."""
        return self._episodes.copy()

    @abstractmethod
    def _judge(self, b: int) -> Verdict:
        """The outcome of the step that slot `b` just played."""

    @abstractmethod
    def _show(self, b: int) -> None:
        """Fill in obs, state and avail_actions of slot `b`."""

    def reset(self, mask: BoolArray | None = None) -> TimeStep:
        """Start the next episodes in the slots of `mask` [B] (all when None); the others stay as they are."""
        chosen, shown = self._chosen(mask), self._shown
        for b in np.flatnonzero(chosen).tolist():
            self._begin(self._slots[b])
            shown.terminated[b] = shown.truncated[b] = shown.won[b] = False
            self._show(b)
        count = int(chosen.sum())
        self._episodes[chosen] = np.arange(self.next_episode, self.next_episode + count)
        self.next_episode += count
        shown.reward[:] = 0
        return shown.copied()

    def _begin(self, slot: AnySlot) -> None:
        """Start a battle, after a loss in a new game; InputError after too many losses."""
        while True:
            try:
                return slot.begin()
            except LostGameError as error:
                slot.kill()
                self.failures.note(error)

    def step(self, actions: IntArray) -> TimeStep:
        """Play one step of every battle that has not ended; actions [B, N].

        ValueError naming battle, agent and action when one is not available; then no battle is advanced.
        EpisodeLostError when games were lost: then no battle of this round counts, and all have to be reset.
        """
        shown = self._shown
        live = ~shown.done
        actions = check_actions(actions, shown.avail_actions, live)
        running = np.flatnonzero(live).tolist()
        if lost := self._play(running, actions):
            self._lose(lost)
        shown.reward[:] = 0
        for b in running:
            verdict = self._judge(b)
            shown.reward[b], shown.terminated[b], shown.truncated[b], shown.won[b] = verdict
            if shown.done[b]:
                self.failures.forget()
            self._show(b)
        return shown.copied()

    def _play(self, running: list[int], actions: IntArray) -> dict[int, LostGameError]:
        """One step of every slot in `running`; the losses by slot."""
        lost: dict[int, LostGameError] = {}
        for b in running:
            try:
                self._slots[b].play(actions[b].tolist())
            except LostGameError as error:
                lost[b] = error
        return lost

    def _lose(self, lost: dict[int, LostGameError]) -> None:
        """End the round: games that were lost are killed, and no battle goes on."""
        shown = self._shown
        shown.terminated[:], shown.truncated[:], shown.won[:] = True, False, False
        for b in lost:
            self._slots[b].kill()
        for error in lost.values():
            self.failures.note(error)
        slots = np.isin(np.arange(self.n_battles), list(lost))
        reason = "; ".join(str(error) for error in lost.values())
        raise EpisodeLostError(slots, reason) from next(iter(lost.values()))

    def close(self) -> None:
        """End the games."""
        for slot in self._slots:
            slot.close()
