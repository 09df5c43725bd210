"""Every number in the unit table and every constant of the rules counts: another value changes battles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from typing import Any, Final

import pytest

from envs.sc2.descriptors import sc2_protocol
from envs.sc2api.battle import Battle
from envs.sc2api.unit_data import write_data
from envs.smac.maps import load_map
from envs.smac.units import ENEMY_UNITS, UNITS, Attribute, UnitStats, UnitType
from tests.envs.battle.support.melee import play_melee
from tests.paths import ROOT

FIELDS = [field.name for field in fields(UnitStats)]
TOLD_BY_THE_API = {"race", "sight"}  # and no part of a battle: SMAC's agents all see 9 cells
SEEDS = range(12)
STEPS = 40

_FLIES, _UNARMED, _STANDS = {UnitType.MEDIVAC}, {UnitType.MEDIVAC}, {UnitType.SPINE_CRAWLER}
_BURSTS = {UnitType.BANELING}  # its first attack is its last
UNSEEN: Final[dict[str, set[UnitType]]] = {
    "separation_radius": _FLIES,
    "inner_radius": _FLIES | _STANDS,
    "scan_cells": _UNARMED,  # it has heal_scan_cells
    "arc_degrees": _UNARMED,
    "turning_degrees_s": _UNARMED,
    "hits": _UNARMED | _BURSTS,
    "period_s": _BURSTS,
    "backswing_s": _UNARMED | _BURSTS | _STANDS,
    # Seldom is a target out of reach at the end of so short a damage point; test_weapons.py has that case.
    "range_slop": _BURSTS | {UnitType.MARAUDER, UnitType.MARINE, UnitType.STALKER},
}
"""Units that have a number which a melee does not show."""


def others(value: Any) -> Iterator[Any]:
    """Values that a field could have instead."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, Attribute):
        yield Attribute.NONE
    elif isinstance(value, int):
        yield 3 - value  # hits: 1 or 2
    elif isinstance(value, str):
        yield "Z" if value != "Z" else "T"
    else:
        yield from (value / 8, value * 8)


@cache
def melee(seed: int) -> list[bytes]:
    """The steps of a melee with the numbers as they are."""
    return list(play_melee(2, STEPS, seed))


def changes_a_melee(monkeypatch: pytest.MonkeyPatch, unit: UnitType, name: str) -> bool:
    """Whether units with another value of the field fight differently."""
    stats = UNITS[unit]
    assert all(melee(seed) for seed in SEEDS)  # played before the number changes
    for value in others(getattr(stats, name)):
        with monkeypatch.context() as patch:
            for table in (UNITS, ENEMY_UNITS):
                patch.setitem(table, unit, replace(table[unit], **{name: value}))
            for seed in SEEDS:
                steps = zip(melee(seed), play_melee(2, STEPS, seed), strict=True)
                if any(was != now for was, now in steps):
                    return True
    return False


def told() -> bytes:
    """What the API says about the types of units."""
    sc_pb = sc2_protocol()
    answer = sc_pb.ResponseData()
    write_data(answer, Battle(load_map("3m"), 0), sc_pb.RequestData(unit_type_id=True))
    data: bytes = answer.SerializeToString()
    return data


@pytest.mark.parametrize("name", FIELDS)
def test_another_value_of_a_units_field_changes_the_battle(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    having = [unit for unit, stats in UNITS.items() if getattr(stats, name)]
    assert having, f"no unit has {name}"
    if name in TOLD_BY_THE_API:
        for unit in having:
            before = told()
            with monkeypatch.context() as patch:
                other = next(others(getattr(UNITS[unit], name)))
                for table in (UNITS, ENEMY_UNITS):
                    patch.setitem(table, unit, replace(table[unit], **{name: other}))
                assert told() != before, unit.name
    else:
        for unit in set(having) - UNSEEN.get(name, set()):
            assert changes_a_melee(monkeypatch, unit, name), unit.name


def test_another_value_of_a_constant_changes_the_battle() -> None:
    """In plain Python, as numba freezes constants."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.envs.battle.support.constants"],
        cwd=ROOT,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    modules = {"MAX_PUSH_CELLS", "HELP_CELLS", "SWEEP_POINTS", "BURN_DELAY_LOOPS", "GRAZE", "CONTACT_CELLS"}
    assert {"SIGHT_CELLS", "SHOOT_CELLS", "MOVE_CELLS", *modules} <= set(found["tried"])
    assert found["unused"] == []
