"""Recordings of battles: what the page holds, and that it needs nothing else."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.battle.record import SCRIPTS, Recorder
from envs.battle.teams import TEAMS
from envs.checkers import CheckersEnv
from envs.errors import InputError
from envs.smac.maps import load_map
from envs.smac.units import UnitType
from envs.types import IntArray, TimeStep
from tests.paths import ROOT


def record(
    name: str, *, n_battles: int = 1, slot: int = 0, episodes: int = 1, rated: bool = True, **options: Any
) -> tuple[Recorder, list[TimeStep], list[IntArray]]:
    """A recording of the nearest-enemy team, and what it was made from."""
    env = BattleEnv(load_map(name), n_battles=n_battles, seed=3)
    team = TEAMS["nearest"](env, 0)
    recorder = Recorder("team nearest", slot=slot, **options)
    rng = np.random.default_rng(1)
    steps, actions = [], []
    for _ in range(episodes):
        steps.append(env.reset())
        recorder.begin(env, steps[-1])
        while not steps[-1].done.all():
            before = steps[-1]
            actions.append(team(before))
            advantages = rng.normal(size=before.avail_actions.shape).astype(np.float32)
            advantages[~before.avail_actions] = -np.inf
            steps.append(env.step(actions[-1]))
            recorder.step(env, steps[-1], actions[-1], advantages if rated else None)
    env.close()
    return recorder, steps, actions


def data_of(page: str) -> dict[str, Any]:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert match is not None
    data: dict[str, Any] = json.loads(match[1])
    return data


def numbers(text: str, dtype: str, *shape: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape)


def test_the_page_holds_the_units_of_every_battle_where_teams_are_drawn() -> None:
    recorder, _, _ = record("terran_5_vs_5", episodes=4)
    battles = data_of(recorder.page())["battles"]
    teams = [tuple(unit["type"] for unit in battle["units"]) for battle in battles]
    assert len(set(teams)) > 1
    env = BattleEnv(load_map("terran_5_vs_5"), seed=3)
    for team, battle in zip(teams, battles, strict=True):
        env.reset()
        assert team == tuple(UnitType(kind).name.lower() for kind in env.units.types[0])
        assert [unit["health_max"] for unit in battle["units"]] == env.units.health_max[0].tolist()
        ranges = {unit["type"]: (unit["sight_cells"], unit["shoot_cells"]) for unit in battle["units"]}
        known = {"marine": (9, 5), "marauder": (10, 6), "medivac": (11, 4)}
        assert ranges == {kind: known[kind] for kind in team}


def test_the_page_holds_the_battle_frame_by_frame() -> None:
    recorder, steps, actions = record("3m")
    data = data_of(recorder.page())
    assert data["actions"][1:3] == [["stop", 0, 0], ["north", 0, 1]]
    assert len(data["actions"]) + 3 == data["n_actions"]
    battle, T = data["battles"][0], len(actions)
    assert (battle["steps"], battle["episode"], battle["seed"]) == (T, 0, 3)
    assert battle["end"] == ("won" if steps[-1].won[0] else "lost")
    assert numbers(battle["actions"], "u1", T, 3).tolist() == [a[0].tolist() for a in actions]
    avail = np.unpackbits(numbers(battle["avail"], "u1", T + 1, 4), axis=1)[:, : 3 * 9]
    assert np.array_equal(avail.reshape(T + 1, 3, 9), [step.avail_actions[0] for step in steps])
    np.testing.assert_allclose(battle["rewards"], [step.reward[0] for step in steps[1:]], atol=1e-4)
    health = numbers(battle["health"], "<i2", T + 1, 6) / 10
    np.testing.assert_allclose(health[0], 45)
    for t, step in enumerate(steps):  # the state's rows begin with health and hold positions
        allies = step.state[0, :12].reshape(3, 4)
        np.testing.assert_allclose(health[t, :3] / 45, allies[:, 0], atol=0.003)
        alive = allies[:, 0] > 0
        x = numbers(battle["x"], "<i2", T + 1, 6)[t, :3] / 100
        np.testing.assert_allclose(x[alive], 16 + 28 * allies[alive, 2], atol=0.006)


def test_advantages_survive_to_sixteen_bits_and_unavailable_ones_are_left_out() -> None:
    recorder, steps, _ = record("3m")
    battle = data_of(recorder.page())["battles"][0]
    T = battle["steps"]
    shown = numbers(battle["advantages"], "<i2", T, 3, 9) * battle["advantage_scale"]
    rng = np.random.default_rng(1)
    for t in range(T):
        given = rng.normal(size=(1, 3, 9))[0]
        avail = steps[t].avail_actions[0]
        np.testing.assert_allclose(shown[t][avail], given[avail], atol=2e-4)
        assert not shown[t][~avail].any()


def test_a_recording_without_advantages_says_so() -> None:
    recorder, _, _ = record("3m", rated=False)
    assert "advantages" not in data_of(recorder.page())["battles"][0]


def test_one_slot_of_many_is_recorded_until_its_battle_ends() -> None:
    recorder, steps, _ = record("3m", n_battles=4, slot=2)
    battle = data_of(recorder.page())["battles"][0]
    length = int(np.argmax([step.done[2] for step in steps]))
    assert (battle["episode"], battle["steps"]) == (2, length)


def test_only_the_first_battles_are_kept() -> None:
    recorder, _, _ = record("3m", episodes=4, max_battles=2)
    assert [battle["episode"] for battle in data_of(recorder.page())["battles"]] == [0, 1]


def test_the_page_needs_nothing_from_anywhere() -> None:
    recorder, _, _ = record("MMM")
    page = recorder.page()
    markup = re.sub(r'(id="data">).*?(</script>)', r"\1\2", page, flags=re.DOTALL).replace(
        'href="data:,"', ""
    )
    assert not re.search(r"https?:|//[a-z]|\bsrc=|\bhref=|@import|url\(|\bfetch\(|import\(", markup)
    assert "/* scripts */" not in page
    assert "{title}" not in page


def test_a_corridor_battle_is_far_below_two_megabytes(tmp_path: Path) -> None:
    recorder, _, actions = record("corridor")
    recorder.write(tmp_path / "battle.html")
    size = (tmp_path / "battle.html").stat().st_size
    data = len(json.dumps(data_of(recorder.page())["battles"]))
    at_limit = size + data * (400 / len(actions) - 1)  # as if it had lasted to the time limit
    assert at_limit < 2_000_000


def test_text_of_users_cannot_leave_its_place(tmp_path: Path) -> None:
    recorder, _, _ = record("3m")
    recorder.player = '</script><script>alert("x")</script>'
    page = recorder.page()
    assert page.count("</script>") == 2
    assert data_of(page)["player"] == recorder.player


def test_what_cannot_be_recorded_or_written_is_refused(tmp_path: Path) -> None:
    env = CheckersEnv(n_battles=1)
    start = env.reset()
    with pytest.raises(InputError, match="only battles on SMAC's maps"):
        Recorder().begin(env, start)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no battle"):
        Recorder().page()
    recorder, _, _ = record("3m")
    with pytest.raises(InputError, match=r"cannot write .*missing.battle\.html"):
        recorder.write(tmp_path / "missing" / "battle.html")
    assert list(tmp_path.iterdir()) == []


def test_the_wheel_takes_the_viewer_along() -> None:
    import tomllib

    with (ROOT / "pyproject.toml").open("rb") as file:
        patterns = tomllib.load(file)["tool"]["setuptools"]["package-data"]["envs"]
    wanted = {Path(name).suffix for name in (*SCRIPTS, "style.css", "page.html")}
    assert wanted <= {Path(pattern).suffix for pattern in patterns}
