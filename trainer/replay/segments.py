"""Replay on disk: a checkpoint appends the episodes that came since the last one and rewrites none."""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.errors import InputError
from envs.files import read_regular, replacing
from trainer.replay.buffer import ReplayBuffer
from trainer.replay.episode import STORED_ARRAYS, StoredEpisode

NAME = re.compile(r"episodes-(\d+)-(\d+)\.npz")
FLAGS = ("terminated", "truncated", "won")
SEGMENT_BYTES = 1 << 26
"""About the most that one file holds, so that writing and reading take little memory beside replay."""

Arrays = dict[str, npt.NDArray[Any]]


class ReplaySegments:
    """The folder `replay/` of a run: files `episodes-FIRST-END.npz`, uncompressed, written atomically."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.saved = 0  # episodes that are on disk or no longer needed
        self._in_memory: list[Segment] = []  # files whose episodes replay still holds in memory

    def append(self, replay: ReplayBuffer) -> None:
        """Write the episodes that came since the last call; OSError when the disk says no."""
        episodes = [episode.load() for episode in replay.episodes_since(self.saved)]
        first = replay.inserted - len(episodes)
        if episodes:
            self.folder.mkdir(exist_ok=True)
        for part in in_parts(episodes):
            end = first + len(part)
            path = self.folder / f"episodes-{first:08d}-{end:08d}.npz"
            self._in_memory.append(write_segment(path, first, part))
            self.saved = first = end
        self._in_memory = [segment for segment in self._in_memory if segment.end > replay.oldest]

    def spill(self, replay: ReplayBuffer) -> None:
        """Write the new episodes; from then on replay reads all its episodes from the files.

        OSError when the disk says no; replay then keeps in memory what it could not write.
        """
        try:
            self.append(replay)
        finally:
            self._release(replay)

    def load(self, replay: ReplayBuffer, n_episodes: int, memory_bytes: float = math.inf) -> None:
        """Fill an empty replay with the episodes it held after `n_episodes` insertions.

        Beyond `memory_bytes` they stay in their files. InputError when episodes that replay would hold are
        missing or damaged; OSError when they cannot be read now.
        """
        first_needed = max(0, n_episodes - replay.capacity_episodes)
        replay.inserted = first_needed
        for path, first, end in self._files():
            if first_needed < end and first < n_episodes:
                if first > replay.inserted:
                    break
                segment, episodes = open_segment(path, replay.n_actions)
                for episode in episodes[replay.inserted - first :]:
                    replay.insert_stored(episode)
                self._in_memory.append(segment)
                if replay.memory_bytes > memory_bytes:
                    self._release(replay)
        if replay.inserted != n_episodes:
            first, last = min(replay.inserted, n_episodes), max(replay.inserted, n_episodes) - 1
            raise InputError(
                f"{self.folder} lacks episodes {first} to {last}, so this run cannot be resumed exactly; its "
                "checkpoint can still be exported and evaluated"
            )
        self.saved = n_episodes

    def drop(self, before: int, after: int) -> None:
        """Remove files all of whose episodes are numbered below `before`, or `after` and higher."""
        for path, first, end in self._files():
            if end <= before or first >= after:
                path.unlink(missing_ok=True)

    def _release(self, replay: ReplayBuffer) -> None:
        """Have replay read from their files the episodes that are both in memory and on disk."""
        for segment in self._in_memory:
            for index in range(len(segment)):
                replay.move(segment.first + index, EpisodeOnDisk(segment, index))
        self._in_memory = []

    def _files(self) -> list[tuple[Path, int, int]]:
        paths = self.folder.glob("episodes-*.npz")
        matches = [(path, match) for path in paths if (match := NAME.fullmatch(path.name))]
        return sorted(((path, int(m[1]), int(m[2])) for path, m in matches), key=lambda file: file[1])


@dataclass(frozen=True)
class Segment:
    """Where a file holds each array of each episode; it keeps no descriptor.

    `starts`: of each array the row at which each episode begins, and the end. `members`: of each array the
    byte at which its rows begin, the shape of a row, and its type.
    """

    path: Path
    first: int
    obs_dim: int
    flags: dict[str, list[bool]]
    starts: dict[str, list[int]]
    members: dict[str, tuple[int, tuple[int, ...], np.dtype[Any]]]

    def __len__(self) -> int:
        return len(self.flags["won"])

    @property
    def end(self) -> int:
        """The number of the episode after the last."""
        return self.first + len(self)

    def episode(self, index: int, arrays: Arrays) -> StoredEpisode:
        """An episode made of its arrays."""
        flags = {name: values[index] for name, values in self.flags.items()}
        return StoredEpisode(obs_dim=self.obs_dim, **arrays, **flags)  # type: ignore[arg-type]

    def size(self, index: int) -> int:
        """Bytes of an episode's arrays."""
        return sum(self._place(name, index)[1] for name in STORED_ARRAYS)

    def read(self, index: int) -> StoredEpisode:
        """An episode; OSError when the file cannot be read now."""
        arrays: Arrays = {}
        with self.path.open("rb", buffering=0) as file:
            for name, (_, shape, dtype) in self.members.items():
                offset, size = self._place(name, index)
                file.seek(offset)
                content = file.read(size)
                if content is None or len(content) != size:
                    raise OSError(None, "the file is shorter than it was", str(self.path))
                arrays[name] = np.frombuffer(content, dtype).reshape(-1, *shape)
        return self.episode(index, arrays)

    def _place(self, name: str, index: int) -> tuple[int, int]:
        offset, shape, dtype = self.members[name]
        row_bytes = math.prod(shape) * dtype.itemsize
        start, end = self.starts[name][index : index + 2]
        return offset + start * row_bytes, (end - start) * row_bytes


@dataclass(frozen=True)
class EpisodeOnDisk:
    """An episode that is read whenever it is used."""

    segment: Segment
    index: int

    @property
    def nbytes(self) -> int:
        """Bytes the episode's arrays take."""
        return self.segment.size(self.index)

    @property
    def on_disk(self) -> bool:
        """It is."""
        return True

    def load(self) -> StoredEpisode:
        """The episode in memory; OSError when its file cannot be read now."""
        return self.segment.read(self.index)


def in_parts(episodes: Sequence[StoredEpisode]) -> Iterator[list[StoredEpisode]]:
    """The episodes in order, in lists of `SEGMENT_BYTES` or one episode more."""
    part, size = list[StoredEpisode](), 0
    for episode in episodes:
        part.append(episode)
        size += episode.nbytes
        if size >= SEGMENT_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def write_segment(path: Path, first: int, episodes: Sequence[StoredEpisode]) -> Segment:
    """Write episodes end to end, whole or not at all; OSError when the disk says no."""
    data: Arrays = {
        name: np.concatenate([getattr(episode, name) for episode in episodes]) for name in STORED_ARRAYS
    }
    data |= {name: np.array([getattr(episode, name) for episode in episodes]) for name in FLAGS}
    data["obs_dim"] = np.array(episodes[0].obs_dim)
    data["length"] = np.array([episode.length for episode in episodes])
    content = io.BytesIO()  # given the file, numpy could answer a full disk with another error than OSError
    np.savez(content, allow_pickle=False, **data)
    segment = describe(path, first, content, data)
    with replacing(path) as file:
        file.write(content.getbuffer())
    return segment


def read_segment(path: Path) -> list[StoredEpisode]:
    """The episodes of one file; errors as `open_segment`."""
    return open_segment(path)[1]


def open_segment(path: Path, n_actions: int | None = None) -> tuple[Segment, list[StoredEpisode]]:
    """The places and the episodes in one file; InputError when it is damaged.

    OSError when it cannot be read now, which says nothing about the file.
    """
    match = NAME.fullmatch(path.name)
    first, end = (int(match[1]), int(match[2])) if match else (0, 0)
    content = io.BytesIO(read_regular(path))  # from here on an error is the file's
    try:
        with np.load(content, allow_pickle=False) as file:
            data: Arrays = {name: file[name] for name in ("obs_dim", "length", *FLAGS, *STORED_ARRAYS)}
        check(data, end - first, n_actions)
        segment = describe(path, first, content, data)
    except MemoryError:
        raise
    except Exception as error:  # zipfile, zlib and numpy have many for damaged bytes
        reason = str(error) or type(error).__name__
        raise InputError(f"replay segment {path} is damaged: {reason}") from None
    parts = {name: np.split(data[name], segment.starts[name][1:-1]) for name in STORED_ARRAYS}
    return segment, [
        segment.episode(e, {name: part[e] for name, part in parts.items()}) for e in range(len(segment))
    ]


def check(data: Arrays, n_episodes: int, n_actions: int | None) -> None:
    """ValueError unless the arrays fit each other, since compiled code reads them without looking."""
    lengths, counts, bits, action = (data[name] for name in ("length", "obs_counts", "obs_bits", "action"))
    if n_episodes < 1 or lengths.shape != (n_episodes,) or lengths.dtype != np.int64 or (lengths < 1).any():
        raise ValueError(f"its name counts {n_episodes} episodes, it holds lengths of {lengths.shape}")
    steps, rows = int(lengths.sum()), int(lengths.sum()) + n_episodes
    n_values = int(counts.sum(dtype=np.int64))
    wanted: dict[str, tuple[str, tuple[int | None, ...]]] = {
        "obs_bits": ("u1", (rows, None)), "obs_values": ("f4 f2", (n_values,)), "obs_counts": ("i4", (rows,)),
        "state": ("f4 f2", (rows, None)), "avail_bits": ("u1", (rows, None)), "action": ("u1", (steps, None)),
        "reward": ("f4", (steps,)), **dict.fromkeys(FLAGS, ("b1", (n_episodes,))),
    }  # fmt: skip
    for name, (types, shape) in wanted.items():
        array = data[name]
        fits = len(array.shape) == len(shape) and array.dtype.str[1:] in types and array.flags.c_contiguous
        if not fits or any(n not in (None, own) for n, own in zip(shape, array.shape, strict=True)):
            raise ValueError(f"{name} has the shape {array.shape} and the type {array.dtype}")
    n_agents, obs_dim = action.shape[1], int(data["obs_dim"])
    if n_agents < 1 or obs_dim < 1 or bits.shape[1] != -(-n_agents * obs_dim // 8):
        raise ValueError(f"its observations do not have {obs_dim} features of {n_agents} agents")
    if (np.bitwise_count(bits).sum(1, dtype=np.int64) != counts).any():
        raise ValueError("its bits do not count its values")
    if n_actions is not None and data["avail_bits"].shape[1] != -(-n_agents * n_actions // 8):
        raise ValueError(f"its environment does not have {n_actions} actions")
    if n_actions is not None and action.max() >= n_actions:
        raise ValueError(f"it holds the action {action.max()} of {n_actions}")


def describe(path: Path, first: int, content: io.BytesIO, data: Arrays) -> Segment:
    """Where the arrays of a written file are."""
    lengths, values = data["length"], np.cumsum(data["obs_counts"], dtype=np.int64)
    steps = np.concatenate(([0], np.cumsum(lengths)))
    rows = steps + np.arange(len(steps))
    starts = {name: rows.tolist() for name in STORED_ARRAYS}
    starts |= {"action": steps.tolist(), "reward": steps.tolist()}
    starts["obs_values"] = [0, *values[rows[1:] - 1].tolist()]
    with zipfile.ZipFile(content) as archive:
        offsets = {name: data_offset(content, archive.getinfo(f"{name}.npy")) for name in STORED_ARRAYS}
    return Segment(
        path=path,
        first=first,
        obs_dim=int(data["obs_dim"]),
        flags={name: data[name].tolist() for name in FLAGS},
        starts=starts,
        members={name: (offsets[name], data[name].shape[1:], data[name].dtype) for name in STORED_ARRAYS},
    )


def data_offset(content: io.BytesIO, member: zipfile.ZipInfo) -> int:
    """The byte at which the numbers of one array begin in an uncompressed .npz file."""
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError("it is compressed")
    content.seek(member.header_offset + 26)  # lengths of the name and of the extra field that follow
    name_bytes, extra_bytes = struct.unpack("<HH", content.read(4))
    content.seek(member.header_offset + 30 + name_bytes + extra_bytes)
    np.lib.format.read_magic(content)
    np.lib.format.read_array_header_1_0(content)
    return content.tell()
