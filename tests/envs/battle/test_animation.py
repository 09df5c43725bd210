"""The animated picture of a battle shows what was recorded, and moves."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from envs.battle.animation import HOLD_S, PIXELS, STEP_S, Clock, Placement, headline
from envs.make import find_map
from exporters.evaluate import main as lan_eval
from tests.envs.support.recorded import recorded
from tests.paths import ROOT
from tests.runtime.support.processes import run

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", ["3m", "2c_vs_64zg", "MMM2", "protoss_5_vs_5"])
def test_every_unit_stands_where_it_stood_and_vanishes_when_it_dies(name: str) -> None:
    recorder, smac_map = recorded(name, "nearest <&>"), find_map(name)
    (battle,) = recorder._battles
    frames = battle.frames().astype(float)
    picture = recorder.picture()
    root = ElementTree.fromstring(picture)
    assert len(picture) < 1_000_000
    place = Placement(frames, smac_map)
    figures = [group for group in root.findall(f"{SVG}g") if group.find(f".//{SVG}text") is not None]
    assert len(figures) == frames.shape[2]
    total_s = (len(frames) - 1) * STEP_S + HOLD_S
    for unit, group in enumerate(figures):
        x, y = frames[0, :2, unit] / 100
        assert group.get("transform") == f"translate({place.x(x):g},{place.y(y):g})"
        moves = group.find(f"{SVG}animateTransform")
        if moves is not None:
            *_, last = str(moves.get("values")).split(";")
            x, y = frames[-1, :2, unit] / 100
            assert last == f"{place.x(x):g},{place.y(y):g}"
            assert moves.get("dur") == f"{total_s:g}s"
        living = group.find(f"{SVG}g/{SVG}animate[@attributeName='opacity']")
        died = np.flatnonzero(frames[:, 2, unit] == 0)
        assert (living is not None) == (len(died) > 0)
        if living is not None:
            values, times = (str(living.get(key)).split(";") for key in ("values", "keyTimes"))
            assert values[:2] == ["1", "0"]
            assert float(times[1]) == pytest.approx(died[0] * STEP_S / total_s, abs=1e-4)
    shooters = {unit for unit in range(frames.shape[2]) if (frames[:, 5, unit] >= 0).any()}
    assert len(root.findall(f"{SVG}line")) == len(shooters)
    texts = [element.text for element in root.findall(f"{SVG}text")]
    assert texts[0] == headline(battle, smac_map, smac_map.spec.n_agents)
    assert texts[1] == "Played by nearest <&>. The circle is all that the marked agent sees."


def test_the_headline_counts_and_the_picture_shows_the_part_that_is_fought_in() -> None:
    recorder = recorded("2c_vs_64zg")
    (battle,) = recorder._battles
    smac_map = find_map("2c_vs_64zg")
    assert headline(battle, smac_map, 2).startswith("2c_vs_64zg: 2 colossi against 64 zerglings, ")
    place = Placement(battle.frames().astype(float), smac_map)
    assert 5 * PIXELS < place.width <= 32 * PIXELS
    assert 5 * PIXELS < place.height <= 32 * PIXELS


def test_values_that_repeat_are_left_out_where_that_changes_nothing() -> None:
    clock = Clock(5)
    assert clock.animate("x", ["1"] * 5) == ""
    slides = clock.animate("x", ["1", "1", "1", "5", "5"])
    assert re.findall(r'values="([^"]*)"', slides) == ["1;1;5;5;5"]
    jumps = clock.animate("x", ["1", "1", "1", "5", "5"], jumps=True)
    assert re.findall(r'values="([^"]*)"', jumps) == ["1;5;5;5"]
    times = [float(time) for time in re.findall(r'keyTimes="([^"]*)"', jumps)[0].split(";")]
    assert times == pytest.approx(
        [0, 3 * STEP_S / clock.duration_s, 4 * STEP_S / clock.duration_s, 1], abs=1e-4
    )


def test_commands_write_it_where_the_name_says_so(tmp_path: Path) -> None:
    by_eval, by_play = tmp_path / "eval.svg", tmp_path / "play.svg"
    model = str(ROOT / "zoo" / "3m.onnx")
    assert lan_eval(["--model", model, "--episodes", "1", "--record", str(by_eval)]) == 0
    done = run("play", "--model", model, "--env", "sim", "--episodes", 1, "--record", by_play)
    assert done.returncode == 0, done.stderr
    one, other = (ElementTree.fromstring(path.read_text()) for path in (by_eval, by_play))
    assert len(list(one.iter())) == len(list(other.iter())), "the same battle"
    refused = run("play", "--map", "spread:3", "--agents", "127.0.0.1:9-11", "--record", tmp_path / "a.svg")
    assert refused.returncode == 2
    assert "a page shows battles on SMAC's maps only" in refused.stderr
