"""The layout kernel against SMAC's rules: once more, slowly, in plain Python, and pinned case by case."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from envs.smac.layout import write_views
from envs.smac.maps import MAP_NAMES, SmacMap, load_map
from envs.smac.memory import Memory, make_memory
from envs.smac.tables import layout_tables
from envs.smac.units import UNITS, UnitType

MARINE, MARAUDER, MEDIVAC = UnitType.MARINE, UnitType.MARAUDER, UnitType.MEDIVAC
STALKER, ZEALOT, COLOSSUS = UnitType.STALKER, UnitType.ZEALOT, UnitType.COLOSSUS
ZERGLING, BANELING = UnitType.ZERGLING, UnitType.BANELING
N, S, E, W = 2, 3, 4, 5


@dataclass(frozen=True)
class Unit:
    type: UnitType
    x: float
    y: float
    health: float
    shield: float = 0.0
    energy: float = 0.0
    cooldown: float = 0.0


@dataclass(frozen=True)
class Views:
    obs: np.ndarray
    state: np.ndarray
    avail: np.ndarray


def views(smac_map: SmacMap, units: list[Unit]) -> Views:
    """What the kernel writes, into arrays full of rubbish."""
    spec = smac_map.spec
    assert len(units) == smac_map.n_agents + smac_map.n_enemies
    out = Views(
        np.full((spec.n_agents, spec.obs_dim), np.nan, np.float32),
        np.full(spec.state_dim, np.nan, np.float32),
        np.ones((spec.n_agents, spec.n_actions), np.bool_),
    )
    columns = [
        np.array([getattr(unit, name) for unit in units], np.float64)
        for name in ("x", "y", "health", "shield", "energy", "cooldown")
    ]
    types = np.array([unit.type for unit in units], np.int64)
    memory = Memory(*(array[0] for array in make_memory(smac_map, 1)))
    write_views(layout_tables(smac_map), memory, 0, types, *columns, out.obs, out.state, out.avail)
    return out


MAX_COOLDOWN = dict(zip(UnitType, (15, 25, 200, 35, 22, 24, 10, 11, 1, 15), strict=True))
MAX_SHIELD = {STALKER: 80, ZEALOT: 50, COLOSSUS: 150}


class SlowSmac:
    """SMAC's get_obs_agent, get_state and get_avail_agent_actions, as their texts read."""

    def __init__(self, smac_map: SmacMap, units: list[Unit]) -> None:
        self.map = smac_map
        self.agents, self.enemies = units[: smac_map.n_agents], units[smac_map.n_agents :]

    def one_hot(self, unit: Unit, ally: bool) -> list[float]:
        types = {
            "stalkers_and_zealots": [STALKER, ZEALOT] if ally else [ZEALOT, STALKER],
            "colossi_stalkers_zealots": [COLOSSUS, STALKER, ZEALOT],
            "MMM": [MARAUDER, MARINE, MEDIVAC],
            "bane": [BANELING, ZERGLING],
        }.get(self.map.map_type, [])
        return [float(unit.type is kind) for kind in types]

    def health(self, unit: Unit, ally: bool) -> list[float]:
        values = [unit.health / UNITS[unit.type].health_max]
        if (self.map.ally_race if ally else self.map.enemy_race) == "P":
            values.append(unit.shield / MAX_SHIELD[unit.type])
        return values

    def can_move(self, unit: Unit, dx: int, dy: int) -> bool:
        x, y = int(unit.x + dx), int(unit.y + dy)
        return 0 <= x < 32 and 0 <= y < 32 and bool(self.map.walkable[x, y])

    def avail(self, i: int) -> list[bool]:
        unit = self.agents[i]
        if unit.health == 0:
            return [True] + [False] * (5 + len(self.enemies))
        moves = [self.can_move(unit, dx, dy) for dx, dy in ((0, 1), (0, -1), (1, 0), (-1, 0))]
        targets = [False] * len(self.enemies)
        medivac = self.map.map_type == "MMM" and unit.type is MEDIVAC
        for j, target in enumerate(self.agents if medivac else self.enemies):
            if medivac and target.type is MEDIVAC:
                continue
            if target.health > 0 and math.hypot(target.x - unit.x, target.y - unit.y) <= 6:
                targets[j] = True
        return [False, True, *moves, *targets]

    def obs(self, i: int) -> list[float]:
        unit = self.agents[i]
        if unit.health == 0:
            return [0.0] * self.map.spec.obs_dim
        avail = self.avail(i)
        values = [float(available) for available in avail[2:6]]
        others = [agent for k, agent in enumerate(self.agents) if k != i]
        for ally, seen in ((False, self.enemies), (True, others)):
            for j, other in enumerate(seen):
                dx, dy = other.x - unit.x, other.y - unit.y
                distance = math.hypot(dx, dy)
                row = [1.0 if ally else float(avail[6 + j]), distance / 9, dx / 9, dy / 9]
                health, *shield = self.health(other, ally)
                row += [health, *shield, *self.one_hot(other, ally)]
                values += row if distance < 9 and other.health > 0 else [0.0] * len(row)
        return values + self.health(unit, True) + self.one_hot(unit, True)

    def state(self) -> list[float]:
        values: list[float] = []
        for ally, units in ((True, self.agents), (False, self.enemies)):
            for unit in units:
                health, *shield = self.health(unit, ally)
                row = [health]
                if ally:
                    medivac = self.map.map_type == "MMM" and unit.type is MEDIVAC
                    row.append(unit.energy / 200 if medivac else unit.cooldown / MAX_COOLDOWN[unit.type])
                row += [(unit.x - 16) / 28, (unit.y - 16) / 28, *shield, *self.one_hot(unit, ally)]
                values += row if unit.health > 0 else [0.0] * len(row)
        return values


def random_units(smac_map: SmacMap, rng: np.random.Generator) -> list[Unit]:
    """Units anywhere on the map, near enough to see each other at times; a fifth of them dead."""
    centre, spread = rng.uniform(4, 28, 2), rng.uniform(1, 9)
    units = []
    for kind in smac_map.ally_types + smac_map.enemy_types:
        x, y = np.clip(rng.normal(centre, spread), 0, 31.99)
        stats = UNITS[kind]
        alive = rng.random() > 0.2
        units.append(
            Unit(
                type=kind,
                x=float(x),
                y=float(y),
                health=float(rng.uniform(0.1, stats.health_max)) if alive else 0.0,
                shield=float(rng.uniform(0, stats.shield_max)) if alive else 0.0,
                energy=float(rng.uniform(0, 200)) if kind is MEDIVAC else 0.0,
                cooldown=float(rng.uniform(0, 40)),
            )
        )
    return units


@pytest.mark.parametrize("name", MAP_NAMES)
def test_views_are_smacs_to_the_last_float(name: str) -> None:
    smac_map = load_map(name)
    rng = np.random.default_rng(7)
    for _ in range(25):
        units = random_units(smac_map, rng)
        slow, fast = SlowSmac(smac_map, units), views(smac_map, units)
        agents = range(smac_map.n_agents)
        np.testing.assert_array_equal(fast.avail, [slow.avail(i) for i in agents])
        np.testing.assert_array_equal(fast.state, np.array(slow.state(), np.float32))
        # SMAC takes distances by hypot, we by a square root: the last bit of a float64 may differ.
        np.testing.assert_allclose(
            fast.obs, np.array([slow.obs(i) for i in agents], np.float32), rtol=1.2e-7, atol=0
        )


def place(name: str, *xy: tuple[float, float]) -> tuple[SmacMap, list[Unit]]:
    """The map's units with full life at the given points; those that are not given stand far away, apart."""
    smac_map = load_map(name)
    units = []
    for u, kind in enumerate(smac_map.ally_types + smac_map.enemy_types):
        x, y = xy[u] if u < len(xy) else (0.5 if u % 2 else 31.5, 0.5)
        units.append(Unit(kind, x, y, UNITS[kind].health_max, UNITS[kind].shield_max))
    return smac_map, units


def test_a_hand_placed_battle_of_3m_gives_these_numbers() -> None:
    smac_map, units = place("3m", (9, 16), (9, 19), (2.5, 24.5), (13, 13), (17, 16), (18, 16))
    units[1] = replace(units[1], health=22.5, cooldown=6.0)
    seen = views(smac_map, units)
    third = 3 / 9
    enemies = [1, 5 / 9, 4 / 9, -third, 1] + [0, 8 / 9, 8 / 9, 0, 1] + [0] * 5  # the third stands 9 away
    allies = [1, third, 0, third, 0.5] + [0] * 5
    np.testing.assert_allclose(seen.obs[0], [1, 1, 1, 1, *enemies, *allies, 1], rtol=1e-6)
    assert seen.obs[2, :4].tolist() == [0, 1, 1, 0]  # the north-western corner of the walkable cells
    assert np.flatnonzero(seen.avail[0]).tolist() == [1, N, S, E, W, 6]
    half = [0.5, 6 / 15, -7 / 28, 3 / 28]
    np.testing.assert_allclose(seen.state[:8], [1, 0, -7 / 28, 0, *half], rtol=1e-6)
    np.testing.assert_allclose(seen.state[12:15], [1, -3 / 28, -3 / 28], rtol=1e-6)


def test_attacks_reach_six_cells_inclusive_and_sight_nine_exclusive() -> None:
    smac_map, units = place("3m", (10, 10), (10, 15), (19, 10), (16, 10), (16.001, 10), (19, 10))
    seen = views(smac_map, units)
    assert seen.avail[0, 6:].tolist() == [True, False, False]
    rows = seen.obs[0, 4:19].reshape(3, 5)
    assert rows[:, 0].tolist() == [1, 0, 0]
    assert rows[1, 1] > 0  # seen, though out of reach
    assert not rows[2].any()  # exactly nine away
    allies = seen.obs[0, 19:29].reshape(2, 5)
    assert allies[0, 0] == 1
    assert not allies[1].any()


def test_enemy_types_are_reversed_where_stalkers_meet_zealots() -> None:
    smac_map, units = place("2s3z", *[(10 + i, 16) for i in range(5)], *[(12 + i, 18) for i in range(5)])
    state = views(smac_map, units).state
    allies, enemies = state[:35].reshape(5, 7), state[35:].reshape(5, 6)
    assert allies[:, 5:].tolist() == [[1, 0]] * 2 + [[0, 1]] * 3  # stalker, zealot
    assert enemies[:, 4:].tolist() == [[0, 1]] * 2 + [[1, 0]] * 3  # zealot, stalker
    obs = views(smac_map, units).obs[0]
    assert obs[4:44].reshape(5, 8)[:, 6:].tolist() == [[0, 1]] * 2 + [[1, 0]] * 3
    assert obs[44:76].reshape(4, 8)[:, 6:].tolist() == [[1, 0]] + [[0, 1]] * 3
    assert obs[76:].tolist() == [1, 1, 1, 0]


def test_a_map_with_colossi_keeps_one_order_of_types_for_both_sides() -> None:
    smac_map, units = place("1c3s5z")
    state = views(smac_map, units).state
    kinds = [[1, 0, 0]] + [[0, 1, 0]] * 3 + [[0, 0, 1]] * 5
    assert state[:72].reshape(9, 8)[:, 5:].tolist() == kinds
    assert state[72:].reshape(9, 7)[:, 4:].tolist() == kinds


def test_dead_units_leave_rows_of_zeros_and_dead_agents_can_only_noop() -> None:
    smac_map, units = place("3m", (10, 16), (11, 16), (12, 16), (13, 16), (14, 16), (15, 16))
    units[1] = replace(units[1], health=0.0)
    units[4] = replace(units[4], health=0.0)
    seen = views(smac_map, units)
    assert not seen.obs[1].any()
    assert np.flatnonzero(seen.avail[1]).tolist() == [0]
    assert not seen.state[4:8].any()
    assert not seen.state[15:18].any()
    assert not seen.obs[0, 9:14].any()  # the dead enemy
    assert not seen.obs[0, 19:24].any()  # the dead ally
    assert seen.avail[0, 6:].tolist() == [True, False, True]


def test_medivacs_heal_by_ally_slots_and_never_attack() -> None:
    agents = [(10.0, 16.0), (10.0, 17.0), (16.0, 16.0), (16.1, 16.0)] + [(10.0, 15.0)] * 5 + [(10.0, 16.0)]
    smac_map, units = place("MMM", *agents, *[(12.0, 16.0)] * 10)
    units[4] = replace(units[4], health=0.0)
    seen = views(smac_map, units)
    medivac = 9
    # Allies 0, 1, 5-8 near, 2 exactly six away, 3 further, 4 dead, 9 itself; full health does not matter.
    assert np.flatnonzero(seen.avail[medivac, 6:]).tolist() == [0, 1, 2, 5, 6, 7, 8]
    rows = seen.obs[medivac, 4:84].reshape(10, 8)
    assert np.flatnonzero(rows[:, 0]).tolist() == [0, 1, 2, 5, 6, 7, 8]  # enemy rows show the heal slots
    assert (rows[:, 1] > 0).all()
    assert seen.avail[0, 6:].all()  # a marauder attacks enemies, their medivac too


def test_a_medivacs_energy_stands_where_the_others_have_their_cooldown() -> None:
    smac_map, units = place("MMM")
    units[9] = replace(units[9], energy=50.0, cooldown=7.0)
    units[0] = replace(units[0], energy=50.0, cooldown=30.0)
    rows = views(smac_map, units).state[:70].reshape(10, 7)
    assert rows[9, 1] == pytest.approx(50 / 200)
    assert rows[0, 1] == pytest.approx(30 / 25)  # beyond one


def test_shields_are_shown_where_the_race_has_them_by_their_own_maximum() -> None:
    smac_map, units = place("2m_vs_1z", (15, 15), (16, 15), (15, 16))
    units[2] = replace(units[2], health=50.0, shield=10.0)
    seen = views(smac_map, units)
    np.testing.assert_allclose(seen.state[-4:], [0.5, -1 / 28, 0, 10 / 50])
    np.testing.assert_allclose(seen.obs[0, 8:10], [0.5, 0.2])
    smac_map, units = place("2s_vs_1sc", (12, 12))
    units[0] = replace(units[0], shield=20.0)
    assert views(smac_map, units).obs[0, -2:].tolist() == [1.0, 0.25]


def test_moves_look_one_cell_ahead_within_the_playable_area() -> None:
    smac_map, units = place("3s_vs_5z", (2.2, 2.2), (29.5, 29.5), (16.9, 16))
    avail = views(smac_map, units).avail
    assert avail[0, 2:6].tolist() == [True, False, True, False]
    assert avail[1, 2:6].tolist() == [False, True, False, True]
    smac_map, units = place("corridor", (2.5, 2.5))
    assert views(smac_map, units).avail[0, 2:6].tolist() == [True, False, True, False]


def test_on_a_cliff_moves_follow_the_ground_and_not_the_colossus() -> None:
    smac_map, units = place("2c_vs_64zg", (16.5, 13.5), (16.5, 12.5))
    avail = views(smac_map, units).avail
    assert avail[0, 2:6].tolist() == [True, False, True, True]  # on the edge, whose foot is south
    assert avail[1, 2:6].tolist() == [True, True, False, False]  # on the foot


def test_cooldowns_that_have_run_out_are_zero() -> None:
    smac_map, units = place("3m")
    units[0] = replace(units[0], cooldown=-0.5)
    assert views(smac_map, units).state[1] == 0
