"""Keeps episodes on disk, so that a killed agent continues where it was.

One file per agent, of fixed size: a header, and for every episode that may run at once two slots of one
record each. A step overwrites the older slot of its pair; so whenever the process dies, the newer complete
record is the last step whose answer can have left. A record is checked by a CRC-32 and ordered by a sequence
number. Written pages outlive the process; with `fsync` they outlive a loss of power too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from envs.errors import InputError
from envs.files import replacing, sync_folder
from envs.types import HIDDEN_DIM
from runtime.agent.episodes import DIGEST_BYTES, MAX_EPISODE_ID_CHARS, Episode, StepReply
from runtime.agent.policy import Memory
from runtime.agent.state_folder import lock, make_folder, open_ours

MAGIC = b"LANSTATE"
VERSION = 1
HEADER = struct.Struct("<8sIIII")  # magic, version, pairs, n_actions, agent id + 1 (0: an older file)
HEADER_BYTES = 64
MAX_PAIRS = 65_536
MAX_ID_BYTES = 4 * MAX_EPISODE_ID_CHARS
FIELDS = struct.Struct(f"<QQq{DIGEST_BYTES}s32sH{MAX_ID_BYTES}s")
"""Sequence number, step, action, digests of request and model, length of the episode id, the id in UTF-8."""
CRC = struct.Struct("<I")


class Pair(NamedTuple):
    """The newer of a pair's two records and its slot; the sequence number is 0 when neither is whole."""

    sequence: int
    slot: int
    episode: Episode | None


def record_bytes(n_actions: int) -> int:
    """Size of one record: the fields, hidden [H] and advantages [A] as f32, the checksum."""
    return FIELDS.size + 4 * HIDDEN_DIM + 4 * n_actions + CRC.size


def file_bytes(pairs: int, n_actions: int) -> int:
    """Size of a state file."""
    return HEADER_BYTES + 2 * pairs * record_bytes(n_actions)


class StateFile:
    """The journal of one agent, `agent-<id>.state` in a directory; see `runtime.agent.episodes.Journal`.

    `restored` holds the episodes that an earlier process left behind, the last saved at the end. A file with
    room for `max_episodes` is used in place: going on needs no more of the disk than running did.
    InputError when the directory cannot be used, the file is not ours, or another process is using it.
    """

    def __init__(
        self, directory: Path, agent_id: int, *, n_actions: int, max_episodes: int, fsync: bool = False
    ) -> None:
        if max_episodes > MAX_PAIRS:
            raise InputError(f"--max-episodes {max_episodes}: with --state-dir at most {MAX_PAIRS} are kept")
        self.path = directory / f"agent-{agent_id}.state"
        self._fsync = fsync
        self._record_bytes = record_bytes(n_actions)
        self._doubtful: int | None = None  # the pair of an episode whose first record failed
        make_folder(directory, fsync)
        with contextlib.ExitStack() as opened:
            opened.callback(os.close, lock(self.path.with_suffix(".lock")))
            try:
                self._file, n_pairs = self._open(agent_id, n_actions, max_episodes)
                opened.callback(os.close, self._file)
                pairs = read_pairs(self._file, n_pairs, n_actions)
                self.restored = self._take_over(pairs, max_episodes)
                if fsync:  # an earlier process may have written without
                    os.fsync(self._file)
                    sync_folder(directory)
            except OSError as error:
                raise InputError(f"state file {self.path}: {error.strerror}") from None
            self._opened = opened.pop_all()

    def save(self, episode: Episode) -> None:
        """Keep the episode as it is now; OSError when the disk says no, and then nothing has changed."""
        self._clear_doubtful()
        pair = self._pairs.get(episode.episode_id)
        if pair is not None:
            self._write(pair, episode)
            return
        self._doubtful = self._free[-1]
        self._write(self._free[-1], episode)
        self._doubtful = None
        self._pairs[episode.episode_id] = self._free.pop()

    def forget(self, episode_id: str) -> None:
        """Drop the episode; an unknown one is no error. OSError when the disk says no: it is kept then."""
        self._clear_doubtful()
        if episode_id in self._pairs:
            self._write(self._pairs[episode_id], None)
            self._free.append(self._pairs.pop(episode_id))

    def close(self) -> None:
        """Let another process have the file."""
        self._opened.close()

    def _clear_doubtful(self) -> None:
        """Mark a pair as free whose record failed: it may lie on the disk all the same."""
        if self._doubtful is not None:
            self._write(self._doubtful, None)
            self._doubtful = None

    def _write(self, pair: int, episode: Episode | None) -> None:
        """Overwrite the older record of a pair; without an episode, mark the pair as free."""
        record = pack(self._sequence + 1, episode, self._record_bytes)
        slot = self._older_slot[pair]
        offset = HEADER_BYTES + (2 * pair + slot) * self._record_bytes
        if os.pwrite(self._file, record, offset) != len(record):
            raise OSError(errno.ENOSPC, "a record was not written whole", str(self.path))
        if self._fsync:
            os.fdatasync(self._file)
        self._sequence += 1
        self._older_slot[pair] = 1 - slot

    def _open(self, agent_id: int, n_actions: int, max_episodes: int) -> tuple[int, int]:
        """The state file and its pairs; a new one is made where there is none, or one without enough room."""
        kept: list[Episode] = []
        with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as opened:
            file = open_ours(self.path)
            opened.callback(os.close, file)
            n_pairs, its_n_actions = read_header(file, self.path, agent_id)
            if its_n_actions == n_actions:
                if n_pairs >= max_episodes:
                    opened.pop_all()
                    return file, n_pairs
                pairs = sorted(read_pairs(file, n_pairs, n_actions), key=lambda pair: pair.sequence)
                kept = [pair.episode for pair in pairs if pair.episode is not None]
        with replacing(self.path, 0o600) as new:
            # A full disk is noticed now, not in a battle.
            os.posix_fallocate(new.fileno(), 0, file_bytes(max_episodes, n_actions))
            new.write(HEADER.pack(MAGIC, VERSION, max_episodes, n_actions, agent_id + 1))
            for index, episode in enumerate(kept):
                new.seek(HEADER_BYTES + 2 * index * self._record_bytes)
                new.write(pack(index + 1, episode, self._record_bytes))
        return open_ours(self.path), max_episodes

    def _take_over(self, pairs: list[Pair], max_episodes: int) -> list[Episode]:
        """Go on with what the file holds: of more than `max_episodes`, with those that were saved last."""
        self._sequence = max(pair.sequence for pair in pairs)
        self._older_slot = [1 - pair.slot for pair in pairs]
        self._pairs: dict[str, int] = {}
        self._free: list[int] = []
        newest_first: list[Episode] = []
        for index in sorted(range(len(pairs)), key=lambda index: pairs[index].sequence, reverse=True):
            episode = pairs[index].episode
            if episode is not None and len(newest_first) < max_episodes:
                self._pairs[episode.episode_id] = index
                newest_first.append(episode)
                continue
            if episode is not None:
                self._write(index, None)
            self._free.append(index)
        return newest_first[::-1]


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
    try:
        episode_id = name[:length].decode()
    except UnicodeDecodeError:
        return None
    return sequence, Episode(episode_id, model_digest.hex(), request_digest, memory, reply)


def read_header(file: int, path: Path, agent_id: int) -> tuple[int, int]:
    """Pairs and n_actions of a state file; InputError when it is none, is damaged or is another agent's."""
    header = os.pread(file, HEADER_BYTES, 0)
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        raise InputError(f"{path} is no agent's state; remove it, or choose another --state-dir")
    _, version, pairs, n_actions, owner = HEADER.unpack_from(header)
    fits = 0 < pairs <= MAX_PAIRS and os.fstat(file).st_size == file_bytes(pairs, n_actions)
    if version != VERSION or not fits:
        raise InputError(f"{path} is damaged or of another version ({version}); remove it to start afresh")
    if owner not in (0, agent_id + 1):
        raise InputError(f"{path} holds the memories of agent {owner - 1}; choose another --state-dir")
    return pairs, n_actions


def read_pairs(file: int, n_pairs: int, n_actions: int) -> list[Pair]:
    """The newer whole record of every pair."""
    size = record_bytes(n_actions)
    return [newer(os.pread(file, 2 * size, HEADER_BYTES + 2 * size * index)) for index in range(n_pairs)]


def newer(data: bytes) -> Pair:
    """The newer whole record of the two in `data`."""
    size = len(data) // 2
    whole = [
        Pair(found[0], slot, found[1])
        for slot in (0, 1)
        if (found := unpack(data[slot * size : (slot + 1) * size])) is not None
    ]
    return max(whole, key=lambda pair: pair.sequence, default=Pair(0, 1, None))
