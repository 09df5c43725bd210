"""What units are told through the API: orders, refusals, debug commands."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("s2clientprotocol")

from envs.battle import fields
from envs.sc2.descriptors import protocol_module
from tests.envs.sc2api.support.api_client import Client, sc_pb


def test_attack_move_to_a_point_fights_on_the_way() -> None:
    client = Client("8m", seed=1)
    tags = [unit.tag for unit in client.units(1)]
    assert client.order(23, tags, at=(23.0, 16.0)) == ["Success"]
    client.step(160)
    assert any(unit.health < 45 for unit in client.units(2)) or len(client.units(2)) < 8


def test_queued_orders_follow_each_other() -> None:
    client = Client("2m_vs_1z")
    unit = client.units(1)[0]
    x, y = unit.pos.x, unit.pos.y
    assert client.order(16, [unit.tag], at=(x + 1, y)) == ["Success"]
    assert client.order(16, [unit.tag], at=(x + 1, y - 1), queue_command=True) == ["Success"]
    client.step(7)  # 2.25 cells a second: 0.98 cells
    assert client.units(1)[0].pos.y == pytest.approx(y, abs=0.01)
    client.step(20)
    after = client.units(1)[0]
    assert (after.pos.x, after.pos.y) == (pytest.approx(x + 1, abs=0.01), pytest.approx(y - 1, abs=0.01))
    assert not after.orders


def test_an_order_queued_behind_an_attack_move_follows_it() -> None:
    client = Client("2m_vs_1z")
    unit = client.units(1)[0]
    x, y = unit.pos.x, unit.pos.y
    assert client.order(23, [unit.tag], at=(x + 1, y)) == ["Success"]
    assert client.order(16, [unit.tag], at=(x + 1, y - 1), queue_command=True) == ["Success"]
    client.step(20)  # two cells at 2.25 cells a second: 14.2 loops
    after = client.units(1)[0]
    assert (after.pos.x, after.pos.y) == (pytest.approx(x + 1, abs=0.01), pytest.approx(y - 1, abs=0.01))


def test_a_new_order_forgets_the_queue() -> None:
    client = Client("2m_vs_1z")
    unit = client.units(1)[0]
    client.order(16, [unit.tag], at=(unit.pos.x + 1, unit.pos.y))
    client.order(16, [unit.tag], at=(unit.pos.x - 3, unit.pos.y), queue_command=True)
    client.order(4, [unit.tag])
    client.step(8)
    assert client.units(1)[0].pos.x == unit.pos.x


def test_hold_does_not_chase() -> None:
    client = Client("2m_vs_1z")
    unit = client.units(1)[0]
    assert client.order(18, [unit.tag]) == ["Success"]
    client.step(8)
    after = client.units(1)[0]
    assert (after.pos.x, after.pos.y) == (unit.pos.x, unit.pos.y)
    assert after.orders[0].ability_id == 18


def test_orders_that_are_refused_say_why() -> None:
    client = Client("MMM")
    units = client.units()
    marauder, marine, medivac, enemy = units[0].tag, units[2].tag, units[9].tag, units[12].tag
    enemy_medivac = units[19].tag
    assert client.order(16, [enemy], at=(1, 1)) == ["YouCantControlThatUnit"]
    assert client.order(16, [12345], at=(1, 1)) == ["Error"]
    assert client.order(16, [marine], at=(math.nan, 1)) == ["MustTargetVisibleLocation"]
    assert client.order(9999, [marine]) == ["NotSupported"]
    assert client.order(23, [marine], target_unit_tag=marauder) == ["CantTargetYourOwnUnits"]
    assert client.order(23, [marine], target_unit_tag=77) == ["CantTargetThatUnit"]
    assert client.order(23, [marauder], target_unit_tag=enemy_medivac) == ["CantTargetAirUnits"]
    assert client.order(386, [marine], target_unit_tag=marauder) == ["NotSupported"]
    assert client.order(386, [medivac], target_unit_tag=enemy) == ["MustTargetFriendlyUnits"]
    assert client.order(386, [medivac], target_unit_tag=marine) == ["Success"]
    assert client.order(16, [enemy, marine], at=(1, 1)) == ["Success"]
    observation = client.ask(observation=sc_pb.RequestObservation()).observation
    assert len(observation.actions) == 11
    assert observation.action_errors[0].unit_tag == enemy


def test_created_units_join_either_side_and_die() -> None:
    client = Client("3m")
    assert not client.create(48, 2, 20, 20, quantity=2).error
    assert not client.create(1970, 1, 8, 12).error
    assert len(client.units(1)) == 4
    assert len(client.units(2)) == 5
    tags = [unit.tag for unit in client.units(1)]
    assert client.order(23, tags, target_unit_tag=client.units(2)[-1].tag) == ["Success"]
    client.step(200)
    client.kill([unit.tag for unit in client.units()])
    client.step(2)
    client.step(1)
    assert len(client.units()) == 6


def test_created_units_fight_as_the_map_type_tells() -> None:
    """A map's own units stand idle, the game's own defend themselves."""
    client = Client("3m")
    client.kill([unit.tag for unit in client.units()][1:])
    client.create(48, 1, 10, 20)
    client.step(1)
    client.create(1970, 2, 12, 20)
    client.step(40)
    assert all(unit.health == 45 for unit in client.units(1))
    assert client.units(2) == [] or client.units(2)[0].health < 45


def test_a_created_unit_looks_for_targets_with_the_others_and_changes_nobodys_way() -> None:
    client = Client("2c_vs_64zg", seed=1)

    def row(name: str) -> list[int]:
        assert client.session.battle is not None
        values: list[int] = client.session.battle.arrays.k[0, getattr(fields, name)].tolist()
        return values

    way, scan = row("ROUTE"), row("SCAN_LOOP")
    cells = way[: way.index(-1)]
    assert cells
    client.kill([client.units(1)[0].tag])
    client.step(8)
    assert not client.create(4, 1, 16, 16).error
    assert row("ROUTE")[: len(cells) + 1] == [*cells, -1]
    assert set(row("SCAN_LOOP")) == set(scan)
    assert len(set(scan)) == 1


@pytest.mark.parametrize(
    ("unit_type", "owner", "x", "quantity"),
    [(59, 1, 5.0, 1), (48, 3, 5.0, 1), (48, 1, math.nan, 1), (48, 1, 5.0, 4_000_000_000)],
)
def test_units_that_cannot_be_created(unit_type: int, owner: int, x: float, quantity: int) -> None:
    client = Client("3m")
    assert client.create(unit_type, owner, x, 5.0, quantity).error
    assert len(client.units()) == 6


def test_a_team_has_no_more_than_its_columns() -> None:
    client = Client("2c_vs_64zg")
    client.create(105, 2, 16, 9, quantity=5)
    assert len(client.units(2)) == 64


def test_unit_values_are_set_within_bounds() -> None:
    client = Client("2s3z")
    unit = client.units(1)[0]
    debug_pb = protocol_module("debug")
    for kind, value in (("Life", 10.0), ("Shields", 1e9)):
        number = debug_pb.DebugSetUnitValue.UnitValue.Value(kind)
        message = debug_pb.DebugSetUnitValue(unit_value=number, value=value, unit_tag=unit.tag)
        assert not client.debug(unit_value=message).error
    after = client.units(1)[0]
    assert (after.health, after.shield) == (10.0, 80.0)
