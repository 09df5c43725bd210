"""Where units stand when a battle begins, beside the places seen in replays of the real game.

formation.csv has a row for each place in which a unit was seen, to 1/4096 cell ("exact", from its first
order) or to the cell; `index` counts a map's units in creation order, agents first. Places seen in less than
5 % of the battles are left out. Source: replays in miruyoun/PyMARL_RL_Project.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.real_game.comparison import Row, exact
from envs.smac.formation import place_groups
from envs.smac.maps import load_map

Places = dict[tuple[str, int], list[tuple[float, float]]]
"""Of one map, by kind ("exact" or "cell") and unit."""

TABLE: Final = Path(__file__).with_name("formation.csv")
EXACT_CELLS: Final = 1 / 4096
"""Grid of the real game: two places this close are the same one."""


class FormationErrors(NamedTuple):
    """Of a map: units with exact places and how many of ours stand on one, and the same to the cell.

    `farthest_cells`: the largest distance of ours to the closest place that was seen.
    """

    exact: int
    exact_met: int
    cells: int
    cells_met: int
    farthest_cells: float


def formation_rows(map_name: str, places: Places) -> list[Row]:
    """How many of our units stand on a place that was seen, beside all of them."""
    found = formation_errors(map_name, places)
    rows = [exact(map_name, "replays", "units_in_their_cell", found.cells, found.cells_met)]
    if found.exact:
        rows.append(exact(map_name, "replays", "units_on_their_place", found.exact, found.exact_met))
        rows.append(exact(map_name, "replays", "farthest_cells", 0.0, found.farthest_cells, EXACT_CELLS))
    return rows


def seen_places(path: Path = TABLE) -> dict[str, Places]:
    """The table, by map."""
    places: dict[str, Places] = defaultdict(lambda: defaultdict(list))
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            places[row["map"]][row["kind"], int(row["index"])].append((float(row["x"]), float(row["y"])))
    return places


def formation_errors(map_name: str, places: Places) -> FormationErrors:
    """Where our units of one map are created, against the places that were seen."""
    smac_map = load_map(map_name)
    placed = [*place_groups(smac_map, smac_map.ally_spawns), *place_groups(smac_map, smac_map.enemy_spawns)]
    found = {"exact": [0, 0], "cell": [0, 0]}  # units, and how many of them stand right
    farthest = 0.0
    for (kind, index), seen in places.items():
        unit = placed[index]
        x, y = unit.point_x + unit.dx, unit.point_y + unit.dy
        if kind == "exact":
            away = min(math.hypot(x - px, y - py) for px, py in seen)
            farthest = max(farthest, away)
            met = away <= EXACT_CELLS
        else:
            met = (math.floor(x), math.floor(y)) in seen
        found[kind][0] += 1
        found[kind][1] += met
    return FormationErrors(found["exact"][0], found["exact"][1], found["cell"][0], found["cell"][1], farthest)
