"""The benchmark against the real game: recorded battles, replays and places, tried on our own battles."""

from __future__ import annotations

import json
import lzma
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.real_game import comparison, forced, formation, layout, recording, replays
from benchmarks.real_game.recording import Recording
from envs.battle.env import BattleEnv
from envs.battle.fields import Order
from envs.errors import InputError
from envs.smac.actions import FIRST_ATTACK
from envs.smac.formation import place_groups
from envs.smac.maps import load_map

MAP = load_map("3m")
N = MAP.n_agents


def recorded_here(battles: int, seed: int, enemy_order: tuple[int, ...] = (0, 1, 2)) -> Recording:
    """Battles of the simulator as a recording whose units and actions list enemies in `enemy_order`."""
    rng = np.random.default_rng(seed)
    columns = [*range(N), *(N + j for j in enemy_order)]
    listed_at = np.argsort(enemy_order)
    rows: list[list[tuple[Any, ...]]] = [[] for _ in range(battles)]
    with BattleEnv(MAP, n_battles=battles, seed=seed, threads=1) as env:
        shown, units = env.reset(), env.units
        ended = np.zeros(battles, np.bool_)
        while not ended.all():
            may = shown.avail_actions.copy()
            may[..., :FIRST_ATTACK][may[..., FIRST_ATTACK:].any(axis=-1)] = False  # so that units die
            actions = np.where(may, rng.random(may.shape), -1).argmax(axis=-1)
            aims = actions >= FIRST_ATTACK
            listed = np.where(
                aims, FIRST_ATTACK + listed_at[np.where(aims, actions - FIRST_ATTACK, 0)], actions
            )
            place = np.where(units.alive > 0, [units.x, units.y], np.nan)[..., columns]
            cooldown = np.where(np.arange(2 * N) < N, units.cooldown, np.nan)
            health = units.health[:, columns]
            for b in np.flatnonzero(~ended):
                shows = shown.state[b], shown.obs[b], shown.avail_actions[b]
                rows[b].append((*place[:, b], health[b], cooldown[b], *shows, listed[b]))
            ended |= shown.done
            shown = env.step(actions)
    length = np.array([len(battle) for battle in rows])
    fields = zip(*(row for battle in rows for row in battle), strict=True)
    return Recording(length, np.cumsum(length) - length, *map(np.array, fields))


@pytest.mark.parametrize("enemy_order", [(0, 1, 2), (2, 0, 1)])
def test_battles_recorded_here_are_played_again_as_they_were(enemy_order: tuple[int, ...]) -> None:
    here = recorded_here(6, seed=4, enemy_order=enemy_order)
    real, ours = forced.forced_steps(here, seed=4)
    assert len(real.battle) == (here.length - 1).sum()
    assert (real.health_after == ours.health_after).all()
    lives = (real.health_after > 0)[:, None, :].repeat(2, axis=1)
    assert (real.place_after == ours.place_after)[lives].all()
    numbers, recorded = forced.numbers_of(ours), forced.numbers_of(real)
    assert numbers["damage_to_agents"].mean > 1.0
    assert recorded["damage_to_enemies"].mean > 1.0
    assert forced.hurt_alike(real, ours) == pytest.approx(1.0)
    lost = np.diff(here.health, axis=0)[np.setdiff1d(np.arange(len(here.health) - 1), here.first[1:] - 1)]
    assert recorded["damage_to_agents"].mean == pytest.approx(-lost[:, :N].sum() / len(lost))


def test_an_enemys_walk_towards_an_agent_is_told_by_edge_distance() -> None:
    x = np.array([[9.0, 9.0, 9.0, 14.9, 22.0, 25.0]])
    place = np.stack([x, np.full_like(x, 16.0)], axis=1)
    after = place.copy()
    after[0, 0, 3], after[0, 1, 3] = 14.6, 16.4
    health = np.full_like(x, 45.0)
    step = np.array([forced.CHASE_FROM_STEP])
    steps = forced.Steps(np.zeros(1, int), step, np.ones((1, N), int), place, health, after, health)
    found = forced.numbers_of(steps)
    assert math.isnan(found["chase_5.25_5.5"].mean)  # nobody there
    assert found["chase_5_5.25"].mean == pytest.approx(0.3)
    assert found["enemies_walk"].mean == pytest.approx(0.5 / 3)
    early = steps._replace(step=step - 1)
    assert math.isnan(forced.numbers_of(early)["chase_5_5.25"].mean)


def test_our_own_rows_have_our_own_layout_and_a_changed_one_is_counted() -> None:
    here = recorded_here(2, seed=5)
    assert layout.layout_errors(here) == (len(here.x), 0, 0.0, 0.0)
    here.avail[3, 0, 2] ^= True
    here.state[5, 0] += 0.25
    found = layout.layout_errors(here)
    assert (found.unequal_availability, found.state) == (1, pytest.approx(0.25))


def test_the_excerpt_tells_what_the_whole_recording_does() -> None:
    excerpt = recording.read_recording()
    assert excerpt.n_battles == 59
    assert excerpt.x[0, :N].tolist() == pytest.approx([9.0, 9.0, 9.6885], abs=1e-4)
    assert set(np.unique(excerpt.health)) == {0.0, 3.0, 9.0, 15.0, 21.0, 27.0, 33.0, 39.0, 45.0}
    real_steps, _ = forced.forced_steps(excerpt, seed=0)
    numbers = forced.numbers_of(real_steps)
    compared = 0
    for entry in comparison.real_numbers("recorded"):
        ours = numbers[entry.metric]
        if math.isfinite(ours.error):
            assert abs(ours.mean - entry.mean) < 4 * math.hypot(ours.error, entry.standard_error), entry
            compared += 1
    assert compared > 10


def test_what_is_no_recording_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "battles.npz"
    with pytest.raises(InputError, match="cannot read the recording"):
        recording.read_recording(path)
    path.write_bytes(b"no zip")
    with pytest.raises(InputError, match="cannot read the recording"):
        recording.read_recording(path)
    with np.load(recording.EXCERPT) as file:
        good = {name: file[name] for name in file}
    for name, changed, words in (
        ("state", good["state"][:-1], r"state is \(\d+, 48\)"),
        ("action", good["action"] + 9, "action holds a number that is not 0 to 8"),
        ("obs", good["obs"] * np.nan, "obs holds a number that is not finite"),
        ("length", np.append(good["length"], 1), "state is"),
        ("length", good["length"].astype(object), "cannot read the recording"),
        ("length", good["length"].astype(str), "length holds no whole numbers"),
        ("length", np.zeros((0,), int), "state is"),
        ("obs", None, "obs is missing"),
    ):
        arrays = {key: value for key, value in (good | {name: changed}).items() if value is not None}
        np.savez(path, **arrays)
        with pytest.raises(InputError, match=words):
            recording.read_recording(path)


def test_units_on_the_seen_places_are_counted() -> None:
    placed = [*place_groups(MAP, MAP.ally_spawns), *place_groups(MAP, MAP.enemy_spawns)]
    where = [(unit.point_x + unit.dx, unit.point_y + unit.dy) for unit in placed]
    places: formation.Places = {("exact", i): [(0.0, 0.0), where[i]] for i in range(N)}
    places |= {("cell", i): [(math.floor(x), math.floor(y))] for i, (x, y) in enumerate(where)}
    assert formation.formation_errors("3m", places) == (3, 3, 6, 6, 0.0)
    places["exact", 1] = [(where[1][0] + 0.5, where[1][1])]
    places["cell", 4] = [(0, 0)]
    assert formation.formation_errors("3m", places) == (3, 2, 6, 5, pytest.approx(0.5))


def test_the_table_of_places_covers_every_unit_of_its_maps() -> None:
    for name, places in formation.seen_places().items():
        units = load_map(name).n_agents + load_map(name).n_enemies
        assert {index for kind, index in places if kind == "cell"} == set(range(units))
        assert {kind for kind, _ in places} <= {"exact", "cell"}


def replayed_here(seed: int) -> tuple[list[dict[str, Any]], replays.Deaths]:
    """Two battles of the simulator as a replay: agents walk east, then attack the first enemy that lives."""
    columns = replays.our_columns(MAP)
    creation = {column: unit for unit, column in enumerate(columns)}
    born = [{"unit": u, "player": 1 if u < N else 2} for u in range(2 * N)]
    tags = [[7 + u, 1] for u in range(2 * N)]
    battles = [
        {"complete": True, "start_loop": 100 * b, "born": born, "tags": tags, "died": [], "orders": []}
        for b in range(2)
    ]
    first = np.full((2, 2), np.nan)
    loops = 8 * 20 + 1
    with BattleEnv(MAP, n_battles=2, seed=seed, threads=1) as env:
        env.reset()
        for loop in range(loops):
            order, target = np.full((2, N), int(Order.KEEP)), np.full((2, N), -1)
            point = np.zeros((2, N, 2))
            alive, x, y = env.units.alive.copy(), env.units.x.copy(), env.units.y.copy()
            for b, battle in enumerate(battles):
                if loop % 8 or not alive[b, N:].any():
                    continue
                for i in np.flatnonzero(alive[b, :N]).tolist():
                    foe = N + int(alive[b, N:].argmax())
                    moves = loop < 24
                    order[b, i] = Order.MOVE if moves else Order.ATTACK_UNIT
                    place = (x[b, i] + 2.0, y[b, i]) if moves else (x[b, foe], y[b, foe])
                    if moves:
                        point[b, i] = place
                    else:
                        target[b, i] = foe
                    battle["orders"].append({
                        "loop": loop, "unit": creation[i], "ability": [42 if moves else 45, 0],
                        "x": place[0], "y": place[1], "target": None if moves else creation[foe],
                    })  # fmt: skip
            env.step_orders(order, target, point, loops=1)
            for b, unit in np.argwhere((alive > 0) & (env.units.alive == 0)):
                side = int(unit < N)
                first[side, b] = np.fmin(first[side, b], loop)
                death = {"loop": loop, "tag": tags[creation[int(unit)]], "killer_player": 2 if side else 1}
                battles[b]["died"].append(death)
    for b, battle in enumerate(battles):
        battle["end_loop"] = 100 * b + loops
        battle["died"].append({"loop": loops, "tag": tags[0], "killer_player": None})
    return battles, replays.Deaths(first[0], first[1])


def write_replay(path: Path, battles: Any) -> None:
    path.write_bytes(lzma.compress(json.dumps(battles).encode()))


def test_a_replay_of_our_own_battles_is_those_battles(tmp_path: Path) -> None:
    battles, deaths = replayed_here(seed=6)
    write_replay(tmp_path / "3m_own.json.xz", [*battles, {"complete": False}])
    ((name, path),) = replays.replay_files(tmp_path).items()
    replay = replays.read_replay(name, path)
    assert len(replay.end_loop) == 2
    assert np.isfinite(deaths.enemies).all()
    np.testing.assert_array_equal(replay.deaths, deaths)
    played = replays.play_again(replay, seed=6)
    np.testing.assert_array_equal(played.deaths, deaths)
    assert len(played.enemies_off) > 10
    assert len(played.agents_off) == 2 * 3 * N
    assert played.enemies_off[:, 1].max() == 0.0
    assert played.agents_off[:, 1].max() == 0.0
    shifted = json.loads(json.dumps(battles))
    for order in shifted[0]["orders"]:
        order["x"] += 0.5 * (order["ability"][0] == 45)
    write_replay(path, shifted[:1])
    off = replays.play_again(replays.read_replay(name, path), seed=6).enemies_off
    assert off[:, 1] == pytest.approx(0.5)


def test_what_is_no_replay_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no replays"):
        replays.replay_files(tmp_path)
    path = tmp_path / "4m_own.json.xz"
    path.write_bytes(b"")
    with pytest.raises(InputError, match="begins with no map's name"):
        replays.replay_files(tmp_path)
    battles, _ = replayed_here(seed=6)
    unknown = [{**battles[0], "orders": [{**battles[0]["orders"][0], "ability": [99, 0]}]}]
    for content, words in (
        (b"not xz", "not a replay of 3m"),
        (lzma.compress(b"{"), "not a replay of 3m"),
        (lzma.compress(b"[]"), "none of its battles is complete"),
        (lzma.compress(b'[{"complete": true}]'), "not a replay of 3m"),
        (lzma.compress(json.dumps(unknown).encode()), r"ability \[99, 0\] is none of"),
        (lzma.compress(json.dumps([{**battles[0], "born": []}]).encode()), "battle 0 has other units"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=words):
            replays.read_replay("3m", path)
