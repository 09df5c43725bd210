"""Replay on disk: a checkpoint appends the episodes that came since the last one and rewrites none."""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.errors import InputError
from envs.files import replacing
from trainer.replay.buffer import ReplayBuffer
from trainer.replay.episode import STORED_ARRAYS, StoredEpisode

NAME = re.compile(r"episodes-(\d+)-(\d+)\.npz")
LARGE = ("obs_bits", "obs_values", "state")
FLAGS = ("terminated", "truncated", "won")


class ReplaySegments:
    """The folder `replay/` of a run: files `episodes-FIRST-END.npz`, uncompressed, written atomically."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.saved = 0  # episodes that are on disk or no longer needed

    def append(self, replay: ReplayBuffer) -> None:
        """Write the episodes that came since the last call; OSError when the disk says no."""
        episodes = replay.episodes_since(self.saved)
        if episodes:
            self.folder.mkdir(exist_ok=True)
            first = replay.inserted - len(episodes)
            write_segment(self.folder / f"episodes-{first:08d}-{replay.inserted:08d}.npz", episodes)
        self.saved = replay.inserted

    def spill(self, replay: ReplayBuffer) -> None:
        """Write the new episodes; from then on replay reads all its episodes from the files."""
        self.append(replay)
        for path, first, end in self._files():
            if end > replay.oldest:
                for number, episode in enumerate(read_segment(path, mapped=True), first):
                    if replay.oldest <= number < replay.inserted:
                        replay.move(number, episode)

    def load(self, replay: ReplayBuffer, n_episodes: int) -> None:
        """Fill an empty replay with the episodes it held after `n_episodes` insertions.

        InputError when episodes that replay would hold are missing or unreadable.
        """
        first_needed = max(0, n_episodes - replay.capacity_episodes)
        replay.inserted = first_needed
        for path, first, end in self._files():
            if first_needed < end and first < n_episodes:
                if first > replay.inserted:
                    break
                for episode in read_segment(path)[replay.inserted - first :]:
                    replay.insert_stored(episode)
        if replay.inserted != n_episodes:
            raise InputError(
                f"{self.folder} lacks episodes {replay.inserted} to {n_episodes - 1}, so this run cannot be "
                "resumed exactly; its checkpoint can still be exported and evaluated"
            )
        self.saved = n_episodes

    def drop(self, before: int, after: int) -> None:
        """Remove files all of whose episodes are numbered below `before`, or `after` and higher."""
        for path, first, end in self._files():
            if end <= before or first >= after:
                path.unlink()

    def _files(self) -> list[tuple[Path, int, int]]:
        paths = self.folder.glob("episodes-*.npz")
        matches = [(path, match) for path in paths if (match := NAME.fullmatch(path.name))]
        return sorted(((path, int(m[1]), int(m[2])) for path, m in matches), key=lambda file: file[1])


def write_segment(path: Path, episodes: Sequence[StoredEpisode]) -> None:
    """Write episodes end to end, whole or not at all."""
    data: dict[str, npt.NDArray[np.generic]] = {
        name: np.concatenate([getattr(episode, name) for episode in episodes]) for name in STORED_ARRAYS
    }
    data |= {name: np.array([getattr(episode, name) for episode in episodes]) for name in FLAGS}
    data["obs_dim"] = np.array(episodes[0].obs_dim)
    data["length"] = np.array([episode.length for episode in episodes])
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **data)


def read_segment(path: Path, *, mapped: bool = False) -> list[StoredEpisode]:
    """The episodes of one file; InputError when it is damaged.

    With `mapped` the large arrays are views of the file, read when they are used and not checked before.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            names = ("obs_dim", "length", *FLAGS, *(n for n in STORED_ARRAYS if not mapped or n not in LARGE))
            data = {name: file[name] for name in names}
            if mapped:
                data |= {name: map_member(path, file.zip.getinfo(f"{name}.npy")) for name in LARGE}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"replay segment {path} is damaged: {error}") from None
    lengths = data["length"]
    steps, rows = np.cumsum(lengths)[:-1], np.cumsum(lengths + 1)[:-1]
    values = np.cumsum(data["obs_counts"], dtype=np.int64)[rows - 1]
    cuts = {"action": steps, "reward": steps, "obs_values": values}
    parts: dict[str, Any] = {name: np.split(data[name], cuts.get(name, rows)) for name in STORED_ARRAYS}
    parts |= {name: data[name].tolist() for name in FLAGS}
    return [
        StoredEpisode(obs_dim=int(data["obs_dim"]), **{name: part[e] for name, part in parts.items()})
        for e in range(len(lengths))
    ]


def map_member(path: Path, member: zipfile.ZipInfo) -> np.memmap[Any, Any]:
    """One array of an uncompressed .npz file as a view of the file, read-only."""
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)  # lengths of the name and of the extra field that follow
        name_bytes, extra_bytes = struct.unpack("<HH", file.read(4))
        file.seek(member.header_offset + 30 + name_bytes + extra_bytes)
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        return np.memmap(file, dtype, "r", file.tell(), shape)
