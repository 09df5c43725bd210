"""The game host's end of one agent: every step of an episode in order, over whatever connection there is.

The link keeps the requests of the running episode. The agent takes each step once, so the link may send a
step again after any failure; and an agent that says which step it expects is sent the episode from there on.
So one that answered late, was cut off, or was restarted joins in again within the same episode.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from envs.text import one_line
from protos import policy_pb2
from runtime.backoff import growing_pauses
from runtime.host.connection import (
    NOT_THERE,
    PASSING,
    AgentError,
    Connection,
    Identity,
    expected_step,
    has_no_room,
    in_words,
)
from runtime.identity.addresses import Address
from runtime.identity.tls import HostTls

FIRST_BACKOFF_S = 0.005
MAX_BACKOFF_S = 0.5
PROBE_TIMEOUT_S = 1.0
END_TIMEOUT_S = 1.0
"""How long an agent may take to forget an episode; it is asked again when it is there again."""
MAX_UNENDED = 64
MODEL_CHANGE_TIMEOUT_S = 3.0
"""How long the agents of a team may take to change their model together."""
FIRST_ATTEMPT_S = 0.25
"""A step without an answer for this long is sent again over a new connection; the time doubles with each."""

log = logging.getLogger("lan.play")


def reconnect_pauses() -> Iterator[float]:
    """Seconds to wait before each new attempt to reach an agent."""
    return growing_pauses(FIRST_BACKOFF_S, MAX_BACKOFF_S)


@dataclass
class LinkCounts:
    """Counts of one link so far.

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


class AgentLink:
    """One agent. `act` never fails and never outlasts its deadline; it returns None without an answer.

    With `asks_advantages`, `advantages` holds those of the last answer, f32 [A] as bytes. `called`: what an
    agent is in messages. Leaving the link's `async with` drops the connection.
    """

    def __init__(self, address: Address, tls: HostTls | None = None, *, called: str = "agent") -> None:
        self.address, self.asks_advantages, self.advantages = address, False, b""
        self._called = called
        self.identity: Identity | None = None
        self.counts = LinkCounts()
        self.is_lost = False
        self.why_lost = ""
        self.asked_s: float | None = None
        """Since when a step waits for its answer, in `time.monotonic`; None while none does."""
        self.latency_ms: float | None = None
        """How long the last answer took; None where the last step had none in time."""
        self.has_no_room = False
        """Whether the agent was last lost because it holds as many episodes as it may."""
        self._transcript = Transcript()
        self._unended: deque[str] = deque(maxlen=MAX_UNENDED)  # played episodes that the agent may still hold
        self._connection = Connection(address, tls)
        self._reviver: asyncio.Task[None] | None = None

    async def __aenter__(self) -> AgentLink:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    @property
    def model_sha256(self) -> str:
        """Digest of the model that the agent says it has; empty before it was asked."""
        return "" if self.identity is None else self.identity.model_sha256

    async def connect(self, timeout_s: float, *, may_change_model: bool = False) -> Identity:
        """Connect and ask who is there; one of NOT_THERE when no agent answers, or none with its certificate.

        AgentError when another agent answers than before; between episodes, its model may be another one.
        """
        async with asyncio.timeout(timeout_s):
            known_id = None if self.identity is None else self.identity.agent_id
            certified_id = await self._connection.open(known_id)
            identity = await self._connection.describe(timeout_s)
        if certified_id is not None and certified_id != identity.agent_id:
            raise AgentError(f"its certificate is agent {certified_id}'s, yet it serves {identity.agent_id}")
        self._accept(identity, may_change_model)
        return identity

    async def refresh(self) -> None:
        """Between two episodes, ask again who is there; a silent agent is noticed at the next step."""
        if not self.is_lost:
            try:
                with contextlib.suppress(*NOT_THERE):
                    self._accept(await self._connection.describe(PROBE_TIMEOUT_S), may_change_model=True)
            except AgentError as error:
                self.lose(str(error))

    def _accept(self, identity: Identity, may_change_model: bool) -> None:
        """Take note of the agent that answers; AgentError when it is not the one of before."""
        known = self.identity
        if known is not None and (identity.agent_id, identity.spec) != (known.agent_id, known.spec):
            raise AgentError("another agent, or one of another environment, answers here now")
        if known is not None and identity.model_sha256 != known.model_sha256:
            if not may_change_model:
                raise AgentError("it has another model than the episode began with")
            log.warning("%s has model %s now", self, one_line(identity.model_sha256[:12]))
        self.identity = identity

    async def begin(self, episode_id: str) -> None:
        """Start an episode; an agent that was lost gets one chance to be there again."""
        self._connection.drop_stream()
        self._transcript = Transcript(episode_id)
        if self.is_lost:
            await self._stop_reviver()
            with contextlib.suppress(AgentError, *NOT_THERE):
                await self._revive(may_change_model=True)
            if self.is_lost:
                self._reviver = asyncio.create_task(self._keep_reviving())

    async def act(self, obs: bytes, avail_actions: bytes, deadline_s: float) -> int | None:
        """The agent's action for the episode's next step, or None; `deadline_s` is an event loop's time."""
        transcript = self._transcript
        request = policy_pb2.ActRequest(
            episode_id=transcript.episode_id,
            step=len(transcript.requests),
            observation=obs,
            available_actions=avail_actions,
            include_advantages=self.asks_advantages,
        )
        transcript.requests.append(request)
        self.counts.steps += 1
        self.asked_s = begin_s = time.monotonic()
        action = None if self.is_lost else await self._answer_in_time(transcript, deadline_s)
        if action is not None and (action >= len(avail_actions) or not avail_actions[action]):
            self.lose(f"it chose action {action}, which is not available")
            action = None
        self.asked_s = None
        self.latency_ms = None if action is None else 1000 * (time.monotonic() - begin_s)
        if action is None:
            self.counts.fallbacks += 1
            self.advantages = b""  # those of an earlier step say nothing about this one
        return action

    async def end(self, timeout_s: float = END_TIMEOUT_S) -> None:
        """Tell the agent to forget the episode; one that is not there is told once it is back."""
        self._connection.drop_stream()
        if self._transcript.requests:
            self._unended.append(self._transcript.episode_id)
            self._transcript = Transcript()
        if not self.is_lost:
            await self._end_played(timeout_s)

    async def _end_played(self, timeout_s: float = END_TIMEOUT_S) -> None:
        """Have the agent forget the episodes that it may still hold, as far as it does so in time."""
        with contextlib.suppress(AgentError, *NOT_THERE):
            async with asyncio.timeout(timeout_s):
                while self._unended:
                    await self._connection.end_episode(self._unended[0], timeout_s)
                    self._unended.popleft()

    async def close(self) -> None:
        """Drop the connection; a lost agent too is told to forget what was played, if it listens."""
        await self._stop_reviver()
        await self._end_played()
        await self._connection.close()

    async def _answer_in_time(self, transcript: Transcript, deadline_s: float) -> int | None:
        """The last request's answer before the deadline; on None the agent counts as lost."""
        first_s = asyncio.get_running_loop().time() + FIRST_ATTEMPT_S
        try:
            try:
                async with asyncio.timeout_at(min(first_s, deadline_s)):
                    return await self._catch_up(transcript)
            except PASSING as error:
                return await self._try_again(transcript, error, deadline_s)
        except AgentError as error:
            self.lose(str(error))
        return None

    async def _try_again(self, transcript: Transcript, error: Exception, deadline_s: float) -> int | None:
        """The last request's answer after a failure, over new connections, with growing pauses."""
        attempt_s, pauses, told = 2 * FIRST_ATTEMPT_S, reconnect_pauses(), ""
        try:
            async with asyncio.timeout_at(deadline_s):
                while True:
                    self._connection.drop_stream()
                    try:
                        if not self._go_back(transcript, error):
                            await asyncio.sleep(next(pauses))
                            await self.connect(PROBE_TIMEOUT_S)
                            self.counts.reconnects += 1
                            if told != (told := in_words(error)):  # once, however often it is tried
                                log.warning("%s: %s; connected again", self, told)
                        async with asyncio.timeout(attempt_s):
                            return await self._catch_up(transcript)
                    except PASSING as another_error:
                        error = another_error
                        attempt_s *= 2
        except TimeoutError:
            self.lose(in_words(error))
            self.has_no_room = has_no_room(error)
        return None

    def _go_back(self, transcript: Transcript, error: Exception) -> bool:
        """Go back to the step that the agent expects; False when it names none."""
        expected = expected_step(error)
        if expected is None or expected >= len(transcript.requests):
            return False
        self.counts.replayed_steps += max(0, transcript.answered_steps - expected)
        transcript.answered_steps = expected
        return True

    async def _catch_up(self, transcript: Transcript) -> int:
        """Send what the agent has not answered, one step after the other; the last one's action."""
        action = -1
        while transcript.answered_steps < len(transcript.requests):
            reply = await self._connection.exchange(transcript.requests[transcript.answered_steps])
            action, self.advantages = int(reply.action), reply.advantages
            transcript.answered_steps += 1
        return action

    def lose(self, why: str, wanted_model: str | None = None) -> None:
        """Go on without the agent, and look in the background for it, or for one with `wanted_model`."""
        if wanted_model is not None and self.identity is not None:
            self.identity = replace(self.identity, model_sha256=wanted_model)
        self._connection.drop_stream()
        self.is_lost, self.has_no_room = True, False
        self.why_lost = why
        log.warning("%s is lost: %s", self, why)
        self._reviver = asyncio.create_task(self._keep_reviving())

    async def _keep_reviving(self) -> None:
        """Try again and again, ever more slowly, until the agent is there."""
        pauses = reconnect_pauses()
        while self.is_lost:
            await asyncio.sleep(next(pauses))
            with contextlib.suppress(AgentError, *NOT_THERE):
                await self._revive()

    async def _revive(self, may_change_model: bool = False) -> None:
        await self.connect(PROBE_TIMEOUT_S, may_change_model=may_change_model)
        await self._end_played()
        self.is_lost = False
        self.counts.reconnects += 1
        log.warning("%s is back", self)

    async def _stop_reviver(self) -> None:
        """End the search for a lost agent; what it did not expect is raised here."""
        reviver, self._reviver = self._reviver, None
        if reviver is not None:
            reviver.cancel()
            await asyncio.wait([reviver])
            if not reviver.cancelled():
                reviver.result()

    def __str__(self) -> str:
        return f"{self._called} {'?' if self.identity is None else self.identity.agent_id} at {self.address}"
