"""Battles as a file for offline learners: one `.npz` with the arrays of OG-MARL's vaults.

The steps of all episodes stand one after the other on one axis T, each with what was seen before it, what
was done, and what came of it; a step that ended its episode says so. A vault does not hold what a battle
showed after its last step, from which one learns where time ran out: `last/...` adds it. Axes: T steps of all
episodes, E episodes, N agents, A actions, O observation, S state.

    observations     [T, N, O] f32
    actions          [T, N]    i32
    rewards          [T, N]    f32    the team's reward, once for each agent
    terminals        [T, N]    bool   the step ended the battle
    truncations      [T, N]    bool   time ran out
    infos/state      [T, S]    f32    without the last-action block
    infos/legals     [T, N, A] bool   the available actions
    last/observations, last/state, last/legals      [E, ...], after each episode's last step
    episodes/length_steps [E] i64, episodes/won [E] bool
    about            JSON: the environment's spec and map, who played, the seed, versions
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from envs.errors import InputError
from envs.files import open_regular, replacing
from envs.text import one_line
from envs.types import EnvSpec
from trainer.replay.episode import Episode

FORMAT: Final = "lan-dataset"
FORMAT_VERSION: Final = 1
ABOUT: Final = "about"

Arrays = dict[str, npt.NDArray[Any]]


def array_rows(spec: EnvSpec) -> dict[str, tuple[type[np.generic], tuple[int, ...]]]:
    """Type and shape of one row of every array: of a step, or of an episode (`last/`, `episodes/`)."""
    N, A, O, S = spec.n_agents, spec.n_actions, spec.obs_dim, spec.state_dim
    return {
        "observations": (np.float32, (N, O)),
        "actions": (np.int32, (N,)),
        "rewards": (np.float32, (N,)),
        "terminals": (np.bool_, (N,)),
        "truncations": (np.bool_, (N,)),
        "infos/state": (np.float32, (S,)),
        "infos/legals": (np.bool_, (N, A)),
        "last/observations": (np.float32, (N, O)),
        "last/state": (np.float32, (S,)),
        "last/legals": (np.bool_, (N, A)),
        "episodes/length_steps": (np.int64, ()),
        "episodes/won": (np.bool_, ()),
    }


def is_per_episode(name: str) -> bool:
    """Whether an array has a row for each episode; the others have one for each step."""
    return name.startswith(("last/", "episodes/"))


def rows_of(episode: Episode) -> Arrays:
    """The rows that an episode adds to each array."""
    L, N = episode.action.shape
    ends = np.zeros((2, L, N), np.bool_)
    ends[:, -1] = [[episode.terminated], [episode.truncated]]
    return {
        "observations": episode.obs[:-1],
        "actions": episode.action,
        "rewards": np.repeat(episode.reward[:, None], N, axis=1),
        "terminals": ends[0],
        "truncations": ends[1],
        "infos/state": episode.state[:-1],
        "infos/legals": episode.avail_actions[:-1],
        "last/observations": episode.obs[-1:],
        "last/state": episode.state[-1:],
        "last/legals": episode.avail_actions[-1:],
        "episodes/length_steps": np.array([L]),
        "episodes/won": np.array([episode.won]),
    }


class DatasetWriter:
    """Collects episodes in files without a name beside `path`, so that memory holds one round at a time.

    The file appears whole at the end of a `with` block, however that ends, unless nothing was added; equal
    episodes give equal bytes. InputError when the disk says no; then no file appears.
    """

    def __init__(self, path: Path, spec: EnvSpec, about: dict[str, Any]) -> None:
        self.path, self.spec = path, spec
        self.about = {"format": FORMAT, "format_version": FORMAT_VERSION, "spec": json.loads(spec.to_json())}
        self.about |= about
        self.n_episodes = self.n_steps = 0
        self._is_whole = True
        self._opened = contextlib.ExitStack()
        self._kept: dict[str, IO[bytes]] = {}

    def __enter__(self) -> DatasetWriter:
        with self._refusal_told(), contextlib.ExitStack() as stack:
            for name in array_rows(self.spec):
                self._kept[name] = stack.enter_context(tempfile.TemporaryFile(dir=self.path.parent))
            self._opened = stack.pop_all()
        return self

    def add(self, episodes: Sequence[Episode]) -> None:
        """Add episodes, whole, in this order."""
        kinds = array_rows(self.spec)
        with self._refusal_told():
            for episode in episodes:
                for name, rows in rows_of(episode).items():
                    self._kept[name].write(np.ascontiguousarray(rows, kinds[name][0]).tobytes())
                self.n_episodes += 1
                self.n_steps += episode.length

    def __exit__(self, *exception: object) -> None:
        try:
            if self.n_episodes and self._is_whole:
                with self._refusal_told():
                    self._write()
        finally:
            with contextlib.suppress(OSError):  # of what they still hold, which nobody needs any more
                self._opened.close()

    @contextlib.contextmanager
    def _refusal_told(self) -> Iterator[None]:
        """Turn what the disk refuses into one sentence; what was kept is then no longer whole."""
        try:
            yield
        except OSError as error:
            self._is_whole = False
            raise InputError(f"cannot write {self.path}: {error.strerror or error}") from None

    def _write(self) -> None:
        with replacing(self.path) as file, zipfile.ZipFile(file, "w") as archive:
            for name, (kind, shape) in array_rows(self.spec).items():
                count = self.n_episodes if is_per_episode(name) else self.n_steps
                header = {"descr": np.dtype(kind).str, "fortran_order": False, "shape": (count, *shape)}
                with _member(archive, name) as member:
                    np.lib.format.write_array_header_1_0(member, header)
                    self._kept[name].seek(0)
                    shutil.copyfileobj(self._kept[name], member, 1 << 20)
            with _member(archive, ABOUT) as member:
                np.lib.format.write_array(member, np.array(json.dumps(self.about, sort_keys=True)))


class Dataset:
    """A file of battles, opened: `dataset["observations"]` reads an array, `about` says where it is from."""

    def __init__(self, path: Path, arrays: Any, spec: EnvSpec, about: dict[str, Any]) -> None:
        self.path, self.spec, self.about = path, spec, about
        self._arrays = arrays

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """An array, read from the file; InputError when it is damaged, or not as the spec says."""
        kind, shape = array_rows(self.spec)[name]
        with _damage_told(self.path):
            array: npt.NDArray[Any] = self._arrays[name]
        if array.dtype != kind or array.shape[1:] != shape:
            raise InputError(f"{self.path} is damaged: {name} is {array.dtype} {list(array.shape)}")
        return array

    def load(self) -> Arrays:
        """All arrays; InputError when their numbers of steps or episodes differ."""
        arrays = {name: self[name] for name in array_rows(self.spec)}
        lengths = arrays["episodes/length_steps"]
        for name, array in arrays.items():
            wanted = len(lengths) if is_per_episode(name) else int(lengths.sum())
            if len(array) != wanted or (lengths < 1).any():
                raise InputError(f"{self.path} is damaged: {name} has {len(array)} rows, not {wanted}")
        return arrays

    def experience(self) -> dict[str, Any]:
        """What a vault's `read().experience` is: arrays [1, T, ...], `state` and `legals` in `infos`."""
        steps = {name: array[None] for name, array in self.load().items() if not is_per_episode(name)}
        infos = {name.removeprefix("infos/"): steps.pop(name) for name in list(steps) if "/" in name}
        return {**steps, "infos": infos}

    def episodes(self) -> Iterator[Episode]:
        """The episodes one after the other, each with what was seen after its last step."""
        arrays = self.load()
        end = 0
        for e, length in enumerate(arrays["episodes/length_steps"].tolist()):
            part, last = slice(end, end + length), slice(e, e + 1)
            end += length
            yield Episode(
                obs=np.concatenate((arrays["observations"][part], arrays["last/observations"][last])),
                state=np.concatenate((arrays["infos/state"][part], arrays["last/state"][last])),
                avail_actions=np.concatenate((arrays["infos/legals"][part], arrays["last/legals"][last])),
                action=arrays["actions"][part].astype(np.int64),
                reward=arrays["rewards"][part, 0],
                terminated=bool(arrays["terminals"][end - 1, 0]),
                truncated=bool(arrays["truncations"][end - 1, 0]),
                won=bool(arrays["episodes/won"][e]),
            )


@contextlib.contextmanager
def open_dataset(path: Path | str) -> Iterator[Dataset]:
    """A file that `lan-eval --dataset` wrote, for a `with` block; InputError when it is none."""
    path = Path(path)
    with contextlib.ExitStack() as stack:
        with _damage_told(path):
            file = stack.enter_context(open_regular(path, os.O_RDONLY))
            arrays = stack.enter_context(np.load(file, allow_pickle=False))
            about = json.loads(str(arrays[ABOUT]))
            if not isinstance(about, dict) or about.get("format") != FORMAT:
                raise ValueError(f"it is no {FORMAT}")
            if about.get("format_version") != FORMAT_VERSION:
                version = one_line(repr(about.get("format_version")), 40)
                raise ValueError(f"it is of format version {version}, this project reads {FORMAT_VERSION}")
            spec = EnvSpec.from_dict(about.get("spec"))
        yield Dataset(path, arrays, spec, about)


@contextlib.contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Turn what numpy and zipfile raise for a file that is none of ours into one sentence."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"there is no data set {path}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} cannot be read as battles of lan-eval --dataset: {one_line(error, 200)}"
        ) from None


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """A new array in an `.npz`, without a date, which would make equal battles unequal files."""
    info = zipfile.ZipInfo(f"{name}.npy")
    info.compress_type = zipfile.ZIP_DEFLATED
    return archive.open(info, "w", force_zip64=True)
