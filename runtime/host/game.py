"""Playing battles through agents: the host owns the game, asks every agent, and steps the game."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from envs.errors import EpisodeLostError, InputError
from envs.outcomes import EpisodeStats
from envs.text import one_line
from envs.types import FloatArray, IntArray, MultiAgentEnv, TimeStep
from runtime.host.agent_link import MODEL_CHANGE_TIMEOUT_S, AgentLink
from runtime.host.fallback import fallback_action

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

    In `realtime` the game goes on every 357 ms: no joint step takes longer than that, and none less. For a
    `watcher` the agents are asked for their advantages too. Leaving the host's `async with` closes the links;
    the game is its owner's to close.
    """

    def __init__(
        self,
        env: MultiAgentEnv,
        links: Sequence[AgentLink],
        deadline_ms: float,
        *,
        realtime: bool = False,
        watcher: Watcher | None = None,
    ) -> None:
        self.env = env
        self.links = links
        self.watcher = watcher
        for link in links:
            link.asks_advantages = watcher is not None
        self.realtime = realtime
        self.deadline_s = min(deadline_ms / 1000, REALTIME_STEP_S) if realtime else deadline_ms / 1000
        self._has_begun = False
        self._run_id = secrets.token_hex(8)  # no other host's episodes have the same names

    async def __aenter__(self) -> GameHost:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await asyncio.gather(*(link.close() for link in self.links))

    async def play_episode(self) -> EpisodeResult:
        """One battle from its start to its end; the agents are told to forget it, however it ends."""
        try:
            return await self._play_episode()
        finally:
            await asyncio.gather(*(link.end() for link in self.links))

    async def _play_episode(self) -> EpisodeResult:
        episode = self.env.next_episode
        before = [link.counts.fallbacks for link in self.links]
        await asyncio.gather(*(link.begin(f"{self._run_id}-{episode}") for link in self.links))
        await self._agree_on_a_model()
        time_step = self.env.reset()
        if self.watcher is not None:
            self.watcher.begin(time_step)
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
            if self.watcher is not None:
                self.watcher.step(time_step, actions[-1][None], self.last_advantages()[None])
            episode_return += float(time_step.reward[0])
        return EpisodeResult(
            episode=episode,
            won=bool(time_step.won[0]),
            episode_return=episode_return,
            steps=len(actions),
            fallbacks=sum(link.counts.fallbacks for link in self.links) - sum(before),
            latency_ms=latency_ms,
            actions=np.array(actions),
        )

    def _check_room(self) -> None:
        """After the first joint step: InputError where an agent could not begin because it is full.

        Later an agent that is full costs its unit the battle, and not everybody the run.
        """
        self._has_begun = True
        for link in self.links:
            if link.has_no_room:
                raise InputError(f"{link}: {link.why_lost}")

    async def _agree_on_a_model(self) -> None:
        """Wait a little until all agents that are there have one model; play without those that differ."""
        give_up_s = time.monotonic() + MODEL_CHANGE_TIMEOUT_S
        while True:
            await asyncio.gather(*(link.refresh() for link in self.links))
            models = {link.model_sha256 for link in self.links if not link.is_lost}
            if len(models) <= 1:
                return
            if time.monotonic() > give_up_s:
                break
            await asyncio.sleep(0.05)
        there = [link for link in self.links if not link.is_lost]
        for link in there:
            if link.model_sha256 != there[0].model_sha256:
                link.lose("it has another model than the rest of the team", there[0].model_sha256)

    async def joint_step(self, time_step: TimeStep) -> IntArray:
        """The team's actions [N]: agent i is sent row i and nothing else."""
        deadline_s = asyncio.get_running_loop().time() + self.deadline_s
        obs, avail_actions = time_step.obs[0].astype("<f4", copy=False), time_step.avail_actions[0]
        answers = await asyncio.gather(
            *(
                link.act(obs[i].tobytes(), avail_actions[i].tobytes(), deadline_s)
                for i, link in enumerate(self.links)
            )
        )
        return np.array(
            [
                fallback_action(avail_actions[i], self.env.idle_actions) if action is None else action
                for i, action in enumerate(answers)
            ],
            np.int64,
        )

    def last_advantages(self) -> FloatArray:
        """[N, A]: the agents' advantages in the last joint step; NaN where none that can be used came."""
        advantages = np.full((len(self.links), self.env.spec.n_actions), np.nan, np.float32)
        for row, link in zip(advantages, self.links, strict=True):
            if len(link.advantages) == row.nbytes:
                answered = np.frombuffer(link.advantages, "<f4")
                row[:] = answered if np.isfinite(answered).all() else np.nan
        return advantages

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
