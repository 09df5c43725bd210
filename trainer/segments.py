"""Replay on disk: a checkpoint appends the episodes that came since the last one, nothing is rewritten."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from envs.command import InputError
from trainer.replay import Episode, ReplayBuffer

NAME = re.compile(r"episodes-(\d+)-(\d+)\.npz")
ARRAYS = ("obs", "state", "avail_bits", "action", "reward")
FLAGS = ("terminated", "truncated", "won")


class ReplaySegments:
    """The folder `replay/` of a run: files `episodes-FIRST-END.npz`, uncompressed, written atomically."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.saved = 0  # episodes that are on disk or no longer needed

    def append(self, replay: ReplayBuffer) -> None:
        """Write the episodes that came since the last call; drop files that replay has outlived."""
        episodes = replay.episodes_since(self.saved)
        if episodes:
            self.folder.mkdir(exist_ok=True)
            first = replay.inserted - len(episodes)
            write_segment(self.folder / f"episodes-{first:08d}-{replay.inserted:08d}.npz", episodes)
        self.saved = replay.inserted
        oldest = replay.inserted - replay.capacity_episodes
        for path, _, end in self._files():
            if end <= oldest:
                path.unlink()

    def load(self, replay: ReplayBuffer, n_episodes: int) -> None:
        """Fill an empty replay with what it held when `n_episodes` had been inserted.

        Files written after that are removed: the resumed run plays those episodes again. InputError when
        episodes that replay would hold are missing or unreadable.
        """
        first_needed = max(0, n_episodes - replay.capacity_episodes)
        replay.inserted = first_needed
        for path, first, end in self._files():
            if first >= n_episodes:
                path.unlink()
            elif end > first_needed:
                if first > replay.inserted:
                    break
                for episode in read_segment(path)[replay.inserted - first :]:
                    replay.insert(episode)
        if replay.inserted != n_episodes:
            raise InputError(
                f"{self.folder} lacks episodes {replay.inserted} to {n_episodes - 1}, so this run cannot be "
                "resumed exactly; its checkpoint can still be exported and evaluated"
            )
        self.saved = n_episodes

    def _files(self) -> list[tuple[Path, int, int]]:
        paths = self.folder.glob("episodes-*.npz")
        matches = [(path, match) for path in paths if (match := NAME.fullmatch(path.name))]
        return sorted(((path, int(m[1]), int(m[2])) for path, m in matches), key=lambda file: file[1])


def write_segment(path: Path, episodes: Sequence[Episode]) -> None:
    """Write episodes end to end, whole or not at all."""
    data: dict[str, npt.NDArray[np.generic]] = {
        name: np.concatenate([getattr(episode, name) for episode in episodes]) for name in ARRAYS
    }
    data |= {name: np.array([getattr(episode, name) for episode in episodes]) for name in FLAGS}
    data["length"] = np.array([episode.length for episode in episodes])
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_segment(path: Path) -> list[Episode]:
    """The episodes of one file; InputError when it is damaged."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            data = {name: file[name] for name in (*ARRAYS, *FLAGS, "length")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"replay segment {path} is damaged: {error}") from None
    cuts = np.cumsum(data["length"])[:-1]
    row_cuts = np.cumsum(data["length"] + 1)[:-1]
    parts = {
        name: np.split(data[name], cuts if name in ("action", "reward") else row_cuts) for name in ARRAYS
    }
    return [
        Episode(
            obs=parts["obs"][e],
            state=parts["state"][e],
            avail_bits=parts["avail_bits"][e],
            action=parts["action"][e],
            reward=parts["reward"][e],
            terminated=bool(data["terminated"][e]),
            truncated=bool(data["truncated"][e]),
            won=bool(data["won"][e]),
        )
        for e in range(len(data["length"]))
    ]
