"""Maps of one's own: what their environments are called, and what files and strangers' maps are refused."""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.conformance import check_env
from envs.errors import InputError
from envs.make import env_spec, make_env, resolve_backend
from envs.smac.map_line import map_of_line
from envs.smac.map_text import file_text, map_data, one_line_text
from envs.smac.maps import MAP_NAMES, load_map, read_map
from envs.smac.own_maps import environment_name, learn_map, map_of_text, read_map_file, take_map
from envs.types import MAX_MAP_BYTES

LINE = "5 marines and a medivac against 3 zealots, 32 x 32, limit 120"


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "rescue.json"
    path.write_text(file_text(map_of_line(LINE, "rescue") | changes))
    return path


@pytest.mark.parametrize("name", MAP_NAMES)
def test_a_written_map_is_read_as_the_same_map(name: str) -> None:
    smac_map = load_map(name)
    data = map_data(smac_map)
    assert data == json.loads((resources.files("envs.smac") / "data" / f"{name}.json").read_text())
    for text in (file_text(data), one_line_text(smac_map)):
        again = read_map(text)
        assert one_line_text(again) == one_line_text(smac_map)
        assert again.spec == smac_map.spec


def test_the_name_tells_maps_apart_that_play_differently(tmp_path: Path) -> None:
    name = environment_name(str(written(tmp_path)))
    assert name.startswith("rescue@")
    assert len(name) == len("rescue@") + 12
    assert env_spec(name).name == name
    later = environment_name(str(written(tmp_path, episode_limit_steps=121)))
    assert later.startswith("rescue@")
    assert later != name
    same = written(tmp_path, notes=["another note"])
    same.write_text(json.dumps(json.loads(same.read_text())))  # other white space
    assert environment_name(str(same)) == name
    assert environment_name(f"{same}:no-fog") == f"{name}:no-fog"


def test_all_that_take_a_name_take_a_file(tmp_path: Path) -> None:
    path = str(written(tmp_path))
    name = environment_name(path)
    assert resolve_backend("auto", name) == "sim"
    for given in (path, name, f"{path}:no-fog"):
        with make_env(given, n_battles=3, seed=5) as env:
            assert env.spec == env_spec(given)
            assert env.spec.name == name + given[len(given.removesuffix(":no-fog")) :]
            assert (env.spec.n_agents, env.spec.n_actions, env.spec.episode_limit) == (6, 12, 120)
            check_env(env)
    for backend in ("sc2", "smac"):
        with pytest.raises(
            InputError, match=f"--env {backend} cannot play {name}: maps of one's own are sim"
        ):
            resolve_backend(backend, name)


def test_the_text_makes_a_map_known_elsewhere() -> None:
    own = map_of_text(json.dumps(map_of_line(LINE, "carried")), "there")
    assert take_map(own.name, own.text) == (own.name, own.text)
    assert map_of_text(own.text, "here").name == own.name
    with pytest.raises(
        InputError, match=r"carried@000000000000 is a map of one's own: give its file.*did you"
    ):
        take_map("carried@000000000000")
    with pytest.raises(InputError, match=f"carried@000000000000 comes with another map, {own.name}"):
        take_map("carried@000000000000", own.text)
    assert take_map("3m", own.text) == ("3m", None)
    assert take_map("pettingzoo:a/b@c.json") == ("pettingzoo:a/b@c.json", None)


def test_files_that_hold_no_map_are_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "text.json").write_text("5 marines")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large.json").write_bytes(b" " * (MAX_MAP_BYTES + 1))
    (tmp_path / "deep.json").write_text("[" * 10_000)
    for name, problem in {
        "missing": "there is no map file .*missing.json; lan-map new writes one",
        "folder": "folder.json is no map file but a folder",
        "pipe": "pipe.json is no regular file",
        "text": "text.json is damaged, or no map file .not JSON",
        "binary": "binary.json is damaged, or no map file .it is no text in UTF-8",
        "large": f"large.json is larger than {MAX_MAP_BYTES} bytes",
        "deep": "deep.json is damaged, or no map file .not JSON",
    }.items():
        with pytest.raises(InputError, match=problem) as refusal:
            environment_name(str(tmp_path / f"{name}.json"))
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": "3m"}, "name: 3m is a map of SMAC; give yours another name"),
        ({"name": "a@b"}, "name: 'a@b' is no name for a map"),
        ({"name": "../up"}, "name: '../up' is no name for a map"),
        ({"name": "x:no-fog"}, "name: 'x:no-fog' is no name for a map"),
        ({"name": "x" * 49}, "is no name for a map"),
        ({"episode_limit_steps": 0}, "episode_limit_steps: must be a whole number of at least 1, not 0"),
        (
            {"allies": [{"unit": "marine", "count": 65, "x": 9, "y": 16}]},
            "allies: has 65 units; .* at most 64",
        ),
        (
            {"allies": [{"unit": "marin", "count": 1, "x": 9, "y": 16}]},
            "unknown 'marin'; did you mean 'marine'",
        ),
        ({"allies": [{"unit": "zealot", "count": 1, "x": 9, "y": 16}]}, "zealot is not of race 'T'"),
        ({"map_type": "TvZ", "unit_type_bits": 4}, "map type 'TvZ' has no type bit for zealot"),
        ({"map_type": "TvP", "unit_type_bits": 4}, "unit_type_bits: must be 3 for map type 'TvP'"),
    ],
)
def test_maps_that_cannot_be_played_are_refused(change: dict[str, Any], problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=problem):
        read_map_file(written(tmp_path, **change))


def test_a_strangers_file_brings_its_own_map_or_none() -> None:
    own = map_of_text(json.dumps(map_of_line(LINE, "brought")), "there")
    learn_map(own.name, own.text, "agent.onnx")
    learn_map(f"{own.name}:no-fog", own.text, "agent.onnx")
    learn_map("3m", None, "agent.onnx")
    for name, text, problem in (
        ("3m", own.text, f"agent.onnx was made for 3m, but the map in it is {own.name}"),
        ("brought@0", own.text, f"agent.onnx was made for brought@0, but the map in it is {own.name}"),
        ("/etc/passwd", None, "agent.onnx was made for /etc/passwd, which is no environment's name"),
        ("x.json:no-fog", None, "agent.onnx was made for x.json:no-fog, which is no environment's name"),
        (own.name, own.text[:-2], "the map in agent.onnx is damaged, or no map file .not JSON"),
        (own.name, " " * (MAX_MAP_BYTES + 1), "the map in agent.onnx: a map has at most 32768 bytes"),
    ):
        with pytest.raises(InputError, match=problem):
            learn_map(name, text, "agent.onnx")


@pytest.mark.parametrize(
    "enemies", ["marauders and a medivac", "colossi and a zealot", "banelings, a spine crawler"]
)
@pytest.mark.parametrize(
    "agents", ["marines and a medivac", "stalkers, a colossus", "hydralisks, a spine crawler"]
)
def test_all_races_fight_each_other_by_the_environments_contract(
    agents: str, enemies: str, tmp_path: Path
) -> None:
    data = map_of_line(f"3 {agents} against 2 {enemies}, 20 x 16, limit 25", "mixed")
    path = tmp_path / "mixed.json"
    path.write_text(file_text(data))
    check_env(make_env(str(path), n_battles=3, seed=1), episodes=3)
    env = make_env(str(path), n_battles=2, seed=1)
    step = env.reset()
    bits, n = data["unit_type_bits"], env.spec.n_agents
    kinds = step.state[:, : n * env.spec.unit_dim].reshape(2, n, -1)[:, :, -bits:]
    assert (kinds.sum(axis=2) == 1).all()  # every agent has a type
    assert len(np.unique(kinds[0], axis=0)) == 2
