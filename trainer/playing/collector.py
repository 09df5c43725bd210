"""Plays the training episodes: in turn with the learner, or beside it with weights one round older."""

from __future__ import annotations

import copy
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from envs.types import MultiAgentEnv
from trainer.config import Epsilon, ResolvedConfig
from trainer.learning.networks import AdvantageNet
from trainer.playing.rollout import Round, collect

SWITCH_INTERVAL_S = 1e-4
"""How long a thread may keep the interpreter while the other waits; Python's 5 ms would stall the learner."""


class Collector(Protocol):
    """Plays rounds of B episodes; every one is a function of weights, epsilon and episode number alone."""

    def take(self, epsilon: Epsilon, first_episode: int) -> Round:
        """The round that begins with this episode."""
        ...

    def prepare(self, epsilon: Epsilon, first_episode: int, *, begin: bool) -> None:
        """Announce the next round; with `begin` it may be played at once."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The weights of the next round, where they are not the learner's."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        ...

    def close(self) -> None:
        """Give up the round in play, and close the player."""
        ...


class Player(Protocol):
    """Plays rounds with given weights."""

    def play(
        self,
        net: AdvantageNet,
        epsilon: Epsilon,
        first_episode: int,
        abandoned: threading.Event | None = None,
    ) -> Round:
        """B episodes from this number on; AbandonedError once `abandoned` is set."""
        ...

    def close(self) -> None:
        """End the player's processes."""
        ...


class EnvPlayer:
    """Plays in this process; random numbers come from `rng`, or follow from a round's number and the seed."""

    def __init__(self, env: MultiAgentEnv, seed: int, rng: np.random.Generator | None = None) -> None:
        self.env, self.seed, self.rng = env, seed, rng

    def play(
        self,
        net: AdvantageNet,
        epsilon: Epsilon,
        first_episode: int,
        abandoned: threading.Event | None = None,
    ) -> Round:
        """B episodes side by side."""
        rng = self.rng or np.random.default_rng([self.seed, 2, first_episode])
        self.env.next_episode = first_episode
        return collect(self.env, net, epsilon, rng, abandoned)

    def close(self) -> None:
        """Nothing: the run closes the environment."""


class StrictCollector:
    """Plays when asked, with the learner's weights of that moment: the paper's order."""

    def __init__(self, player: Player, net: AdvantageNet) -> None:
        self.player, self.net = player, net

    def take(self, epsilon: Epsilon, first_episode: int) -> Round:
        """Play a round."""
        return self.player.play(self.net, epsilon, first_episode)

    def prepare(self, epsilon: Epsilon, first_episode: int, *, begin: bool) -> None:
        """Nothing can be done ahead."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the weights are the learner's."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to load."""

    def close(self) -> None:
        """End the player."""
        self.player.close()


class OverlappedCollector:
    """Plays round k + 1 in a thread while the learner makes the updates that round k is worth.

    Its weights are a copy made when round k had been inserted, before those updates: exactly one round's
    updates (battles times updates per episode) older than in the strict order. Nothing depends on which of
    the two is faster: weights, epsilon and random numbers of a round are fixed before it begins.
    """

    def __init__(self, player: Player, net: AdvantageNet) -> None:
        self.player, self.net = player, net
        self.actor = copy.deepcopy(net).requires_grad_(False)
        self._abandoned = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="collector")
        self._round: Future[Round] | None = None
        self._switch_interval_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)

    def take(self, epsilon: Epsilon, first_episode: int) -> Round:
        """Wait for the round, or play it if it was not begun."""
        playing = self._round or self._begin(epsilon, first_episode)
        self._round = None
        return playing.result()

    def prepare(self, epsilon: Epsilon, first_episode: int, *, begin: bool) -> None:
        """Copy the learner's weights, and start to play."""
        self.actor.load_state_dict(self.net.state_dict())
        if begin:
            self._round = self._begin(epsilon, first_episode)

    def state_dict(self) -> dict[str, Any]:
        """The copied weights; a resumed run plays a round that had been begun again."""
        return dict(self.actor.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the copied weights."""
        self.actor.load_state_dict(state)

    def close(self) -> None:
        """Stop playing after the current step."""
        self._abandoned.set()
        sys.setswitchinterval(self._switch_interval_s)
        try:
            self._thread.shutdown(wait=True, cancel_futures=True)
        finally:
            self.player.close()

    def _begin(self, epsilon: Epsilon, first_episode: int) -> Future[Round]:
        return self._thread.submit(self.player.play, self.actor, epsilon, first_episode, self._abandoned)


def make_collector(
    config: ResolvedConfig, backend: str, env: MultiAgentEnv, net: AdvantageNet, rng: np.random.Generator
) -> Collector:
    """The collector that the settings ask for; `rng` is the strict order's stream of random numbers."""
    strict = config.overlap == "off"
    player: Player = EnvPlayer(env, config.seed, rng if strict else None)
    if config.rollout_workers:
        from trainer.playing.workers import WorkerPool

        where = config.environment, backend, config.seed
        told = config.map_text, config.opponent, config.reward
        player = WorkerPool(config.rollout_workers, config.ray_address, where, config.envs, net, *told)
    return StrictCollector(player, net) if strict else OverlappedCollector(player, net)
