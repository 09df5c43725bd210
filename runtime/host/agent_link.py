"""The game host's end of one agent: every step of an episode in order, over whatever connection there is.

The link keeps the requests of the running episode. The agent takes each step once, so the link may send a
step again after any failure; and an agent that says which step it expects is sent the episode from there on.
So one that answered late, was cut off, or was restarted joins in again within the same episode.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from typing import Any

import grpc

from protos import policy_pb2, policy_pb2_grpc
from runtime.host.answers import (
    NOT_THERE,
    PASSING,
    AgentError,
    Identity,
    StreamEndedError,
    expected_step,
    in_words,
    read_identity,
)
from runtime.host.transcript import LinkCounts, Transcript
from runtime.identity.addresses import Address
from runtime.identity.tls import HostTls

FIRST_BACKOFF_S = 0.005
MAX_BACKOFF_S = 0.5
PROBE_TIMEOUT_S = 1.0
FIRST_ATTEMPT_S = 0.25
"""After so long, a step is sent again over a new connection; then after twice as long, and so on."""
CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # a new channel connects anew, whatever an old one is waiting for
    ("grpc.enable_retries", 0),  # the link retries, knowing the step's deadline
    ("grpc.max_receive_message_length", 64 * 1024),
    ("grpc.enable_http_proxy", 0),
)

log = logging.getLogger("lan.play")


class AgentLink:
    """One agent. `act` never fails and never outlasts its deadline; None is for want of an answer.

    With `asks_advantages`, `advantages` holds the last answer's, f32 [A] as bytes.
    """

    def __init__(self, address: Address, tls: HostTls | None = None) -> None:
        self.address, self.asks_advantages, self.advantages = address, False, b""
        self._tls = tls
        self.identity: Identity | None = None
        self.counts = LinkCounts()
        self.is_lost = False
        self.why_lost = ""
        self._transcript = Transcript()
        self._channel: Any = None
        self.stub: Any = None
        self._stream: Any = None
        self._reviver: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def model_sha256(self) -> str:
        """Digest of the model that the agent said it has; empty before it was asked."""
        return "" if self.identity is None else self.identity.model_sha256

    async def connect(self, timeout_s: float, *, may_change_model: bool = False) -> Identity:
        """Connect and ask who is there; one of NOT_THERE when nobody answers, or not with a right to.

        AgentError when it is not who it was; between episodes, its model may be another one.
        """
        self._drop_channel()
        async with asyncio.timeout(timeout_s):
            certified_id = await self._open_channel()
            identity = await self._describe(timeout_s)
        if certified_id is not None and certified_id != identity.agent_id:
            raise AgentError(f"its certificate is agent {certified_id}'s, yet it serves {identity.agent_id}")
        self._accept(identity, may_change_model)
        return identity

    async def refresh(self) -> None:
        """Between two episodes: ask again who is there; silence is left to the next step."""
        if not self.is_lost:
            with contextlib.suppress(AgentError, *NOT_THERE):
                self._accept(await self._describe(PROBE_TIMEOUT_S), may_change_model=True)

    async def _describe(self, timeout_s: float) -> Identity:
        return read_identity(await self.stub.Describe(policy_pb2.DescribeRequest(), timeout=timeout_s))

    def _accept(self, identity: Identity, may_change_model: bool) -> None:
        """Take note of who answers; AgentError when that may not be."""
        known = self.identity
        if known is not None and (identity.agent_id, identity.spec) != (known.agent_id, known.spec):
            raise AgentError("another agent, or one of another environment, answers here now")
        if known is not None and identity.model_sha256 != known.model_sha256:
            if not may_change_model:
                raise AgentError("it has another model than the episode began with")
            log.warning(
                "agent %s at %s has model %s now", self._name(), self.address, identity.model_sha256[:12]
            )
        self.identity = identity

    async def _open_channel(self) -> int | None:
        """Make channel and stub; with TLS, the id that the agent's certificate is for."""
        agent_id = None if self.identity is None else self.identity.agent_id
        if self._tls is None:
            self._channel = grpc.aio.insecure_channel(str(self.address), options=CHANNEL_OPTIONS)
        else:
            agent_id = await self._tls.identify(self.address) if agent_id is None else agent_id
            self._channel = self._tls.channel(self.address, agent_id, CHANNEL_OPTIONS)
        self.stub = policy_pb2_grpc.PolicyServiceStub(self._channel)  # type: ignore[no-untyped-call]
        return agent_id

    async def begin(self, episode_id: str) -> None:
        """Start an episode; an agent that was lost is given one chance to be there again."""
        self._drop_stream()
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
        action = None if self.is_lost else await self._answer_in_time(transcript, deadline_s)
        if action is not None and (action >= len(avail_actions) or not avail_actions[action]):
            self.lose(f"it chose action {action}, which is not available")
            action = None
        self.counts.fallbacks += action is None
        return action

    async def end(self, timeout_s: float) -> None:
        """Tell the agent to forget the episode; one that is not there has nothing to forget."""
        self._drop_stream()
        if self.is_lost or not self._transcript.episode_id:
            return
        request = policy_pb2.EndEpisodeRequest(episode_id=self._transcript.episode_id)
        with contextlib.suppress(grpc.aio.AioRpcError):
            await self.stub.EndEpisode(request, timeout=timeout_s)

    async def close(self) -> None:
        """Drop the connection."""
        await self._stop_reviver()
        self._drop_channel()
        await asyncio.gather(*self._closing)

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
        attempt_s, backoff_s = 2 * FIRST_ATTEMPT_S, FIRST_BACKOFF_S
        try:
            async with asyncio.timeout_at(deadline_s):
                while True:
                    self._drop_stream()
                    try:
                        if not self._go_back(transcript, error):
                            await asyncio.sleep(backoff_s)
                            backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)
                            await self.connect(PROBE_TIMEOUT_S)
                            self.counts.reconnects += 1
                            what = f"agent {self._name()} at {self.address}: {in_words(error)}"
                            log.warning("%s; connected again", what)
                        async with asyncio.timeout(attempt_s):
                            return await self._catch_up(transcript)
                    except PASSING as another_error:
                        error = another_error
                        attempt_s *= 2
        except TimeoutError:
            self.lose(in_words(error))
        return None

    def _go_back(self, transcript: Transcript, error: Exception) -> bool:
        """Whether the agent says which step it expects; if so, that is what it is sent next."""
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
            action = await self._exchange(transcript.requests[transcript.answered_steps])
            transcript.answered_steps += 1
        return action

    async def _exchange(self, request: Any) -> int:
        """One step over the stream; one of PASSING when it breaks."""
        if self._stream is None:
            self._stream = self.stub.ActStream()
        stream = self._stream
        await stream.write(request)
        while True:
            reply = await stream.read()
            if reply is grpc.aio.EOF:  # type: ignore[attr-defined]
                raise StreamEndedError
            if reply.step == request.step:
                self.advantages = reply.advantages
                return int(reply.action)
            if reply.step > request.step:
                raise AgentError(f"it answered step {reply.step} when asked for {request.step}")
            # An earlier step's answer, delivered twice: it was taken already.

    def lose(self, why: str, wanted_model: str | None = None) -> None:
        """Go on without the agent, and look in the background for it, or for one with `wanted_model`."""
        if wanted_model is not None and self.identity is not None:
            self.identity = replace(self.identity, model_sha256=wanted_model)
        self._drop_stream()
        self.is_lost = True
        self.why_lost = why
        log.warning("agent %s at %s is lost: %s", self._name(), self.address, why)
        self._reviver = asyncio.create_task(self._keep_reviving())

    async def _keep_reviving(self) -> None:
        """Try again and again, ever more slowly, until the agent is there."""
        backoff_s = FIRST_BACKOFF_S
        while self.is_lost:
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)
            with contextlib.suppress(AgentError, *NOT_THERE):
                await self._revive()

    async def _revive(self, may_change_model: bool = False) -> None:
        await self.connect(PROBE_TIMEOUT_S, may_change_model=may_change_model)
        self.is_lost = False
        self.counts.reconnects += 1
        log.warning("agent %s at %s is back", self._name(), self.address)

    async def _stop_reviver(self) -> None:
        if self._reviver is not None:
            self._reviver.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reviver
            self._reviver = None

    def _drop_stream(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None

    def _drop_channel(self) -> None:
        """Close the channel without waiting for it."""
        self._drop_stream()
        if self._channel is not None:
            closing = asyncio.create_task(self._channel.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            self._channel = None

    def _name(self) -> object:
        return "?" if self.identity is None else self.identity.agent_id
