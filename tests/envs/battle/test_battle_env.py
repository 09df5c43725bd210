"""BattleEnv: reproducible for any number of battles and threads; refusals, orders, units for watchers."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.battle.fields import Order
from envs.smac.maps import load_map
from envs.types import TimeStep
from tests.paths import ROOT


def random_actions(shown: TimeStep, episodes: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Actions that depend on the episode and its step alone."""
    actions = np.zeros(shown.avail_actions.shape[:2], np.int64)
    for b, (episode, step) in enumerate(zip(episodes, steps, strict=True)):
        rng = np.random.default_rng((int(episode), int(step)))
        draw = rng.random(shown.avail_actions.shape[1:]) * shown.avail_actions[b]
        actions[b] = draw.argmax(-1)
    return actions


def episode_digests(map_name: str, n_battles: int, threads: int, episodes: int, seed: int) -> dict[int, str]:
    """A digest of all that each of the first `episodes` episodes shows, by episode number."""
    env = BattleEnv(load_map(map_name), n_battles=n_battles, seed=seed, threads=threads)
    shown = env.reset()
    running = {b: hashlib.sha256() for b in range(n_battles)}
    done: dict[int, str] = {}
    while len(done) < episodes:
        shown = env.step(random_actions(shown, env.episodes, env.steps))
        ended = shown.done
        for b in range(n_battles):
            for part in (shown.obs, shown.state, shown.avail_actions, shown.reward, shown.won):
                running[b].update(part[b].tobytes())
        for b in np.flatnonzero(ended):
            if env.episodes[b] < episodes:
                done[int(env.episodes[b])] = running[b].hexdigest()
            running[b] = hashlib.sha256()
        if ended.any():
            shown = env.reset(ended)
    env.close()
    return done


@pytest.mark.parametrize("map_name", ["3m", "MMM2", "corridor"])
def test_episodes_are_bit_identical_for_any_number_of_battles_and_threads(map_name: str) -> None:
    alone = episode_digests(map_name, 1, 1, 6, seed=3)
    assert len(set(alone.values())) == 6
    assert episode_digests(map_name, 16, 1, 6, seed=3) == alone
    assert episode_digests(map_name, 64, 2, 6, seed=3) == alone
    assert episode_digests(map_name, 1, 1, 6, seed=4) != alone


def test_threads_are_used_when_there_is_much_to_do() -> None:
    assert BattleEnv(load_map("3m"), n_battles=2, threads=2).n_threads == 1
    assert BattleEnv(load_map("corridor"), n_battles=64, threads=2).n_threads == 2


def test_episodes_are_bit_identical_in_another_process() -> None:
    here = episode_digests("3m", 2, 1, 3, seed=9)
    program = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('elsewhere', {__file__!r})\n"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "print(module.episode_digests('3m', 2, 1, 3, seed=9))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, cwd=ROOT, check=True
    )
    assert ran.stdout.strip() == str(here)


def test_setting_next_episode_continues_a_run() -> None:
    first, second = (BattleEnv(load_map("3m"), seed=1) for _ in range(2))
    for _ in range(3):
        shown = first.reset()
    second.next_episode = 2
    assert (second.reset().state == shown.state).all()


def test_an_unavailable_action_is_refused_and_no_battle_advances() -> None:
    env = BattleEnv(load_map("3m"), n_battles=3, seed=0)
    shown = env.reset()
    actions = np.ones((3, 3), np.int64)
    actions[1, 2] = 6  # the enemies are 14 cells away
    with pytest.raises(ValueError, match="battle 1, agent 2: action 6 is not available"):
        env.step(actions)
    assert (env.steps == 0).all()
    actions[1, 2] = -1
    with pytest.raises(ValueError, match="battle 1, agent 2: action -1 is not available"):
        env.step(actions)
    again = env.step(np.ones((3, 3), np.int64))
    assert (env.steps == 1).all()
    assert not (again.state == shown.state).all()


@pytest.mark.parametrize("actions", [np.ones((1, 2), np.int64), np.ones((1, 3)), np.ones(3, np.int64)])
def test_actions_of_another_shape_or_kind_are_refused(actions: np.ndarray) -> None:
    env = BattleEnv(load_map("3m"), seed=0)
    env.reset()
    with pytest.raises(ValueError, match="actions are"):
        env.step(actions)


def test_impossible_numbers_of_battles_and_threads_are_refused() -> None:
    with pytest.raises(ValueError, match="n_battles is 0"):
        BattleEnv(load_map("3m"), n_battles=0)
    with pytest.raises(ValueError, match="threads is 0"):
        BattleEnv(load_map("3m"), threads=0)


def test_bad_orders_are_refused() -> None:
    env = BattleEnv(load_map("3m"), seed=0)
    env.reset()
    keep = np.full((1, 3), Order.KEEP)
    with pytest.raises(ValueError, match="order holds"):
        env.step_orders(np.full((1, 3), 99))
    with pytest.raises(ValueError, match="a target is no unit"):
        env.step_orders(keep, np.full((1, 3), 6))
    with pytest.raises(ValueError, match="not finite"):
        env.step_orders(keep, point=np.full((1, 3, 2), np.nan))
    with pytest.raises(ValueError, match="loops is 0"):
        env.step_orders(keep, loops=0)
    with pytest.raises(ValueError, match="order is"):
        env.step_orders(np.full((3,), Order.KEEP))


def test_moves_are_orders_of_two_cells() -> None:
    env = BattleEnv(load_map("3m"), seed=0)
    env.reset()
    x, y = env.units.x[0, :3].copy(), env.units.y[0, :3].copy()
    env.step(np.array([[2, 4, 5]]))
    assert env.units.order[0, :3].tolist() == [Order.MOVE] * 3
    assert env.units.order_x[0, :3] - x == pytest.approx([0, 2, -2])
    assert env.units.order_y[0, :3] - y == pytest.approx([2, 0, 0])


def test_units_are_shown_read_only() -> None:
    env = BattleEnv(load_map("3m"), seed=0)
    env.reset()
    for name in ("x", "y", "health", "alive", "target", "shot_at", "types"):
        assert not getattr(env.units, name).flags.writeable
    assert env.units.n_agents == 3
    assert env.units.x.shape == (1, 6)


def test_agents_of_one_type_are_numbered_by_x_then_y() -> None:
    env = BattleEnv(load_map("3s5z"), n_battles=32, seed=0)
    env.reset()
    for group in (slice(0, 3), slice(3, 8)):
        assert (np.diff(env.units.x[:, group], axis=1) >= 0).all()


def test_a_time_out_is_truncated_and_not_won() -> None:
    env = BattleEnv(load_map("2s_vs_1sc"), seed=0)
    shown = env.reset()
    for step in range(300):
        assert not shown.done.any(), step
        shown = env.step(np.ones((1, 2), np.int64))
    assert shown.truncated[0]
    assert not shown.terminated[0]
    assert not shown.won[0]


def test_the_threads_survive_a_fork() -> None:
    env = BattleEnv(load_map("corridor"), n_battles=64, seed=0, threads=2)
    shown = env.reset()
    shown = env.step(random_actions(shown, env.episodes, env.steps))
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    child = os.fork()
    if child == 0:
        try:
            env.step(random_actions(shown, env.episodes, env.steps))
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    env.close()
