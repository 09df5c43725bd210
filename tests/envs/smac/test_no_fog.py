"""Observations without fog: what is in sight looks as always, what is beyond is there too."""

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.conformance import check_env
from envs.errors import InputError
from envs.make import agent_types, env_spec, make_env, resolve_backend, without_fog
from envs.smac.maps import MAP_NAMES, load_map
from envs.smac.tables import SIGHT_CELLS
from envs.types import IntArray, TimeStep


def random_actions(rng: np.random.Generator, step: TimeStep) -> IntArray:
    return np.where(step.avail_actions, rng.random(step.avail_actions.shape), -1).argmax(-1)


def rows_of(name: str) -> tuple[list[slice], int]:
    """Where in an observation the rows of the other units are, enemies first, and where one's own is."""
    smac_map, at, rows = load_map(name), 4, []
    kinds = (smac_map.n_enemies, smac_map.enemy_shield), (smac_map.n_agents - 1, smac_map.ally_shield)
    for count, shield in kinds:
        for _ in range(count):
            width = 5 + shield + smac_map.unit_type_bits
            rows.append(slice(at, at + width))
            at += width
    return rows, at


@pytest.mark.parametrize("name", ["3m", "2s3z", "MMM2", "bane_vs_bane", "corridor", "1c3s5z", "2s_vs_1sc"])
def test_what_is_in_sight_is_the_ordinary_observation_to_the_last_float(name: str) -> None:
    """Moves, own row and every row that fog leaves are equal; what fog hides is beyond the sight range."""
    env, lifted = (make_env(each, "sim", n_battles=3, seed=5) for each in (name, f"{name}:no-fog"))
    rng = np.random.default_rng(5)
    rows, own = rows_of(name)
    step, full, hidden = env.reset(), lifted.reset().obs, 0
    for _ in range(60):
        assert full.dtype == np.float32
        assert full.shape == step.obs.shape
        np.testing.assert_array_equal(full[..., :4], step.obs[..., :4])
        np.testing.assert_array_equal(full[..., own:], step.obs[..., own:])
        for row in rows:
            distance, seen = full[..., row.start + 1], step.obs[..., row].any(-1)
            assert np.array_equal(seen, (distance < 1) & full[..., row].any(-1))
            np.testing.assert_array_equal(full[seen][:, row], step.obs[seen][:, row])
            hidden += int((full[..., row].any(-1) & ~seen).sum())
        actions = random_actions(rng, step)
        step, full = env.step(actions), lifted.step(actions).obs
        if step.done.any():
            full = lifted.reset(step.done).obs
            step = env.reset(step.done)
    assert hidden > 0  # there was something to lift fog from


def test_who_is_beyond_sight_is_shown_where_the_simulator_has_it() -> None:
    """Every living pair at any distance."""
    env = make_env("2s3z:no-fog", "sim", n_battles=2, seed=3)
    assert isinstance(env, BattleEnv)
    rng, step = np.random.default_rng(3), env.reset()
    far = 0
    for _ in range(40):
        units = env.units
        x, y, alive = units.x, units.y, units.alive > 0
        for b, i in np.argwhere(alive[:, :5]):
            for j in range(5):
                row = step.obs[b, i, 4 + 8 * j : 12 + 8 * j]
                dx, dy = x[b, 5 + j] - x[b, i], y[b, 5 + j] - y[b, i]
                if not alive[b, 5 + j]:
                    assert not row.any()
                    continue
                far += np.hypot(dx, dy) >= SIGHT_CELLS
                assert row[1:4] == pytest.approx(np.array([np.hypot(dx, dy), dx, dy]) / SIGHT_CELLS, rel=1e-6)
                assert row[4] > 0
                assert row[6:].sum() == 1
        step = env.step(random_actions(rng, step))
        if step.done.any():
            step = env.reset(step.done)
    assert far > 100


@pytest.mark.parametrize("name", ["3m", "MMM"])
def test_nothing_but_the_observation_differs(name: str) -> None:
    plain, lifted = (make_env(each, "sim", n_battles=2, seed=9) for each in (name, f"{name}:no-fog"))
    rng = np.random.default_rng(9)
    step, full = plain.reset(), lifted.reset()
    for _ in range(30):
        for field in ("state", "avail_actions", "reward", "terminated", "truncated", "won"):
            np.testing.assert_array_equal(getattr(step, field), getattr(full, field))
        actions = random_actions(rng, step)
        step, full = plain.step(actions), lifted.step(actions)
    assert plain.next_episode == lifted.next_episode == 2


def test_it_passes_the_checks_of_every_environment() -> None:
    check_env(make_env("2s3z:no-fog", "sim", n_battles=2, seed=1), seed=1)


@pytest.mark.parametrize("name", MAP_NAMES)
def test_a_map_and_its_variant_differ_in_the_name_alone(name: str) -> None:
    assert env_spec(name).differences(env_spec(f"{name}:no-fog")) == [f"name: '{name}', not '{name}:no-fog'"]
    assert agent_types(name) == agent_types(f"{name}:no-fog")


@pytest.mark.parametrize("name", ["checkers", "spread:3"])
def test_other_environments_have_no_fog_to_lift(name: str) -> None:
    with pytest.raises(InputError, match="only SMAC's maps"):
        without_fog(name)


def test_the_official_package_cannot_lift_its_fog() -> None:
    with pytest.raises(InputError, match="--env sc2 plays the same game without fog"):
        resolve_backend("smac", "3m:no-fog")


def test_agents_are_typed_in_the_order_of_their_ids() -> None:
    assert agent_types("2s3z") == ("stalker",) * 2 + ("zealot",) * 3
    assert agent_types("checkers") is None
