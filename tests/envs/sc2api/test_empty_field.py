"""SMACv2's game map: units that a client creates on an empty field, and the script of the enemies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("s2clientprotocol")

from envs.battle import fields
from envs.battle.env import BattleEnv
from envs.sc2api.empty_field import OWN_TYPES, EmptyField, battle_on
from envs.sc2api.ids import COMPUTER, PLAYER
from envs.smac.maps import load_map
from envs.smac.scenarios import FIELD, flat_field
from envs.smac.units import SC2_UNIT_IDS, UnitType
from tests.envs.sc2api.support.api_client import Client, sc_pb


def own_ids(client: Client) -> dict[str, int]:
    """The map's own types as SMACv2 counts them: the last nine, by name."""
    data = client.ask(data=sc_pb.RequestData(unit_type_id=True)).data
    assert [unit.unit_id for unit in data.units] == list(range(len(data.units)))
    names = sorted(unit.name.lower() for unit in OWN_TYPES)
    return {name: len(data.units) - 9 + place for place, name in enumerate(names)}


def test_the_nine_types_of_the_map_end_the_list_of_all() -> None:
    client = Client(FIELD)
    data = client.ask(data=sc_pb.RequestData(unit_type_id=True)).data
    for name, number in own_ids(client).items():
        assert data.units[number].name == f"{name.title()}_RL"


def test_a_field_stays_empty_until_units_are_created_and_again_when_they_are_dead() -> None:
    client = Client(FIELD)
    ids = own_ids(client)
    for _ in range(3):
        client.step(8)
        assert client.units() == []
        client.create(ids["zealot"], PLAYER, 10, 16)
        client.create(SC2_UNIT_IDS[UnitType.ZEALOT], COMPUTER, 22, 16)
        assert client.units() == []
        client.step(1)
        assert [(unit.owner, unit.pos.x, unit.pos.y) for unit in client.units()] == [
            (PLAYER, 10, 16),
            (COMPUTER, 22, 16),
        ]
        client.kill([unit.tag for unit in client.units()])
        client.step(2)


def test_idle_enemies_go_for_the_closest_agent() -> None:
    client = Client(FIELD)
    ids = own_ids(client)
    client.create(ids["stalker"], PLAYER, 4, 28)
    client.create(ids["stalker"], PLAYER, 6, 4)
    client.create(SC2_UNIT_IDS[UnitType.ZEALOT], COMPUTER, 28, 4)
    client.step(33)
    (enemy,) = client.units(COMPUTER)
    assert enemy.pos.x == pytest.approx(28 - 4.5, abs=0.3)
    assert enemy.pos.y == pytest.approx(4, abs=0.1)


def created(env: BattleEnv, seed: int) -> EmptyField:
    """The field with the teams and starts of the battle that `env` plays."""
    field = battle_on(flat_field(), seed)
    assert isinstance(field, EmptyField)
    create_all(field, env)
    return field


def create_all(field: EmptyField, env: BattleEnv) -> None:
    n, t, sites = env.spec.n_agents, env._worlds.t[0], env._worlds.sites[0, 0]
    for u in np.argsort(t[fields.CREATED]):
        unit = UnitType(t[fields.TYPE, u])
        unit_id = field.custom_ids[unit] if u < n else SC2_UNIT_IDS[unit]
        assert field.create(unit, unit_id, PLAYER if u < n else COMPUTER, *sites[u, :2].tolist())


@pytest.mark.parametrize("name", ["zerg_10_vs_11", "terran_20_vs_23", "protoss_5_vs_5"])
def test_created_teams_play_the_simulators_battle_bit_by_bit(name: str) -> None:
    env = BattleEnv(load_map(name), seed=6)
    env.reset()
    field = created(env, seed=6)
    for episode in range(3):
        if episode:
            env.reset()
            field.kill(list(field.tags))
            field.step(2)
            create_all(field, env)
        field.step(1)
        for _ in range(12):
            np.testing.assert_array_equal(field.arrays.f[0], env._battles.f[0])
            np.testing.assert_array_equal(field.arrays.k[0], env._battles.k[0])
            env.step_orders(np.full((1, env.spec.n_agents), -1))
            f = env._battles.f[0]
            field.step(8)
            for row in (fields.HEALTH_BEFORE, fields.SHIELD_BEFORE):  # of rewards, which the game has not
                field.arrays.f[0, row] = f[row]


def test_units_that_do_not_fit_are_not_created() -> None:
    field: Any = battle_on(flat_field(), 0)
    for x in range(64):
        assert field.create(UnitType.COLOSSUS, 4, COMPUTER, 2.5 + 0.37 * x, 16.5)
        assert field.create(UnitType.COLOSSUS, 4, PLAYER, 2.6 + 0.41 * x, 15.5)
    assert not field.create(UnitType.COLOSSUS, 4, COMPUTER, 16, 16)
    field.step(1)
    assert 60 < sum(field.alive) <= 128
    field.step(8)


def test_too_many_units_are_refused_before_they_are_on_the_field() -> None:
    client = Client(FIELD)
    number = own_ids(client)["marine"]
    assert not client.create(number, PLAYER, 16, 16, quantity=60).error
    assert "at most 64" in client.create(number, PLAYER, 16, 16, quantity=5).error[0]
    client.step(1)
    assert len(client.units()) == 60
