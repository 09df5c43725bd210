"""The teams in zoo/: each plays, and is what card, curve and table say; wrong cards are refused."""

import csv
import hashlib
import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import tyro

from benchmarks.zoo import BATTLES, CARD_SEED, CSV_COLUMNS
from benchmarks.zoo_history import NOT_SAID
from benchmarks.zoo_table import BEGIN, END, cards_of, table_of
from envs.flags import flag_rules
from envs.make import env_spec
from envs.smac.maps import MAP_NAMES, SCENARIO_NAMES
from envs.types import CONTRACT_VERSION
from exporters.card import main
from exporters.contestants import onnx_contestant
from exporters.evaluate import EvaluateConfig, evaluate
from exporters.export import ExportConfig
from exporters.team_card import TeamCard, load_card
from runtime.model_file.loader import load_model
from tests.commands.support.damage import json_object, whole
from tests.paths import ROOT
from trainer.config import TrainConfig, resolve, run_name

ZOO = ROOT / "zoo"
TEAMS = sorted(ZOO.glob("*.onnx"))
MOST_BYTES = 400_000

of_each_team = pytest.mark.parametrize("model", TEAMS, ids=[path.stem for path in TEAMS])


@pytest.fixture
def team(tmp_path: Path) -> Path:
    """A copy of a team's model file, its card beside it."""
    for suffix in (".onnx", ".json"):
        shutil.copy(TEAMS[0].with_suffix(suffix), tmp_path / f"team{suffix}")
    return tmp_path / "team.onnx"


def refusal(capsys: pytest.CaptureFixture[str], model: Path) -> str:
    """The one line with which `lan-inspect --card` refuses a file."""
    assert main(["--card", str(model)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert line.startswith("lan-inspect: error: ")
    return line


def test_there_are_teams_and_no_strays() -> None:
    assert TEAMS
    assert {path.stem for path in TEAMS} <= {*MAP_NAMES, *SCENARIO_NAMES}
    expected = {f"{path.stem}{suffix}" for path in TEAMS for suffix in (".onnx", ".json", ".csv")}
    assert {path.name for path in ZOO.iterdir()} == expected | {"README.md"}


@of_each_team
def test_a_team_is_small_and_fits_its_map(model: Path) -> None:
    spec = load_model(model).spec
    assert spec.differences(env_spec(model.stem)) == []
    assert spec.contract_version == CONTRACT_VERSION
    assert model.stat().st_size < MOST_BYTES


@of_each_team
def test_a_team_plays(model: Path) -> None:
    result = evaluate(onnx_contestant(model), EvaluateConfig(model=model, episodes=2, seed=7))
    assert (result.map, result.backend, result.episodes) == (model.stem, "sim", 2)
    assert result.return_mean > 0


@of_each_team
def test_a_card_is_its_files_and_is_shown(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = load_card(model)
    assert (card.map, card.battles, card.battles_seed) == (model.stem, BATTLES, CARD_SEED)
    assert main(["--card", str(model), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(model.with_suffix(".json").read_text())
    assert main(["--card", str(model)]) == 0
    shown = capsys.readouterr().out
    for said in (card.sha256[:40], f"{card.won} of {card.battles}", f"{card.win_rate:.1%}", card.preset):
        assert said in shown


@of_each_team
def test_the_commands_of_a_card_make_that_run(model: Path) -> None:
    """As `lan-train` and `lan-export` read them, without a path of a machine."""
    card = load_card(model)
    *earlier, train, export = (shlex.split(command) for command in card.commands)
    assert {words[0] for words in (*earlier, train)} == {"lan-train"}
    assert export[0] == "lan-export"
    config = tyro.cli(TrainConfig, args=train[1:], registry=flag_rules())
    said = {"map": card.map, "algorithm": card.algorithm, "preset": card.preset, "seed": card.seed}
    given = resolve(TrainConfig(**said, **card.settings))
    assert replace(resolve(config), run_dir=None) == given
    assert not set(card.settings) & set(NOT_SAID)
    exported = tyro.cli(ExportConfig, args=export[1:], registry=flag_rules())
    assert exported.ckpt.parent == (config.run_dir or Path("runs") / run_name(config))
    made = [words[words.index("--init-from") + 1] for words in (*earlier, train) if "--init-from" in words]
    assert len(made) == len(earlier)
    assert not any(name.startswith("/") for name in made)
    assert exported.out == Path(f"{card.map}.onnx")


@of_each_team
def test_a_curve_holds_the_checkpoint_and_ends_with_the_run(model: Path) -> None:
    card = load_card(model)
    with model.with_suffix(".csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(CSV_COLUMNS)
    steps, seconds = ([float(row[name]) for row in rows] for name in ("env_steps", "processor_s"))
    assert steps == sorted(steps)
    assert seconds == sorted(seconds)
    assert card.env_steps in steps or card.env_steps == card.run_env_steps
    assert steps[-1] <= card.run_env_steps
    assert seconds[-1] <= 60 * card.run_core_minutes + 1  # which is rounded to hundredths


def test_the_table_is_what_the_cards_give() -> None:
    cards = cards_of(ZOO)
    assert sorted(cards) == [path.stem for path in TEAMS]
    text = (ZOO / "README.md").read_text()
    drawn = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert drawn == table_of(cards)


def test_scenarios_have_a_table_of_their_own_and_do_not_count_as_maps() -> None:
    card = load_card(TEAMS[0])
    zerg = replace(card, map="zerg_5_vs_5", won=290, win_rate=290 / 320, win_rate_interval=(0.8692, 0.9336))
    rows = table_of({"zerg_5_vs_5": zerg}).splitlines()
    assert "Maps with a team: 0 of 23. Teams that win 90% or more: 0." in rows
    assert rows[-1].startswith("| zerg_5_vs_5 | 90.6% (86.9 to 93.4) |")
    assert [row for row in rows if "_5_vs_5" in row] == rows[-1:]


def test_a_table_has_a_row_for_each_map_and_hides_no_defeat() -> None:
    card = load_card(TEAMS[0])
    good = replace(card, map="corridor", won=290, win_rate=290 / 320, win_rate_interval=(0.8692, 0.9336))
    half = {"won": 150, "win_rate": 0.46875, "win_rate_interval": (0.4148, 0.5236), "return_mean": 15.6}
    poor = replace(card, map="MMM2", **half)
    rows = table_of({"corridor": good, "MMM2": poor}).splitlines()
    assert [row.split(" | ")[0] for row in rows[2:25]] == [f"| {name}" for name in MAP_NAMES]
    [corridor] = [row for row in rows if row.startswith("| corridor ")]
    assert "| 90.6% (86.9 to 93.4) |" in corridor
    [mmm2] = [row for row in rows if row.startswith("| MMM2 ")]
    assert "| 46.9% (41.5 to 52.4), below 90%: mean return 15.6 |" in mmm2
    assert sum("not trained yet" in row for row in rows) == 21
    assert rows[-1] == "Maps with a team: 2 of 23. Teams that win 90% or more: 1."


LIES: dict[str, Any] = {
    "map": "8m_vs_9m",
    "algorithm": "qplex-by-hand",
    "backend": "sc2",
    "env_steps": 1_000_001,
    "contract_version": CONTRACT_VERSION + 1,
    "sha256": "0" * 64,
    "size_bytes": 1,
    "won": 321,
    "battles": 0,
    "win_rate": 0.999,
    "win_rate_interval": [0.99, 1.0],
    "return_mean": float("nan"),
    "run_core_minutes": None,
    "seed": -1,
    "commit": 7,
    "rules": ["2"],
    "settings": [],
    "commands": "lan-train",
}


@pytest.mark.parametrize("name", LIES)
def test_a_card_that_lies_is_refused(name: str, team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = team.with_suffix(".json")
    data = json.loads(path.read_text())
    assert data[name] != LIES[name]
    path.write_text(json.dumps(data | {name: LIES[name]}))
    line = refusal(capsys, team)
    assert str(path) in line
    assert name in line or "battles" in line or "interval" in line


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("run_env_steps", 1, "more than its run_env_steps, 1"),
        ("run_core_minutes", -5.0, "run_core_minutes is -5.0"),
        ("rules", [], "rules name no version"),
    ],
)
def test_figures_that_contradict_are_refused(
    name: str, value: object, said: str, team: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = team.with_suffix(".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    assert said in refusal(capsys, team)


def test_a_file_of_another_digest_is_refused(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray(team.read_bytes())
    content[len(content) // 2] ^= 1
    team.write_bytes(content)
    line = refusal(capsys, team)
    assert "is not the card of" in line
    assert "sha256" in line


def test_a_file_of_another_contract_is_refused(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the old battlefield, with a card that says so and has its digest."""
    model = onnx.load(team)
    for entry in model.metadata_props:
        entry.value = "1" if entry.key == "lan.contract_version" else entry.value
    onnx.save(model, team)
    card = TeamCard.from_json(team.with_suffix(".json").read_text())
    path = team.with_suffix(".json")
    path.write_text(replace(card, contract_version=1, **identity(team)).to_json())
    assert "of contract version 1, made for the old battlefield" in refusal(capsys, team)


def identity(path: Path) -> dict[str, Any]:
    """The fields of a card that say which bytes are its file's."""
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), "there is no card"),
        (lambda path: path.write_text(path.read_text()[:200]), "is damaged"),
        (lambda path: path.write_text("[]"), "it is no object"),
        (lambda path: path.write_text('{"map": "3m"}'), "fields are missing or unknown"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "is damaged"),
        (lambda path: (path.unlink(), path.mkdir()), "no regular file"),
    ],
    ids=["missing", "cut", "a list", "fields left out", "no text", "a folder"],
)
def test_a_missing_or_damaged_card_is_refused(
    damage: Callable[[Path], object], said: str, team: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(team.with_suffix(".json"))
    assert said in refusal(capsys, team)


def test_no_state_of_a_card_gives_more_than_one_line(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = team.with_suffix(".json")
    content = path.read_bytes()
    for damage in [*json_object(path), *whole(path)]:
        damage[1](path)
        code = main(["--card", str(team)])
        output = capsys.readouterr()
        assert code in (0, 2), damage[0]
        assert len(output.err.splitlines()) == (1 if code else 0), damage[0]
        assert "\x1b[2J" not in output.out + output.err
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--card nosuch.onnx", "nosuch.onnx cannot be read"),
        ("--card .", "no model file but a folder"),
        ("--card zoo/3m.onnx --map 3m", "--card FILE"),
        ("zoo/3m.onnx --card zoo/3m.onnx", "--card FILE"),
    ],
)
def test_flags_that_name_no_card_are_refused(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
@of_each_team
def test_the_battles_of_a_card_give_its_figures(model: Path) -> None:
    """Within its interval: another processor rounds in another way, which changes single battles."""
    card = load_card(model)
    flags = EvaluateConfig(model=model, episodes=card.battles, seed=card.battles_seed)
    low, high = card.win_rate_interval
    assert low <= evaluate(onnx_contestant(model), flags).win_rate <= high


def test_a_card_is_read_as_it_is_written() -> None:
    card = load_card(TEAMS[0])
    assert TeamCard.from_json(card.to_json()) == card
    assert asdict(card)["commands"] == card.commands
