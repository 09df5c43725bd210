"""Playing battles through agents: the host owns the game, asks every agent, and steps the game.

Where the enemies have agents too, both teams are asked at the same time.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from envs.errors import EpisodeLostError
from envs.outcomes import EpisodeStats
from envs.text import one_line
from envs.types import FloatArray, IntArray, MultiAgentEnv, TimeStep, TwoSided
from runtime.host.agent_link import AgentLink
from runtime.host.asked_team import AskedTeam

REALTIME_STEP_S = 8 / 22.4
"""The time StarCraft II leaves for a step: SMAC acts every 8 game loops, of which 22.4 pass in a second."""

log = logging.getLogger("lan.play")


@dataclass(frozen=True)
class EpisodeResult:
    """One battle: `latency_ms` of every joint step, and the actions [T, N] that were played."""

    episode: int
    won: bool
    episode_return: float
    steps: int
    fallbacks: int
    latency_ms: list[float]
    actions: IntArray

    @property
    def stats(self) -> EpisodeStats:
        """How the battle went, in the words of training."""
        return EpisodeStats(self.episode_return, self.steps, self.won)


class Watcher(Protocol):
    """Looks on while battles are played, to record them."""

    def begin(self, step: TimeStep) -> None:
        """A battle begins and shows `step`."""
        ...

    def step(self, step: TimeStep, actions: IntArray, advantages: FloatArray) -> None:
        """The actions [1, N], chosen by the advantages [1, N, A] (NaN: no answer), led to `step`."""
        ...


class GameHost:
    """A game with B = 1 and the links to its agents, agent i at index i.

    In `realtime` the game goes on every 357 ms: no joint step takes longer than that, and none less. For
    `watchers` the agents are asked for their advantages too. `enemies` are the links to the enemies' agents;
    the game must then be `TwoSided`. Leaving the host's `async with` closes the links; the game is its
    owner's to close.
    """

    def __init__(
        self,
        env: MultiAgentEnv,
        links: Sequence[AgentLink],
        deadline_ms: float,
        *,
        realtime: bool = False,
        watchers: Sequence[Watcher] = (),
        enemies: Sequence[AgentLink] = (),
    ) -> None:
        self.env = env
        self.links = links
        self.watchers = watchers
        for link in links:
            link.asks_advantages = bool(watchers)
        self.team, self.enemies = (AskedTeam(side, env.idle_actions) for side in (links, enemies))
        self.teams = self.team, self.enemies
        self.realtime = realtime
        self.deadline_s = min(deadline_ms / 1000, REALTIME_STEP_S) if realtime else deadline_ms / 1000
        self._has_begun = False
        self._run_id = secrets.token_hex(8)  # no other host's episodes have the same names

    async def __aenter__(self) -> GameHost:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await asyncio.gather(*(team.close() for team in self.teams))

    async def play_episode(self) -> EpisodeResult:
        """One battle from its start to its end; the agents are told to forget it, however it ends."""
        try:
            return await self._play_episode()
        finally:
            await asyncio.gather(*(team.end() for team in self.teams))

    async def _play_episode(self) -> EpisodeResult:
        episode = self.env.next_episode
        before = self.team.fallbacks
        await asyncio.gather(*(team.begin(f"{self._run_id}-{episode}") for team in self.teams))
        time_step = self.env.reset()
        for watcher in self.watchers:
            watcher.begin(time_step)
        latency_ms: list[float] = []
        actions: list[IntArray] = []
        episode_return = 0.0
        while not time_step.done[0]:
            start_s = time.perf_counter()
            actions.append(await self.joint_step(time_step))
            latency_ms.append(1000 * (time.perf_counter() - start_s))
            if not self._has_begun:
                self._check_room()
            if self.realtime:
                await asyncio.sleep(start_s + REALTIME_STEP_S - time.perf_counter())
            time_step = self.env.step(actions[-1][None])
            if self.watchers:
                advantages = self.team.advantages(self.env.spec.n_actions)
                for watcher in self.watchers:
                    watcher.step(time_step, actions[-1][None], advantages[None])
            episode_return += float(time_step.reward[0])
        return EpisodeResult(
            episode=episode,
            won=bool(time_step.won[0]),
            episode_return=episode_return,
            steps=len(actions),
            fallbacks=self.team.fallbacks - before,
            latency_ms=latency_ms,
            actions=np.array(actions),
        )

    def _check_room(self) -> None:
        """After the first joint step: InputError where an agent could not begin because it is full.

        Later an agent that is full costs its unit the battle, and not everybody the run.
        """
        self._has_begun = True
        for team in self.teams:
            team.check_room()

    async def joint_step(self, time_step: TimeStep) -> IntArray:
        """The agents' actions [N]; the game has the enemies' by then, where those have agents."""
        deadline_s = asyncio.get_running_loop().time() + self.deadline_s
        obs, avail_actions = time_step.obs[0], time_step.avail_actions[0]
        if not self.enemies.links:
            return await self.team.act(obs, avail_actions, deadline_s)
        game = cast("TwoSided", self.env)
        seen = game.seen_by_enemies()
        actions, theirs = await asyncio.gather(
            self.team.act(obs, avail_actions, deadline_s),
            self.enemies.act(seen.obs[0], seen.avail_actions[0], deadline_s),
        )
        game.command_enemies(theirs[None])
        return actions

    async def play(self, episodes: int, on_episode: Callable[[EpisodeResult], None]) -> list[EpisodeResult]:
        """Play `episodes` battles one after the other, and call `on_episode` after each.

        A battle whose live game was lost does not count; the environment limits how often that may happen.
        """
        results: list[EpisodeResult] = []
        while len(results) < episodes:
            try:
                results.append(await self.play_episode())
            except EpisodeLostError as error:
                log.warning("a battle does not count, its game was lost: %s", one_line(error, 500))
                continue
            on_episode(results[-1])
        return results
