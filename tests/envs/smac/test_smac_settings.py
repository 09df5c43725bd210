"""Observation and state with any settings, against a slow reading of SMAC's formulas, and by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.conformance import check_env, random_actions
from envs.errors import InputError
from envs.smac.ground import terrain_image
from envs.smac.layout import write_views
from envs.smac.maps import SmacMap, load_map
from envs.smac.memory import LAST_ACTION, Memory, make_memory
from envs.smac.settings import SMAC_V2, SmacSettings
from envs.smac.tables import layout_tables
from envs.smac.units import UNITS, UnitType
from tests.envs.smac.test_smac_layout import MAX_COOLDOWN, MAX_SHIELD, Unit, random_units

RANGES = {"STALKER": 6, "ZEALOT": 2, "COLOSSUS": 7, "ZERGLING": 2, "BANELING": 2, "HYDRALISK": 5}
RANGES |= {"MARINE": 5, "MARAUDER": 6, "MEDIVAC": 4}
SIGHTS = {"STALKER": 10, "ZEALOT": 9, "COLOSSUS": 10, "ZERGLING": 8, "BANELING": 8, "HYDRALISK": 9}
SIGHTS |= {"MARINE": 9, "MARAUDER": 10, "MEDIVAC": 11}
GEN_TYPES = {
    "protoss_gen": ["STALKER", "ZEALOT", "COLOSSUS"],
    "terran_gen": ["MARINE", "MARAUDER", "MEDIVAC"],
    "zerg_gen": ["ZERGLING", "HYDRALISK", "BANELING"],
}


def with_settings(smac_map: SmacMap, **settings: Any) -> SmacMap:
    return replace(smac_map, settings=replace(smac_map.settings, **settings))


def gen(name: str) -> SmacMap:
    """A SMAC map as one of SMACv2's type: its units, SMACv2's types and settings."""
    smac_map = load_map(name)
    map_type: Any = {"P": "protoss_gen", "T": "terran_gen", "Z": "zerg_gen"}[smac_map.ally_race]
    return replace(smac_map, map_type=map_type, unit_type_bits=3, settings=SMAC_V2)


class SlowPackage:
    """SMAC's and SMACv2's formulas, one after the other, as their texts read."""

    def __init__(self, smac_map: SmacMap, units: list[Unit], last: list[int], steps: int) -> None:
        self.map, self.set, self.last = smac_map, smac_map.settings, last
        self.agents, self.enemies = units[: smac_map.n_agents], units[smac_map.n_agents :]
        self.n_actions = 6 + len(self.enemies)
        if smac_map.map_type in ("MMM", "terran_gen") and len(self.agents) > len(self.enemies):
            self.n_actions = 6 + len(self.agents)
        self.time = steps / smac_map.episode_limit
        self.heights = np.flip(terrain_image(smac_map.cliff_level).T, 1) / 255

    def sight(self, unit: Unit) -> float:
        return SIGHTS[unit.type.name] if self.set.use_unit_ranges else 9

    def one_hot(self, unit: Unit, ally: bool) -> list[float]:
        names = GEN_TYPES.get(self.map.map_type) or {
            "stalkers_and_zealots": ["STALKER", "ZEALOT"] if ally else ["ZEALOT", "STALKER"],
            "MMM": ["MARAUDER", "MARINE", "MEDIVAC"],
        }.get(self.map.map_type, [])
        return [float(unit.type.name == name) for name in names]

    def health(self, unit: Unit, ally: bool) -> list[float]:
        values = [unit.health / UNITS[unit.type].health_max]
        if (self.map.ally_race if ally else self.map.enemy_race) == "P":
            values.append(unit.shield / MAX_SHIELD[unit.type])
        return values

    def action(self, i: int) -> list[float]:
        return [float(a == self.last[i]) for a in range(self.n_actions)]

    def can_go(self, x: int, y: int) -> bool:
        return 0 <= x < 32 and 0 <= y < 32 and bool(self.map.walkable[x, y])

    def avail(self, i: int) -> list[bool]:
        unit = self.agents[i]
        if unit.health == 0:
            return [True] + [False] * (self.n_actions - 1)
        ways = ((0, 1), (0, -1), (1, 0), (-1, 0))
        shown = [False, True, *(self.can_go(int(unit.x + dx), int(unit.y + dy)) for dx, dy in ways)]
        shown += [False] * (self.n_actions - 6)
        medic = self.map.map_type in ("MMM", "terran_gen") and unit.type is UnitType.MEDIVAC
        reach = RANGES[unit.type.name] if self.set.use_unit_ranges else 6
        for j, other in enumerate(self.agents if medic else self.enemies):
            is_target = other.health > 0 and not (medic and other.type is UnitType.MEDIVAC)
            if is_target and math.hypot(other.x - unit.x, other.y - unit.y) <= reach:
                shown[6 + j] = True
        return shown

    def around(self, unit: Unit) -> list[tuple[int, int]]:
        x, y = int(unit.x), int(unit.y)
        straight = [(x, y + 4), (x, y - 4), (x + 4, y), (x - 4, y)]
        return [*straight, (x + 2, y + 2), (x - 2, y - 2), (x + 2, y - 2), (x - 2, y + 2)]

    def moves(self, i: int, avail: list[bool]) -> list[float]:
        unit, values = self.agents[i], [float(can) for can in avail[2:6]]
        inside = [0 <= x < 32 and 0 <= y < 32 for x, y in [*self.around(unit), (int(unit.x), int(unit.y))]]
        cells = [*self.around(unit), (int(unit.x), int(unit.y))]
        if self.set.obs_pathing_grid:
            known = zip(cells[:8], inside, strict=False)
            values += [float(self.map.walkable[cell]) if is_in else 1.0 for cell, is_in in known]
        if self.set.obs_terrain_height:
            known = zip(cells, inside, strict=True)
            values += [float(self.heights[cell]) if is_in else 1.0 for cell, is_in in known]
        return values

    def obs(self, i: int) -> list[float]:
        unit, time = self.agents[i], [self.time] * self.set.obs_timestep_number
        if unit.health == 0:
            return [0.0] * (self.map.spec.obs_dim - len(time)) + time
        avail, sight = self.avail(i), self.sight(unit)
        values = self.moves(i, avail)
        others = [(k, agent) for k, agent in enumerate(self.agents) if k != i]
        for ally, seen in ((False, list(enumerate(self.enemies))), (True, others)):
            for k, other in seen:
                dx, dy = other.x - unit.x, other.y - unit.y
                distance = math.hypot(dx, dy)
                row = [1.0 if ally else float(avail[6 + k]), distance / sight, dx / sight, dy / sight]
                row += self.health(other, ally) * self.set.obs_all_health + self.one_hot(other, ally)
                row += self.action(k) if ally and self.set.obs_last_action else []
                visible = distance < sight or self.set.fully_observable
                values += row if visible and other.health > 0 else [0.0] * len(row)
        if self.set.obs_all_health or self.set.obs_own_health:
            values += self.health(unit, True)
        values += [unit.x / 32, unit.y / 32] * self.set.obs_own_pos
        return values + self.one_hot(unit, True) + time

    def state(self) -> list[float]:
        if self.set.obs_instead_of_state:
            return [value for i in range(len(self.agents)) for value in self.obs(i)]
        values: list[float] = []
        for ally, units in ((True, self.agents), (False, self.enemies)):
            for unit in units:
                health, *shield = self.health(unit, ally)
                row = [health]
                if ally:
                    medic = self.map.map_type in ("MMM", "terran_gen") and unit.type is UnitType.MEDIVAC
                    row.append(unit.energy / 200 if medic else unit.cooldown / MAX_COOLDOWN[unit.type])
                row += [(unit.x - 16) / 28, (unit.y - 16) / 28, *shield, *self.one_hot(unit, ally)]
                values += row if unit.health > 0 else [0.0] * len(row)
        for i in range(len(self.agents) * self.set.state_last_action):
            values += self.action(i)
        return values + [self.time] * self.set.state_timestep_number


VARIANTS: dict[str, dict[str, Any]] = {
    "no health": {"obs_all_health": False, "obs_own_health": False},
    "own health": {"obs_all_health": False},
    "actions": {"obs_last_action": True, "state_last_action": True},
    "actions without health": {"obs_last_action": True, "obs_all_health": False},
    "ground": {"obs_pathing_grid": True, "obs_terrain_height": True},
    "heights": {"obs_terrain_height": True},
    "time": {"obs_timestep_number": True, "state_timestep_number": True, "state_last_action": True},
    "observations": {"obs_instead_of_state": True, "obs_timestep_number": True, "obs_all_health": False},
    "places": {"obs_own_pos": True, "use_unit_ranges": True},
    "all": {"fully_observable": True, "obs_own_pos": True, "obs_last_action": True},
}


@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("name", ["3m", "2s3z", "MMM", "2s_vs_1sc", "2c_vs_64zg", "gen 1c3s5z", "gen MMM2"])
def test_every_setting_shows_what_the_packages_show(name: str, settings: dict[str, Any]) -> None:
    smac_map = gen(name[4:]) if name.startswith("gen ") else load_map(name)
    # which enemies agents know of has its tests in test_sightings
    smac_map = with_settings(smac_map, prob_obs_enemy=None, **settings)
    if UnitType.SPINE_CRAWLER in smac_map.enemy_types and smac_map.settings.use_unit_ranges:
        smac_map = with_settings(smac_map, use_unit_ranges=False)  # SMACv2 has no such enemies
    rng, spec = np.random.default_rng(11), smac_map.spec
    memory = Memory(*(array[0] for array in make_memory(smac_map, 1)))
    for trial in range(8):
        units = random_units(smac_map, rng)
        last = (
            [-1] * spec.n_agents if trial == 0 else rng.integers(spec.n_actions, size=spec.n_agents).tolist()
        )
        memory.agents[LAST_ACTION] = last
        slow = SlowPackage(smac_map, units, last, steps=trial)
        obs = np.full((spec.n_agents, spec.obs_dim), np.nan, np.float32)
        state = np.full(spec.state_dim, np.nan, np.float32)
        avail = np.ones((spec.n_agents, spec.n_actions), np.bool_)
        names = ("x", "y", "health", "shield", "energy", "cooldown")
        columns = [np.array([getattr(unit, each) for unit in units], np.float64) for each in names]
        types = np.array([unit.type for unit in units], np.int64)
        write_views(layout_tables(smac_map), memory, trial, types, *columns, obs, state, avail)
        agents = range(spec.n_agents)
        np.testing.assert_array_equal(avail, [slow.avail(i) for i in agents])
        np.testing.assert_allclose(obs, [slow.obs(i) for i in agents], rtol=2e-7, atol=0)
        np.testing.assert_allclose(state, slow.state(), rtol=2e-7, atol=0)


def test_sizes_with_settings_worked_out_by_hand() -> None:
    """3m: 4 moves, 3 enemies of 5, 2 mates of 5, own health; 9 actions."""
    every = with_settings(
        load_map("3m"), obs_last_action=True, obs_pathing_grid=True, obs_terrain_height=True,
        obs_timestep_number=True, obs_own_pos=True, state_last_action=True, state_timestep_number=True,
    ).spec  # fmt: skip
    assert every.obs_dim == 4 + 8 + 9 + 3 * 5 + 2 * (5 + 9) + 1 + 2 + 1
    assert every.state_dim == 3 * 4 + 3 * 3 + 3 * 9 + 1
    assert with_settings(load_map("3m"), obs_all_health=False).spec.obs_dim == 4 + 5 * 4 + 1
    assert with_settings(load_map("3m"), obs_instead_of_state=True).spec.state_dim == 3 * 30
    assert gen("MMM").spec.obs_dim == 4 + 10 * 8 + 9 * 8 + 1 + 2 + 3


def test_terran_agents_that_outnumber_the_enemies_have_an_action_for_each_of_them() -> None:
    smac_map = gen("MMM")
    few = replace(smac_map, enemy_spawns=smac_map.enemy_spawns[:1])
    assert few.n_enemies < few.n_agents == 10
    assert few.spec.n_actions == 6 + 10


@pytest.mark.parametrize("name", ["3m", "2s3z", "MMM"])
def test_the_simulator_shows_last_actions_and_time_as_they_were(name: str) -> None:
    settings = {"state_last_action": True, "obs_last_action": True, "state_timestep_number": True}
    smac_map = with_settings(load_map(name), obs_timestep_number=True, **settings)
    with BattleEnv(smac_map, n_battles=2, seed=4) as env:
        rng, step, N, A = np.random.default_rng(4), env.reset(), smac_map.n_agents, smac_map.n_actions
        assert not step.state[:, -N * A - 1 :].any()
        for played in range(1, 8):
            actions = random_actions(step, rng)
            step = env.step(actions)
            shown = step.state[:, -N * A - 1 : -1].reshape(2, N, A)
            np.testing.assert_array_equal(shown.argmax(-1), actions)
            assert (shown.sum(-1) == 1).all()
            np.testing.assert_allclose(step.state[:, -1], played / smac_map.episode_limit, rtol=1e-6)
            np.testing.assert_allclose(step.obs[:, :, -1], played / smac_map.episode_limit, rtol=1e-6)
        again = env.reset(np.array([True, False]))
        assert not again.state[0, -N * A - 1 :].any()
        np.testing.assert_array_equal(again.state[1], step.state[1])


def test_an_environment_with_all_settings_keeps_the_contract() -> None:
    settings = {name: True for each in VARIANTS.values() for name, value in each.items() if value is True}
    smac_map = with_settings(gen("2s3z"), **settings | {"fully_observable": False})
    check_env(BattleEnv(smac_map, n_battles=3, seed=2), seed=2)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"obs_last_action": 1}, "obs_last_action must be True or False, not 1"),
        ({"reward_win": "200"}, "reward_win must be a finite number, not '200'"),
        ({"reward_death_value": math.inf}, "reward_death_value must be a finite number, not inf"),
        ({"conic_fov": True}, "conic_fov cannot be played"),
        ({"prob_obs_enemy": 1.5}, "prob_obs_enemy must be from 0 to 1"),
        ({"min_attack_range": -1}, "min_attack_range must be at least 0"),
        ({"reward_scale_rate": 0}, "reward_scale_rate must be above 0"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        SmacSettings(**settings)
