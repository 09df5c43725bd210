"""The agents of one side as a team: asked together for every step, and told when battles begin and end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Self

import numpy as np

from envs.errors import InputError
from envs.types import BoolArray, FloatArray, IntArray
from runtime.host.agent_link import MODEL_CHANGE_TIMEOUT_S, AgentLink
from runtime.host.fallback import fallback_action


class AskedTeam:
    """The links to a team's agents, agent i at index i; `idle_actions` are the fallbacks, the best first.

    Leaving the team's `async with` closes the links.
    """

    def __init__(self, links: Sequence[AgentLink], idle_actions: Sequence[int]) -> None:
        self.links, self._idle_actions = links, tuple(idle_actions)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    @property
    def fallbacks(self) -> int:
        """How many steps so far were not answered in time."""
        return sum(link.counts.fallbacks for link in self.links)

    async def begin(self, episode_id: str) -> None:
        """Start an episode; wait a little until all agents that are there have one model."""
        await asyncio.gather(*(link.begin(episode_id) for link in self.links))
        await self._agree_on_a_model()

    async def end(self) -> None:
        """Tell the agents to forget the episode."""
        await asyncio.gather(*(link.end() for link in self.links))

    async def close(self) -> None:
        """Drop all connections."""
        await asyncio.gather(*(link.close() for link in self.links))

    async def act(self, obs: FloatArray, avail_actions: BoolArray, deadline_s: float) -> IntArray:
        """The actions [N] for obs [N, O] and avail_actions [N, A]: agent i is sent row i and nothing else.

        `deadline_s` is an event loop's time.
        """
        obs = obs.astype("<f4", copy=False)
        answers = await asyncio.gather(
            *(
                link.act(obs[i].tobytes(), avail_actions[i].tobytes(), deadline_s)
                for i, link in enumerate(self.links)
            )
        )
        return np.array(
            [
                fallback_action(avail_actions[i], self._idle_actions) if action is None else action
                for i, action in enumerate(answers)
            ],
            np.int64,
        )

    def advantages(self, n_actions: int) -> FloatArray:
        """[N, A]: the agents' advantages in the last step; NaN where none that can be used came."""
        advantages = np.full((len(self.links), n_actions), np.nan, np.float32)
        for row, link in zip(advantages, self.links, strict=True):
            if len(link.advantages) == row.nbytes:
                answered = np.frombuffer(link.advantages, "<f4")
                row[:] = answered if np.isfinite(answered).all() else np.nan
        return advantages

    def check_room(self) -> None:
        """InputError where an agent could not begin its episode because it is full."""
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
