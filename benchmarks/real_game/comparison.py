"""Our numbers beside real ones: the table of real numbers, standard errors, bounds, and how both are printed.

Sources of real_game.csv: logs of PyMARL runs in public repositories (lovewilling0923/pymarl-rlc,
Togmm/pymarl-monotone-qmix, tlxxx/LINDA, Jugg1er/SRA, Jonarain/dcg, Jonarain/pymarl, saizhang0218/TMC,
GuntherCentralPerkRing/SMAC_Experiments, yaoenguang/LaTac, 12sanren/pymarl2-ctds, TipD4/HYGMA,
MTDickens/ZJU2024-MARL-SMAC, huayikai/pymarl, qiaodan-cuhk/doe_epymarl, 00dhkim/pymarl, James0618/pymarl,
Envoutante/humarl, cyd990726/task_repre_proj, and a few with one run), the battles recorded by LAMDA-RL/ODIS,
replays in miruyoun/PyMARL_RL_Project, and the SMAC paper (Samvelyan et al. 2019). Random teams, epsilon 1:
the first logged episodes of runs; lower: means of their first 10 000 training steps or so, in which a network
that has hardly learned takes the other actions. Untrained networks: QMIX's evaluations before its first
update, on maps with at least four runs. Errors are clustered by run. Versions are StarCraft II's,
where known.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]

TABLE: Final = Path(__file__).with_name("real_game.csv")


class Number(NamedTuple):
    """A mean and its standard error, NaN where nobody knows it."""

    mean: float
    error: float = math.nan


@dataclass(frozen=True)
class Real:
    """One number of the real game: a row of real_game.csv, or a number out of a recording."""

    map: str
    team: str
    metric: str
    mean: float
    standard_error: float
    battles: int | None = None
    game_version: str = ""
    source: str = ""


@dataclass(frozen=True)
class Row:
    """Our number beside the real ones of the same metric.

    `difference` is from the interval that the real means span, 0 inside it; `combined_errors` is the
    difference in errors of both sides together, `percent` in percent of the nearest real mean. `allowed`: how
    large the difference may be, NaN where nothing is demanded.
    """

    map: str
    metric: str
    ours: float
    standard_error: float
    real: tuple[Real, ...]
    difference: float
    combined_errors: float
    percent: float
    allowed: float

    @property
    def missed(self) -> bool:
        return abs(self.difference) > self.allowed


def real_numbers(team: str, path: Path = TABLE) -> list[Real]:
    """The rows of the table whose team begins with `team`."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Real(
                row["map"],
                row["team"],
                row["metric"],
                float(row["mean"]),
                float(row["standard_error"] or "nan"),
                int(row["battles"]) if row["battles"] else None,
                row["game_version"],
                row["source"],
            )
            for row in csv.DictReader(file)
            if row["team"].startswith(team)
        ]


def mean(values: npt.NDArray[Any]) -> Number:
    """Mean and standard error of independent values."""
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Number(float(values.mean()) if len(values) else math.nan, error)


def ratio(total: Reals, count: Reals) -> Number:
    """Sum of `total` by sum of `count`, [battles] each, with an error that takes a battle as one draw.

    There is no error where fewer than two battles count.
    """
    n, all_counts = len(total), float(count.sum())
    if not all_counts:
        return Number(math.nan)
    whole = float(total.sum()) / all_counts
    if np.count_nonzero(count) < 2:
        return Number(whole)
    left = float(((total - whole * count) ** 2).sum())
    return Number(whole, math.sqrt(left * n / max(n - 1, 1)) / all_counts)


def compare(
    map_name: str,
    metric: str,
    ours: Number,
    real: Sequence[Real],
    *,
    share: float = math.nan,
    absolute: float = math.nan,
    errors: float = 0.0,
) -> Row:
    """A row: our number beside the real ones, which may be none.

    Allowed is the largest of `share` of the nearest real mean, `absolute`, and `errors` combined errors;
    nothing is demanded where share and absolute are NaN.
    """
    if not real:
        return Row(map_name, metric, *ours, (), math.nan, math.nan, math.nan, math.nan)
    nearest = min(real, key=lambda entry: abs(entry.mean - ours.mean))
    low, high = min(entry.mean for entry in real), max(entry.mean for entry in real)
    difference = ours.mean - min(max(ours.mean, low), high)
    known = [error for error in (ours.error, nearest.standard_error) if not math.isnan(error)]
    combined = math.hypot(*known)
    bounds = [share * abs(nearest.mean), absolute]
    allowed = max((bound for bound in bounds if not math.isnan(bound)), default=math.nan)
    return Row(
        map_name,
        metric,
        ours.mean,
        ours.error,
        tuple(real),
        difference,
        difference / combined if combined else math.nan,
        100 * difference / nearest.mean if nearest.mean else math.nan,
        max(allowed, errors * combined),
    )


def exact(map_name: str, team: str, metric: str, real: float, ours: float, allowed: float = 0.0) -> Row:
    """A row of numbers without errors, which may differ by `allowed`."""
    return compare(
        map_name, metric, Number(ours), [Real(map_name, team, metric, real, math.nan)], absolute=allowed
    )


def print_table(title: str, rows: Iterable[Row]) -> None:
    """A Markdown table: a line for each row, a column for each real team."""
    rows = list(rows)
    teams = list(dict.fromkeys(entry.team for row in rows for entry in row.real))
    print(f"\n## {title}\n\n| map | metric | {' | '.join(teams)} | ours | difference | errors | % | |")
    print(f"|---|---|{'---|' * len(teams)}---|---|---|---|---|")
    for row in rows:
        found = {entry.team: _shown(entry.mean, entry.standard_error) for entry in row.real}
        cells = [row.map, row.metric, *(found.get(team, "") for team in teams)]
        cells += [_shown(row.ours, row.standard_error), _plain(row.difference, "+.3g")]
        cells += [_plain(row.combined_errors, "+.1f"), _plain(row.percent, "+.1f")]
        cells.append("**missed**" if row.missed else "")
        print(f"| {' | '.join(cells)} |", flush=True)


def _shown(value: float, error: float) -> str:
    return f"{value:.4g}" if math.isnan(error) else f"{value:.4g} ± {error:.2g}"


def _plain(value: float, form: str) -> str:
    return "" if math.isnan(value) else format(value, form)


def as_data(row: Row) -> dict[str, Any]:
    """The row as JSON takes it: without NaN."""
    return {key: _without_nan(value) for key, value in asdict(row).items()} | {"missed": row.missed}


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    return [_without_nan(entry) for entry in value] if isinstance(value, list | tuple) else value
