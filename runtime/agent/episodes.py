"""Taking every step of every episode exactly once: a state machine without I/O.

Deadlines, retries and reconnects deliver requests twice or late. Per episode the table keeps the last step,
the digest of its inputs, and its reply; so a repeated request gets the same reply and memory advances once.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from envs.errors import InputError, LanError
from envs.types import BoolArray, FloatArray
from runtime.agent.policy import AgentPolicy, Memory

MAX_EPISODE_ID_CHARS = 64
DIGEST_BYTES = 16
OBS_DTYPE = np.dtype("<f4")


class RequestError(LanError):
    """A refused request; it has changed nothing.

    `code` is the name of a gRPC status, `reason` is for programs, `field` names the request's wrong field.
    """

    def __init__(self, code: str, reason: str, message: str, field: str = "", **metadata: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.field = field
        self.metadata = metadata


def invalid(field: str, message: str) -> RequestError:
    """The error for a request whose `field` cannot be used."""
    return RequestError("INVALID_ARGUMENT", "INVALID_FIELD", f"{field}: {message}", field)


class StepRequest(NamedTuple):
    """One step of one episode as it came in: observation [O] little-endian f32, available_actions [A] 0/1."""

    episode_id: str
    step: int
    observation: bytes
    available_actions: bytes

    def digest(self) -> bytes:
        """A digest of the step's inputs, 16 bytes; it includes a length, which keeps the two parts apart."""
        hasher = hashlib.blake2b(self.observation, digest_size=DIGEST_BYTES)
        hasher.update(len(self.observation).to_bytes(8, "little"))
        hasher.update(self.available_actions)
        return hasher.digest()


class StepReply(NamedTuple):
    """The answer to one step: the action, and the advantages [A] f32 it was chosen by."""

    step: int
    action: int
    advantages: FloatArray


class Episode(NamedTuple):
    """An episode after its last step: all that is needed to repeat that step's reply and to take the next."""

    episode_id: str
    model_digest: str
    request_digest: bytes
    memory: Memory
    reply: StepReply


class Journal(Protocol):
    """Where episodes are kept beyond the life of the process."""

    def save(self, episode: Episode) -> None:
        """Keep the episode as it is now; when this returns, a restarted process finds it."""
        ...

    def forget(self, episode_id: str) -> None:
        """Drop the episode; an unknown one is no error. When this raises, the episode is still kept."""
        ...


@dataclass(slots=True)
class LiveEpisode:
    """An episode in the table, the policy it began with, and the time of its last request."""

    episode: Episode
    policy: AgentPolicy
    touched_s: float


class EpisodeTable:
    """The episodes of one agent. Times are handed in, so that nothing here waits or looks at a clock.

    `policy` is what new episodes begin with; running ones finish with their own, so it may be replaced.
    At most `max_episodes` are kept; one not asked for during `idle_s` seconds is forgotten.
    """

    def __init__(
        self, policy: AgentPolicy, *, max_episodes: int, idle_s: float, journal: Journal | None = None
    ) -> None:
        self.policy = policy
        self.max_episodes = max_episodes
        self.idle_s = idle_s
        self.steps = 0
        self.duplicates = 0
        self._journal = journal
        self._live: OrderedDict[str, LiveEpisode] = OrderedDict()  # least recently asked for first

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, episode_id: str) -> bool:
        return episode_id in self._live

    def act(self, request: StepRequest, now_s: float) -> StepReply:
        """Take one step, or repeat the last one's reply; RequestError, with nothing changed, otherwise."""
        check_episode_id(request.episode_id)
        live = self._live.get(request.episode_id)
        digest = request.digest()
        if live is None:
            return self._begin(request, digest, now_s)
        last = live.episode
        if request.step == last.reply.step and digest == last.request_digest:
            self.duplicates += 1
            self._touch(live, now_s)
            return last.reply
        if request.step != last.reply.step + 1:
            raise out_of_order(request.step, last.reply.step + 1, request.step == last.reply.step)
        episode = advance(live.policy, last.memory, request, digest)
        self._commit(episode)
        live.episode = episode
        self._touch(live, now_s)
        return episode.reply

    def restore(self, episodes: Sequence[Episode], now_s: float) -> int:
        """Put back the episodes of a journal and return how many; those of another model are forgotten.

        InputError when the journal cannot forget one.
        """
        for episode in episodes:
            if episode.model_digest == self.policy.digest:
                self._live[episode.episode_id] = LiveEpisode(episode, self.policy, now_s)
            elif self._journal is not None:
                try:
                    self._journal.forget(episode.episode_id)
                except OSError as error:
                    text = f"a memory of another model cannot be removed from --state-dir: {error.strerror}"
                    raise InputError(text) from None
        return len(self._live)

    def end(self, episode_id: str) -> bool:
        """Forget an episode; return whether it was known."""
        check_episode_id(episode_id)
        if self._journal is not None:
            self._journal.forget(episode_id)  # first: when it fails, the episode is still here to be ended
        return self._live.pop(episode_id, None) is not None

    def expire(self, now_s: float) -> int:
        """Forget the episodes without a request for `idle_s` seconds; return how many those were.

        OSError when the journal cannot forget some: these stay, the others are forgotten.
        """
        idle = [episode_id for episode_id, live in self._live.items() if now_s - live.touched_s > self.idle_s]
        failure: OSError | None = None
        for episode_id in idle:
            try:
                self.end(episode_id)
            except OSError as error:
                failure = error
        if failure is not None:
            raise failure
        return len(idle)

    def _begin(self, request: StepRequest, digest: bytes, now_s: float) -> StepReply:
        """The first step of an episode that is not in the table."""
        if request.step != 0:
            raise RequestError(
                "NOT_FOUND",
                "UNKNOWN_EPISODE",
                f"the episode is not known here, and step {request.step} cannot begin it",
                expected_step="0",
            )
        episode = advance(self.policy, self.policy.initial_memory(), request, digest)
        if len(self._live) >= self.max_episodes and not self.expire(now_s):
            raise RequestError(
                "RESOURCE_EXHAUSTED",
                "TOO_MANY_EPISODES",
                f"{self.max_episodes} episodes are running; end one of them first",
            )
        self._commit(episode)
        self._live[request.episode_id] = LiveEpisode(episode, self.policy, now_s)
        return episode.reply

    def _commit(self, episode: Episode) -> None:
        """Make a step durable before it counts; if the journal fails, everything stays as it was."""
        if self._journal is not None:
            self._journal.save(episode)
        self.steps += 1

    def _touch(self, live: LiveEpisode, now_s: float) -> None:
        live.touched_s = now_s
        self._live.move_to_end(live.episode.episode_id)


def advance(policy: AgentPolicy, memory: Memory, request: StepRequest, digest: bytes) -> Episode:
    """The episode after a step with `memory`; RequestError when input or outcome cannot be used."""
    obs = read_observation(request.observation, policy.spec.obs_dim)
    avail_actions = read_available_actions(request.available_actions, policy.spec.n_actions)
    memory, advantages = policy.step(memory, obs, avail_actions)
    if not (is_finite(memory.hidden) and is_finite(advantages)):
        raise invalid("observation", "values so large that the memory would not stay finite")
    reply = StepReply(request.step, memory.last_action, advantages)
    return Episode(request.episode_id, policy.digest, digest, memory, reply)


def is_finite(values: FloatArray) -> bool:
    """Whether an array holds neither infinities nor NaN."""
    return bool(np.logical_and.reduce(np.isfinite(values), axis=None))


def out_of_order(step: int, expected: int, same_step: bool) -> RequestError:
    """The error for a step that is neither the next one nor a repetition of the last."""
    what = f"step {step} was answered for other inputs" if same_step else f"step {step} is out of order"
    return RequestError(
        "FAILED_PRECONDITION",
        "STEP_OUT_OF_ORDER",
        f"{what}; step {expected} is expected",
        "step",
        expected_step=str(expected),
    )


def check_episode_id(episode_id: str) -> None:
    """RequestError unless the id has 1 to 64 characters."""
    if not 1 <= len(episode_id) <= MAX_EPISODE_ID_CHARS:
        raise invalid("episode_id", f"{len(episode_id)} characters; 1 to {MAX_EPISODE_ID_CHARS} are needed")


def read_observation(data: bytes, obs_dim: int) -> FloatArray:
    """obs [O] f32 from its bytes; RequestError unless all are there and finite."""
    if len(data) != 4 * obs_dim:
        raise invalid("observation", f"{len(data)} bytes; {obs_dim} float32 values are {4 * obs_dim}")
    obs = np.frombuffer(data, OBS_DTYPE)
    if not is_finite(obs):
        index = int(np.flatnonzero(~np.isfinite(obs))[0])
        raise invalid("observation", f"value {index} is not finite")
    return obs


def read_available_actions(data: bytes, n_actions: int) -> BoolArray:
    """avail_actions [A] from its bytes; RequestError unless all are there, each 0 or 1, and one is 1."""
    if len(data) != n_actions:
        raise invalid("available_actions", f"{len(data)} bytes; {n_actions} actions need one each")
    ones = data.count(1)
    if ones + data.count(0) != n_actions:
        raise invalid("available_actions", "a byte is neither 0 nor 1")
    if not ones:
        raise invalid("available_actions", "no action is available")
    return np.frombuffer(data, np.bool_)
