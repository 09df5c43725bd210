"""Writes maps as text: a file to read and change, or one line that is the same for equal maps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from envs.smac.map_file import CLIFF_LEVELS
from envs.smac.smac_map import SmacMap, SpawnGroup


def map_data(smac_map: SmacMap) -> dict[str, Any]:
    """The plain data from which `parse_map` makes an equal map."""
    letters = {level: letter for letter, level in CLIFF_LEVELS.items()}
    rows = smac_map.cliff_level.T[::-1].tolist()  # north first
    order = smac_map.enemy_order
    return {
        "name": smac_map.name,
        "episode_limit_steps": smac_map.episode_limit,
        "ally_race": smac_map.ally_race,
        "enemy_race": smac_map.enemy_race,
        "map_type": smac_map.map_type,
        "unit_type_bits": smac_map.unit_type_bits,
        "allies": _groups(smac_map.ally_spawns),
        "enemies": _groups(smac_map.enemy_spawns),
        "enemy_order": {"kind": order.kind, "points": [list(point) for point in order.points]},
        "notes": list(smac_map.notes),
        "cliff_levels": ["".join(letters[level] for level in row) for row in rows],
    }


def one_line_text(smac_map: SmacMap) -> str:
    """The map as JSON on one line, without its notes, which change no battle."""
    return json.dumps(map_data(smac_map) | {"notes": []}, sort_keys=True, separators=(",", ":"))


def file_text(data: dict[str, Any]) -> str:
    """A map's plain data as JSON with a line for each group of units and each row of cells."""
    fields = [f"  {json.dumps(name)}: {_lines(value)}" for name, value in data.items()]
    return "{\n" + ",\n".join(fields) + "\n}\n"


def _groups(groups: Sequence[SpawnGroup]) -> list[dict[str, Any]]:
    return [
        {"unit": group.unit.name.lower(), "count": group.count, "x": group.x, "y": group.y}
        for group in groups
    ]


def _lines(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return json.dumps(value, ensure_ascii=False)
    return "[\n" + ",\n".join(f"    {json.dumps(item, ensure_ascii=False)}" for item in value) + "\n  ]"
