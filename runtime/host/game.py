"""Playing battles through agents: the host owns the game, asks every agent, and steps the game."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import grpc
import numpy as np

from envs.errors import EpisodeLostError, InputError
from envs.outcomes import EpisodeStats
from envs.types import BoolArray, EnvSpec, FloatArray, IntArray, MultiAgentEnv, TimeStep
from runtime.host.agent_link import AgentLink
from runtime.host.answers import AgentError, Identity
from runtime.identity.addresses import Address
from runtime.identity.tls import HostTls

if TYPE_CHECKING:
    from envs.battle.env import BattleEnv
    from envs.battle.record import Recorder

STOP = 1
"""SMAC's action that keeps a living unit where it is; a fallen one has no-op, 0, alone."""

REALTIME_STEP_S = 8 / 22.4
"""What StarCraft II leaves for a step: SMAC acts every 8 game loops, of which 22.4 pass in a second."""
MODEL_CHANGE_TIMEOUT_S = 3.0
"""How long the agents of a team may take to change their model together."""

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


async def connect_team(
    addresses: Sequence[Address], spec: EnvSpec, timeout_s: float, tls: HostTls | None = None
) -> list[AgentLink]:
    """Links to the agents of `spec`'s team, in the order of their ids.

    InputError naming the address when one does not answer, is of another model or environment, or is there
    twice, and when one is missing.
    """
    links = [AgentLink(address, tls) for address in addresses]
    try:
        identities = await asyncio.gather(*(identify(link, timeout_s) for link in links))
        check_team(addresses, identities, spec)
    except BaseException:
        await asyncio.gather(*(link.close() for link in links))
        raise
    return sorted(links, key=lambda link: -1 if link.identity is None else link.identity.agent_id)


async def identify(link: AgentLink, timeout_s: float) -> Identity:
    """Who answers on the link; InputError when nobody does."""
    try:
        return await link.connect(timeout_s)
    except TimeoutError:
        raise InputError(f"agent at {link.address} does not answer within {timeout_s:g} s") from None
    except AgentError as error:
        raise InputError(f"agent at {link.address}: {error}") from None
    except OSError as error:
        raise InputError(f"agent at {link.address} does not answer: {error.strerror or error}") from None
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            raise InputError(f"agent at {link.address} does not answer: is there one running?") from None
        why = f"{error.code().name}, {error.details()}"
        raise InputError(f"agent at {link.address} does not answer: {why}") from None


def check_team(addresses: Sequence[Address], identities: Sequence[Identity], spec: EnvSpec) -> None:
    """InputError unless the agents are the whole team of one model, each once, trained for `spec`."""
    first_at: dict[int, Address] = {}
    for address, identity in zip(addresses, identities, strict=True):
        if differences := spec.differences(identity.spec):
            raise InputError(
                f"agent at {address} was trained for another environment than {spec.name!r} here: "
                + "; ".join(differences)
            )
        if identity.model_sha256 != identities[0].model_sha256:
            raise InputError(
                f"agents at {addresses[0]} and {address} serve different models "
                f"({identities[0].model_sha256[:12]} and {identity.model_sha256[:12]})"
            )
        if identity.agent_id in first_at:
            raise InputError(
                f"agents at {first_at[identity.agent_id]} and {address} both say that they are agent "
                f"{identity.agent_id}"
            )
        first_at[identity.agent_id] = address
    if missing := sorted(set(range(spec.n_agents)) - set(first_at)):
        raise InputError(f"{spec.name} is played by {spec.n_agents} agents; nobody serves agent {missing}")


def fallback_action(avail_actions: BoolArray) -> int:
    """What a unit does without its agent: `stop`, or its first available action (no-op once fallen)."""
    if len(avail_actions) > STOP and avail_actions[STOP]:
        return STOP
    return int(np.argmax(avail_actions))


class GameHost:
    """A game with B = 1 and the links to its agents, agent i at index i.

    In `realtime` the game goes on every 357 ms: no joint step takes longer than that, and none less. With a
    `recorder`, which needs the simulator, the agents are asked for their advantages too.
    """

    def __init__(
        self,
        env: MultiAgentEnv,
        links: Sequence[AgentLink],
        deadline_ms: float,
        *,
        realtime: bool = False,
        recorder: Recorder | None = None,
    ) -> None:
        self.env = env
        self.links = links
        self.recorder = recorder
        for link in links:
            link.asks_advantages = recorder is not None
        self.realtime = realtime
        self.deadline_s = min(deadline_ms / 1000, REALTIME_STEP_S) if realtime else deadline_ms / 1000
        self._run_id = secrets.token_hex(8)  # no other host's episodes have the same names

    async def play_episode(self) -> EpisodeResult:
        """One battle from its start to its end."""
        episode = self.env.next_episode
        before = [link.counts.fallbacks for link in self.links]
        await asyncio.gather(*(link.begin(f"{self._run_id}-{episode}") for link in self.links))
        await self._agree_on_a_model()
        time_step = self.env.reset()
        if self.recorder is not None:
            self.recorder.begin(cast("BattleEnv", self.env), time_step)
        latency_ms: list[float] = []
        actions: list[IntArray] = []
        episode_return = 0.0
        while not time_step.done[0]:
            start_s = time.perf_counter()
            actions.append(await self.joint_step(time_step))
            latency_ms.append(1000 * (time.perf_counter() - start_s))
            if self.realtime:
                await asyncio.sleep(start_s + REALTIME_STEP_S - time.perf_counter())
            time_step = self.env.step(actions[-1][None])
            if self.recorder is not None:
                env = cast("BattleEnv", self.env)
                self.recorder.step(env, time_step, actions[-1][None], self.last_advantages()[None])
            episode_return += float(time_step.reward[0])
        await asyncio.gather(*(link.end(self.deadline_s) for link in self.links))
        return EpisodeResult(
            episode=episode,
            won=bool(time_step.won[0]),
            episode_return=episode_return,
            steps=len(actions),
            fallbacks=sum(link.counts.fallbacks for link in self.links) - sum(before),
            latency_ms=latency_ms,
            actions=np.array(actions),
        )

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
                fallback_action(avail_actions[i]) if action is None else action
                for i, action in enumerate(answers)
            ],
            np.int64,
        )

    def last_advantages(self) -> FloatArray:
        """[N, A]: what the agents answered in the last joint step; NaN for those that did not."""
        advantages = np.full((len(self.links), self.env.spec.n_actions), np.nan, np.float32)
        for row, link in zip(advantages, self.links, strict=True):
            if len(link.advantages) == row.nbytes and not link.is_lost:
                row[:] = np.frombuffer(link.advantages, "<f4")
        return advantages

    async def play(self, episodes: int, on_episode: Callable[[EpisodeResult], None]) -> list[EpisodeResult]:
        """So many battles, one after the other; `on_episode` hears of each.

        A battle whose live game was lost does not count; the environment limits how often that may happen.
        """
        results: list[EpisodeResult] = []
        while len(results) < episodes:
            try:
                results.append(await self.play_episode())
            except EpisodeLostError as error:
                log.warning("a battle does not count, its game was lost: %s", error)
                await asyncio.gather(*(link.end(self.deadline_s) for link in self.links))
                continue
            on_episode(results[-1])
        return results

    async def close(self) -> None:
        """Drop the connections; the game is its owner's to close."""
        await asyncio.gather(*(link.close() for link in self.links))
