"""How long runs took until they won: read from run directories, compared as medians, written as text and CSV.

A run wins at the second of the first two evaluations in a row that reach the share. A run that has not won
counts as at least its time so far, so a median may be known only from below: `> 300`.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from envs.errors import InputError
from envs.text import one_line
from trainer.config import ResolvedConfig, learner_name
from trainer.plots.tables import cell
from trainer.runs.absolute import is_number
from trainer.runs.config_file import FILE_NAME, load_config, read_config
from trainer.runs.metrics import FILE_NAME as METRICS_NAME
from trainer.runs.metrics import read_metrics

MEASURES = {"processor_s": "processor s", "wall_s": "wall s", "env_steps": "steps", "updates": "updates"}


@dataclass(frozen=True)
class TimedRun:
    """How far a run came until it won, or so far; win rates are None before the first evaluation."""

    map: str
    algorithm: str
    preset: str
    seed: int
    won: bool
    processor_s: float
    wall_s: float
    env_steps: int
    updates: int
    best_win_rate: float | None
    last_win_rate: float | None
    commit: str

    @property
    def name(self) -> str:
        """The name that messages show."""
        return one_line(f"{self.map} {self.algorithm} {self.preset} seed {self.seed}")


@dataclass(frozen=True)
class Bounds:
    """A number that lies between `low` and `high`, which may be infinite; known where both are equal."""

    low: float
    high: float

    def __truediv__(self, other: Bounds) -> Bounds:
        return Bounds(self.low / other.high, self.high / other.low if other.low else math.inf)

    def text(self, digits: int = 0) -> str:
        """`41`, `> 41`, `< 41`, or `?` where nothing is known."""
        if self.low == self.high:
            return f"{self.low:,.{digits}f}"
        if self.low > 0:
            return f"> {self.low:,.{digits}f}"
        return f"< {self.high:,.{digits}f}" if math.isfinite(self.high) else "?"

    def to_dict(self) -> dict[str, float | None]:
        """Plain data; an infinite end is None."""
        return {"at_least": self.low, "at_most": self.high if math.isfinite(self.high) else None}


@dataclass(frozen=True)
class Group:
    """The runs of one map, algorithm and preset; they differ in their seed."""

    runs: Sequence[TimedRun]

    @property
    def key(self) -> tuple[str, str, str]:
        """Map, algorithm and preset."""
        return self.runs[0].map, self.runs[0].algorithm, self.runs[0].preset

    @property
    def won(self) -> int:
        """How many runs won."""
        return sum(run.won for run in self.runs)

    def bounds(self, statistic: Callable[[Iterable[float]], float], measure: str) -> Bounds:
        """A statistic over the runs, one that grows with each run's number.

        The number of a run that has not won lies between that so far and infinity.
        """
        so_far = [float(getattr(run, measure)) for run in self.runs]
        at_most = [number if run.won else math.inf for run, number in zip(self.runs, so_far, strict=True)]
        return Bounds(statistic(so_far), statistic(at_most))

    def median(self, measure: str) -> Bounds:
        """The median of a measure over the seeds."""
        return self.bounds(statistics.median, measure)

    def text(self, measure: str) -> str:
        """`41 (32 to > 50)`: median and range; without a range where there is one run."""
        median = self.median(measure).text()
        ends = " to ".join(self.bounds(end, measure).text() for end in (min, max))
        return median if len(self.runs) == 1 else f"{median} ({ends})"


def find_runs(folders: Sequence[Path], share: float) -> list[TimedRun]:
    """Every run in folders OUT/PRESET/RUN; InputError where there is none, or one run lies there twice."""
    places = [path.parent for folder in folders for path in sorted(folder.glob(f"*/*/{FILE_NAME}"))]
    if not places:
        named = ", ".join(map(str, folders))
        raise InputError(
            f"no runs in {named}: name maps to train, or another --out that holds PRESET/RUN folders"
        )
    runs = [read_run(place, share) for place in places]
    name, times = Counter(run.name for run in runs).most_common(1)[0]
    if times > 1:
        twice = [str(place) for place, run in zip(places, runs, strict=True) if run.name == name]
        raise InputError(f"{name} is there {times} times ({', '.join(twice)}): leave out all but one of them")
    return runs


def read_run(run_dir: Path, share: float) -> TimedRun:
    """A run up to the moment at which it won; InputError when its files cannot be used for that."""
    config = load_config(run_dir)
    if config.until_win_rate is not None and config.until_win_rate < share:
        raise InputError(
            f"{run_dir} stops at a win rate of {config.until_win_rate:g}, so it cannot tell when it reaches "
            f"{share:g}: choose another --win-rate or --out"
        )
    try:
        records = read_metrics(run_dir)
    except FileNotFoundError:
        records = []
    except (OSError, ValueError) as error:
        raise InputError(f"{run_dir / METRICS_NAME} cannot be read: {one_line(error)}") from None
    try:
        return measure(config, records, share, read_commit(run_dir))
    except ValueError as error:
        raise InputError(
            f"{run_dir / METRICS_NAME} has a damaged line: {error}; choose another --out"
        ) from None
    except KeyError as error:
        raise InputError(
            f"{run_dir / METRICS_NAME} has a line without {error}, as earlier versions wrote it: "
            "choose another --out"
        ) from None


def measure(config: ResolvedConfig, records: Sequence[dict[str, Any]], share: float, commit: str) -> TimedRun:
    """A run by its metrics, `records`; KeyError where one lacks a number, ValueError where it is none."""
    evaluations = [record for record in records if record["kind"] == "evaluation"]
    for record in records:
        numbers = {name: record[name] for name in ("env_steps", "updates", "wall_s", "wall_processor_s")}
        if record["kind"] == "evaluation":
            numbers["win_rate"] = record["win_rate"]
        for name, value in numbers.items():
            if not is_number(value) or value < 0 or (name == "win_rate" and value > 1):
                raise ValueError(f"its {name} is {one_line(repr(value), 60)}")
    pairs = itertools.pairwise(evaluations)
    wins = (second for first, second in pairs if min(first["win_rate"], second["win_rate"]) >= share)
    win = next(wins, None)
    if win is not None:
        evaluations = [record for record in evaluations if record["env_steps"] <= win["env_steps"]]
    end = win or (records[-1] if records else dict.fromkeys(("wall_s", "env_steps", "updates"), 0))
    rates = [record["win_rate"] for record in evaluations]
    return TimedRun(
        map=config.map,
        algorithm=learner_name(config.algorithm, config.sharing),
        preset=config.preset,
        seed=config.seed,
        won=win is not None,
        processor_s=end["wall_processor_s"] if records else 0.0,
        wall_s=end["wall_s"],
        env_steps=end["env_steps"],
        updates=end["updates"],
        best_win_rate=max(rates, default=None),
        last_win_rate=rates[-1] if rates else None,
        commit=commit,
    )


def read_commit(run_dir: Path) -> str:
    """The commits that trained a run, as far as they are known."""
    versions = read_config(run_dir).get("versions")
    commit = versions.get("commit") if isinstance(versions, dict) else None
    return commit if isinstance(commit, str) else ""


def group(runs: Iterable[TimedRun]) -> list[Group]:
    """Runs by map, algorithm and preset, in this order."""
    ordered = sorted(runs, key=lambda run: (run.map, run.algorithm, run.preset, run.seed))
    by = itertools.groupby(ordered, key=lambda run: (run.map, run.algorithm, run.preset))
    return [Group(list(members)) for _, members in by]


def times_less(groups: Sequence[Group]) -> dict[tuple[str, str, str], Bounds]:
    """By how much less processor time than the paper's preset (ratio of medians) each other preset takes."""
    medians = {each.key: each.median("processor_s") for each in groups}
    paper = {key[:2]: median for key, median in medians.items() if key[2] == "paper"}
    return {
        key: paper[key[:2]] / median
        for key, median in medians.items()
        if key[2] != "paper" and key[:2] in paper
    }


def markdown_table(groups: Sequence[Group]) -> str:
    """A line per map, algorithm and preset: how many seeds won, and medians with their ranges."""
    names = ["map", "algorithm", "preset", "won", *MEASURES.values(), "paper's processor s / this"]
    ratios = times_less(groups)
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for each in groups:
        words = [*map(cell, each.key), f"{each.won} of {len(each.runs)}", *map(each.text, MEASURES)]
        words.append(ratios[each.key].text(1) if each.key in ratios else "")
        lines.append(f"| {' | '.join(words)} |")
    return "\n".join(lines)


def as_json(runs: Sequence[TimedRun], groups: Sequence[Group], share: float) -> str:
    """Everything as one JSON object."""
    ratios = times_less(groups)
    rows = [
        dict(zip(("map", "algorithm", "preset"), each.key, strict=True))
        | {"seeds": len(each.runs), "won": each.won}
        | {f"{name}_median": each.median(name).to_dict() for name in MEASURES}
        | {"paper_ratio": ratios[each.key].to_dict() if each.key in ratios else None}
        for each in groups
    ]
    return json.dumps({"win_rate": share, "groups": rows, "runs": [asdict(run) for run in runs]})


def as_csv(groups: Sequence[Group]) -> str:
    """A line per run; `won` is 1 or 0, times are those until it won or so far."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(TimedRun)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(run) | {"won": int(run.won)} for each in groups for run in each.runs)
    return text.getvalue()
