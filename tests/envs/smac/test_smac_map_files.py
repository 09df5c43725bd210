"""Map files: one of one's own is read, bad ones are refused with file and field."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from envs.errors import InputError
from envs.smac.maps import read_map


def map_data(name: str = "3m") -> dict[str, Any]:
    text = (resources.files("envs.smac") / "data" / f"{name}.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


def changed(change: Callable[[dict[str, Any]], object], name: str = "3m") -> str:
    data = map_data(name)
    change(data)
    return json.dumps(data)


def put(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return change


VOID = put("cliff_levels", value=["." * 32] * 32)
SPLIT = put("cliff_levels", value=["1" * 15 + "." + "1" * 16] * 32)

REFUSED = [
    (put("allies", 0, "y", value=2.0), r"allies\[0\]\.x, allies\[0\]\.y: marine at \(9\.0, 2\.0\) cannot"),
    (put("enemies", 0, "x", value=32), r"enemies\[0\]\.x: must be a number from 0 to below 32, not 32"),
    (put("enemies", 0, "x", value=float("nan")), r"enemies\[0\]\.x: must be a number"),
    (put("allies", 0, "y", value=True), r"allies\[0\]\.y: must be a number .*, not True"),
    (put("allies", 0, "unit", value="marin"), r"allies\[0\]\.unit: unknown 'marin'; did you mean 'marine'"),
    (put("allies", 0, "count", value=0), r"allies\[0\]\.count: must be a whole number of at least 1, not 0"),
    (put("allies", 0, "count", value=2.5), r"allies\[0\]\.count: must be a whole number"),
    (put("enemies", 0, "count", value=2000), r"enemies: has 2000 units; a side has at most 64"),
    (put("enemies", 0, "count", value=10**400), r"enemies\[0\]\.count: must be at most 10000"),
    (put("enemies", 0, "count", value=65), r"enemies: has 65 units; a side has at most 64"),
    (put("name", value="3m\n"), r"name: must be text on one line"),
    (put("name", value="\ud800"), r"name: must be text on one line"),
    (put("episode_limit_steps", value=10**20), r"episode_limit_steps: must be at most 1000000"),
    (put("episode_limit_steps", value=-5), r"episode_limit_steps: must be a whole number of at least 1"),
    (put("episode_limit_steps", value="60"), r"episode_limit_steps: must be a whole number"),
    (put("name", value=""), r"name: must be text"),
    (put("ally_race", value="X"), r"ally_race: unknown 'X'"),
    (put("ally_race", value=5), r"ally_race: unknown 5"),
    (put("ally_race", value=""), r"ally_race: unknown ''"),
    (put("ally_race", value="PZ"), r"ally_race: unknown 'PZ'"),
    (put("enemy_race", value=["T"]), r"enemy_race: unknown \['T'\]"),
    (put("map_type", value={}), r"map_type: unknown {}"),
    (put("enemy_race", value="Z"), r"enemies\[0\]\.unit: marine is not of race 'Z'"),
    (put("map_type", value="marine"), r"map_type: unknown 'marine'; did you mean 'marines'"),
    (put("unit_type_bits", value=2), r"unit_type_bits: must be 0 for map type 'marines'"),
    (put("allies", value=[]), r"allies: is empty"),
    (put("allies", value={}), r"allies: must be a list, not dict"),
    (put("allies", 0, value=3), r"allies\[0\]: must be an object, not int"),
    (put("enemy_order", "kind", value="attack"), r"enemy_order\.kind: unknown 'attack'"),
    (put("enemy_order", "points", value=[]), r"enemy_order\.points: must be 1 for 'attack_move', not 0"),
    (put("enemy_order", "points", value=[[1]]), r"enemy_order\.points\[0\]: must be \[x, y\]"),
    (put("enemy_order", "points", value=[[1, 40]]), r"enemy_order\.points\[0\]\.y: must be a number"),
    (put("cliff_levels", 3, value="." * 31), r"cliff_levels\[3\]: must be 32 characters, not 31"),
    (put("cliff_levels", value=["." * 32]), r"cliff_levels: must be 32 rows, not 1"),
    (put("cliff_levels", 0, value="9" * 32), r"cliff_levels\[0\]: unknown \['9'\]; known are \. 1 a b c 2"),
    (put("terrain", value=["." * 32] * 32), r"terrain: delete it: where units can stand follows from cliff_"),
    (VOID, r"allies\[0\]\.x, allies\[0\]\.y: marine at \(9\.0, 16\.0\) cannot stand there"),
    (SPLIT, r"enemies\[0\]\.x, enemies\[0\]\.y: marine is walled off"),
    (put("extra", value=1), r"map: has unknown 'extra'; known are name"),
    (lambda data: data.pop("notes"), r"map: lacks notes"),
]


@pytest.mark.parametrize(("change", "problem"), REFUSED, ids=[problem for _, problem in REFUSED])
def test_bad_maps_are_refused_with_file_and_field(
    change: Callable[[dict[str, Any]], object], problem: str
) -> None:
    with pytest.raises(InputError, match=r"^bad\.json: " + problem):
        read_map(changed(change), where="bad.json")


def test_a_unit_without_a_type_bit_is_refused() -> None:
    with pytest.raises(InputError, match=r"allies\[0\]\.unit: map type 'bane' has no type bit for hydralisk"):
        read_map(changed(put("allies", 0, "unit", value="hydralisk"), "bane_vs_bane"))
    with pytest.raises(InputError, match=r"allies\[0\]\.unit: .* 'marines' has no type bit for medivac"):
        read_map(changed(put("allies", 0, "unit", value="medivac")))


def test_every_agent_can_be_healed_where_there_are_fewer_enemies() -> None:
    only_one = [{"unit": "marine", "count": 1, "x": 23.0, "y": 16.0}]
    assert read_map(changed(put("enemies", value=only_one), "MMM")).spec.n_actions == 6 + 10


def test_units_that_need_more_room_than_there_is_are_refused() -> None:
    def crowd(data: dict[str, Any]) -> None:
        small_room(data)
        for side in ("allies", "enemies"):
            data[side] = [{"unit": "stalker", "count": 64, "x": 9.0, "y": 16.0}]

    with pytest.raises(InputError, match=r"enemies\[0\]\.count: 64 stalkers .* do not fit on 90 cells"):
        read_map(changed(crowd, "2s3z"))


def pocket(data: dict[str, Any]) -> None:
    """Wall in the cell (11, 16), two cells east of where 25 marines spawn."""
    rows = [list(row) for row in data["cliff_levels"]]
    for x, y in ((10, 16), (12, 16), (11, 15), (11, 17)):
        rows[31 - y][x] = "."
    data["cliff_levels"] = ["".join(row) for row in rows]


def small_room(data: dict[str, Any]) -> None:
    """A room of 9 x 10 cells around (9, 16), and both teams in it."""
    rows = [list("." * 32) for _ in range(32)]
    for x in range(5, 14):
        for y in range(11, 21):
            rows[31 - y][x] = "1"
    data["cliff_levels"] = ["".join(row) for row in rows]
    for group in data["enemies"]:
        group["x"] = 9.0


def test_spawns_that_fit_by_area_but_not_around_their_point_are_refused() -> None:
    def crowd(data: dict[str, Any]) -> None:
        small_room(data)
        data["allies"] = [{"unit": "stalker", "count": 60, "x": 9.0, "y": 16.0}]
        data["enemies"] = [{"unit": "zealot", "count": 1, "x": 9.0, "y": 16.0}]

    with pytest.raises(InputError, match=r"^a: allies\[0\]\.count: 2s3z: \d+ of 60 stalkers do not fit"):
        read_map(changed(crowd, "2s3z"), where="a")
    with pytest.raises(
        InputError, match=r"^a: allies: a marine would be placed at \(11\.\d, 16\.\d\), walled"
    ):
        read_map(changed(pocket, "25m"), where="a")


def test_files_that_cannot_be_read_are_refused_with_their_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the map .*missing\.json"):
        read_map(tmp_path / "missing.json")
    for name, content in {
        "cut": b'{"name": "3m"',
        "long": b"9" * 5000,
        "deep": b"[" * 100_000,
        "binary": b"\xff\xfe\x00",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            read_map(tmp_path / name)
    with pytest.raises(InputError, match="map: must be an object, not list"):
        read_map("[]")


def test_a_map_of_ones_own_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "4m.json"
    path.write_text(changed(lambda data: (put("allies", 0, "count", value=4)(data), data.update(name="4m"))))
    assert read_map(path).spec.n_agents == 4
