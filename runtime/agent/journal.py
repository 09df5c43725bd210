"""Keeps episodes on disk, so that a killed agent continues where it was.

One file per agent, of fixed size: a header, and for every episode that may run at once two slots of one
record each. A step overwrites the older slot of its pair; so whenever the process dies, the newer complete
record is the last step whose answer can have left. A record is checked by a CRC-32 and ordered by a sequence
number. Written pages outlive the process; with `fsync` they outlive a loss of power too.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from envs.errors import InputError
from envs.files import replacing
from envs.types import HIDDEN_DIM
from runtime.agent.episodes import DIGEST_BYTES, MAX_EPISODE_ID_CHARS, Episode, StepReply
from runtime.agent.policy import Memory

MAGIC = b"LANSTATE"
VERSION = 1
HEADER = struct.Struct("<8sIII")  # magic, version, pairs, n_actions
HEADER_BYTES = 64
MAX_ID_BYTES = 4 * MAX_EPISODE_ID_CHARS
FIELDS = struct.Struct(f"<QQq{DIGEST_BYTES}s32sH{MAX_ID_BYTES}s")
"""Sequence number, step, action, digests of request and model, length of the episode id, the id in UTF-8."""
CRC = struct.Struct("<I")


def record_bytes(n_actions: int) -> int:
    """Size of one record: the fields, hidden [H] and advantages [A] as f32, the checksum."""
    return FIELDS.size + 4 * HIDDEN_DIM + 4 * n_actions + CRC.size


class StateFile:
    """The journal of one agent, `agent-<id>.state` in a directory; see `runtime.agent.episodes.Journal`.

    `restored` holds the episodes that an earlier process left behind, the last saved at the end.
    InputError when the directory cannot be used, the file is not ours, or another process is using it.
    """

    def __init__(
        self, directory: Path, agent_id: int, *, n_actions: int, max_episodes: int, fsync: bool = False
    ) -> None:
        self.path = directory / f"agent-{agent_id}.state"
        self._fsync = fsync
        self._record_bytes = record_bytes(n_actions)
        self._lock = lock(directory, self.path.with_suffix(".lock"))
        try:
            self.restored = read_episodes(self.path)[-max_episodes:]
            self._free = list(range(max_episodes))
            self._pairs: dict[str, int] = {}
            self._older_slot = [0] * max_episodes
            self._sequence = 0
            self._file = -1
            self._rewrite(n_actions, max_episodes)
        except OSError as error:
            os.close(self._lock)
            raise InputError(f"state file {self.path}: {error.strerror}") from None
        except BaseException:
            os.close(self._lock)
            raise

    def save(self, episode: Episode) -> None:
        """Keep the episode as it is now."""
        pair = self._pairs.get(episode.episode_id)
        if pair is None:
            pair = self._free[-1]
        self._write(pair, episode)
        if episode.episode_id not in self._pairs:
            self._pairs[episode.episode_id] = self._free.pop()

    def forget(self, episode_id: str) -> None:
        """Drop the episode; an unknown one is no error."""
        if episode_id in self._pairs:
            self._write(self._pairs[episode_id], None)
            self._free.append(self._pairs.pop(episode_id))

    def close(self) -> None:
        """Let another process have the file."""
        os.close(self._file)
        os.close(self._lock)

    def _write(self, pair: int, episode: Episode | None) -> None:
        """Overwrite the older record of a pair; without an episode, mark the pair as free."""
        record = pack(self._sequence + 1, episode, self._record_bytes)
        slot = self._older_slot[pair]
        offset = HEADER_BYTES + (2 * pair + slot) * self._record_bytes
        if os.pwrite(self._file, record, offset) != len(record):
            raise OSError(f"{self.path}: a record was not written whole")
        if self._fsync:
            os.fdatasync(self._file)
        self._sequence += 1
        self._older_slot[pair] = 1 - slot

    def _rewrite(self, n_actions: int, max_episodes: int) -> None:
        """Replace the file by one of the current layout that holds the restored episodes."""
        size = HEADER_BYTES + 2 * max_episodes * self._record_bytes
        with replacing(self.path, 0o600) as file:
            self._file = os.dup(file.fileno())  # stays open: records are written into it
            os.posix_fallocate(self._file, 0, size)  # a full disk is noticed now, not in a battle
            os.pwrite(self._file, HEADER.pack(MAGIC, VERSION, max_episodes, n_actions), 0)
            for episode in self.restored:
                if len(episode.reply.advantages) == n_actions:
                    self.save(episode)


def lock(directory: Path, path: Path) -> int:
    """A lock that lasts as long as the process; InputError when another one holds it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InputError(f"state directory {directory} cannot be used: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InputError(f"{path} is held by another agent: every agent needs its own state") from None
    return descriptor


def pack(sequence: int, episode: Episode | None, size: int) -> bytes:
    """One record of `size` bytes; without an episode, the mark of a free pair."""
    if episode is None:
        body = FIELDS.pack(sequence, 0, 0, b"", b"", 0, b"").ljust(size - CRC.size, b"\0")
    else:
        name = episode.episode_id.encode()
        reply = episode.reply
        model_digest = bytes.fromhex(episode.model_digest)
        fields = FIELDS.pack(
            sequence, reply.step, reply.action, episode.request_digest, model_digest, len(name), name
        )
        body = fields + episode.memory.hidden.tobytes() + reply.advantages.tobytes()
    return body + CRC.pack(zlib.crc32(body))


def unpack(record: bytes) -> tuple[int, Episode | None] | None:
    """A record's sequence number and episode (None: the pair is free); None when it is not whole."""
    body, (crc,) = record[: -CRC.size], CRC.unpack(record[-CRC.size :])
    if zlib.crc32(body) != crc:
        return None
    sequence, step, action, request_digest, model_digest, length, name = FIELDS.unpack_from(body)
    if not length:
        return sequence, None
    numbers = np.frombuffer(body, np.float32, offset=FIELDS.size)
    memory = Memory(numbers[:HIDDEN_DIM].reshape(1, HIDDEN_DIM).copy(), action)
    reply = StepReply(step, action, numbers[HIDDEN_DIM:].copy())
    episode_id = name[:length].decode()
    return sequence, Episode(episode_id, model_digest.hex(), request_digest, memory, reply)


def read_episodes(path: Path) -> list[Episode]:
    """The episodes in a state file, the one saved last at the end; none when there is no file.

    InputError when the file is not a state file.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    if len(data) < HEADER_BYTES or not data.startswith(MAGIC):
        raise InputError(f"{path} is no agent's state; remove it, or choose another --state-dir")
    _, version, pairs, n_actions = HEADER.unpack_from(data)
    if version != VERSION or len(data) != HEADER_BYTES + 2 * pairs * record_bytes(n_actions):
        raise InputError(f"{path} is damaged or of another version ({version}); remove it to start afresh")
    size = record_bytes(n_actions)
    records = [data[start : start + size] for start in range(HEADER_BYTES, len(data), size)]
    newest = [newer(records[i : i + 2]) for i in range(0, len(records), 2)]
    found = [entry for entry in newest if entry is not None]
    return [episode for _, episode in sorted(found, key=lambda entry: entry[0]) if episode is not None]


def newer(pair: Sequence[bytes]) -> tuple[int, Episode | None] | None:
    """The newer of two records, or the only whole one, or None."""
    whole = [entry for entry in map(unpack, pair) if entry is not None]
    return max(whole, key=lambda entry: entry[0], default=None)
