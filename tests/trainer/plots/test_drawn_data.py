"""Figures are drawn again from the CSV file of --data, and others' numbers beside them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from envs.errors import InputError
from tests.paths import ROOT
from tests.trainer.plots.test_curves import write_run
from trainer.plots.cli import main
from trainer.plots.curves import load_run
from trainer.plots.drawn_data import COLUMNS, evaluations_csv, read_runs
from trainer.plots.references import Reference, read_references

RESULTS = ROOT / "results" / "2s3z-200k" / "curves.csv"


def test_the_same_figure_and_tables_come_from_runs_and_from_their_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [
        str(write_run(tmp_path, [0, 0.1 * seed, 0.2 * seed], seed=seed, algorithm=algorithm, map=name))
        for name in ("3m", "8m")
        for algorithm in ("lan", "vdn")
        for seed in range(3)
    ]
    data, first, second = (tmp_path / name for name in ("data.csv", "first.png", "second.png"))
    assert main([*runs, "--out", str(first), "--data", str(data)]) == 0
    printed = capsys.readouterr().out
    assert "| all 2 maps | 0.20 [" in printed
    assert "| lan | - | 0.50 [" in printed
    assert main([str(data), "--out", str(second)]) == 0
    assert capsys.readouterr().out == printed
    assert first.read_bytes() == second.read_bytes()
    assert main([str(data), "--out", str(second), "--force", "--until", "10000"]) == 0
    assert "at 10k steps" in capsys.readouterr().out


def test_an_older_number_follows_from_its_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """LAN against IQL on the old 2s3z, five seeds: .68 [.28, 1], once worked out with rliable."""
    assert main([str(RESULTS), "--out", str(tmp_path / "a.png")]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| lan | 0.68"))
    assert row.startswith("| lan | 0.68 [0.28, 1.00] | - |")


def test_runs_of_two_battlefields_are_refused_from_data_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = RESULTS.read_text().splitlines()
    newer = tmp_path / "newer.csv"
    newer.write_text("\n".join([lines[0], *(line.replace(",sim,1,", ",sim,2,") for line in lines[1:])]))
    assert main([str(RESULTS), str(newer), "--out", str(tmp_path / "a.png")]) == 2
    assert "contract_version: 1, 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("map,seed\n", "lacks the column backend"),
        ("", "lacks the column map"),
        ("map,backend,contract_version,algorithm,seed,env_steps,point,win_rate\n", "holds no evaluation"),
        (
            "map,backend,contract_version,algorithm,seed,env_steps,point,win_rate\n3m,sim,2,lan,0,5,0,much\n",
            "line 2: win_rate is 'much', which is no number",
        ),
        (
            "map,backend,contract_version,algorithm,seed,env_steps,point,win_rate\n3m,sim,2,lan,x,5,0,1\n",
            "line 2: seed is 'x'",
        ),
        (
            "map,backend,contract_version,algorithm,seed,env_steps,point,win_rate\n3m\n",
            "line 2: contract_version is ''",
        ),
        ("map;backend;seed\n", "its columns must be parted by commas"),
    ],
)
def test_data_that_is_none_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    data = tmp_path / "data.csv"
    data.write_text(text)
    assert main([str(data), "--out", str(tmp_path / "a.png")]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


HEAD = "map,backend,contract_version,algorithm,seed,env_steps,point,win_rate\n"


@pytest.mark.parametrize(
    ("rows", "flags", "says"),
    [
        ("3m,sim,2,lan,0,5,1e30,0.5\n", (), "point is '1e30', which is no number that can be drawn"),
        ("3m,sim,2,lan,0,-5,0,0.5\n", (), "env_steps is '-5', which is no whole number"),
        ("3m,sim,2,lan,0.7,5,0,0.5\n", (), "line 2: seed is '0.7', which is no whole number"),
        ("3m,sim,2,lan,0,5,0,1e308\n", (), "win_rate is '1e308', which is no number that can be drawn"),
        ("3m,sim,2,,0,5,0,0.5\n", (), "line 2: algorithm is empty"),
        (" ,sim,2,lan,0,5,0,0.5\n", (), "line 2: map is empty"),
        ("3m,sim,2,lan,0,5,0,0.5\n", ("--metric", "foo"), "with --metric foo: it lacks the column foo"),
        (f"{'m' * 200_000},sim,2,lan,0,5,0,0.5\n", (), "line 2: it is no CSV file"),
        (
            "3m,sim,2,lan,0,5,0,0.1\n3m,sim,2,lan,0,5,0,0.9\n",
            (),
            "line 3: this run has a line with env_steps 5",
        ),
        (
            "3m,sim,2,lan,0,5,0,0.1\n3m,sim,2,lan,1,20,10,0.9\n",
            ("--until", "5"),
            "seed 1 of lan on 3m has no eval",
        ),
        (
            "3m,sim,2,lan,0,5,0,0.1\n3m,sim,2,lan,1,20,10,0.9\n",
            ("--force",),
            "lan on 3m have no point in common",
        ),
        ("3m,sim,2,lan,0,5,0,0.1\n", ("--by", "overlap"), "holds no settings"),
        ("3m,sim,2,lan,0,5,0,0.1\n", ("--metric", "seed"), "--metric seed is no metric"),
        ("3m,sim,2,lan,0,5,0,0.1\n", ("--maps", "8m"), "--maps 8m: no run on it"),
    ],
)
def test_odd_data_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: str, flags: tuple[str, ...], says: str
) -> None:
    data = tmp_path / "data.csv"
    data.write_text(HEAD + rows)
    assert main([str(data), "--out", str(tmp_path / "a.png"), *flags]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_maps_that_share_no_point_have_no_average(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data.csv"
    data.write_text(HEAD + "3m,sim,2,lan,0,5,0,0.1\n8m,sim,2,lan,0,20,10,0.9\n")
    assert main([str(data), "--out", str(tmp_path / "a.png"), "--force"]) == 0
    assert "| all 2 maps | - |" in capsys.readouterr().out


def test_no_file_is_written_over_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, same = tmp_path / "data.csv", str(tmp_path / "same.svg")
    text = HEAD + "3m,sim,2,lan,0,5,0,0.1\n"
    data.write_text(text)
    for flags in (
        ("--out", same, "--data", same),
        ("--out", same, "--marl-eval", f"{tmp_path}/../{tmp_path.name}/same.svg"),
        ("--out", same, "--data", str(data), "--force"),
        ("--out", same, "--beside", same),
    ):
        assert main([str(data), *flags]) == 2
        assert "too: name another file" in capsys.readouterr().err
    assert data.read_text() == text
    assert list(tmp_path.iterdir()) == [data]


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "absolute.json", "run.pt"])
@pytest.mark.parametrize("flag", ["--data", "--absolute-data", "--marl-eval"])
def test_no_file_of_a_run_is_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, flag: str
) -> None:
    run, link = write_run(tmp_path, [0.0, 0.5]), tmp_path / "link"
    link.symlink_to(run)
    (run / name).touch()
    before = (run / name).read_bytes()
    for path in (run / name, link / name):
        words = [str(run), "--out", str(tmp_path / "a.png"), flag, str(path), "--force"]
        assert main(words) == 2
        assert "is a file of the run" in capsys.readouterr().err
    assert (run / name).read_bytes() == before


def test_a_figure_in_a_run_directory_is_replaced(tmp_path: Path) -> None:
    run = write_run(tmp_path, [0.0, 0.5])
    words = [str(run), "--out", str(run / "a.png"), "--data", str(run / "a.csv")]
    assert main(words) == 0
    assert main([*words, "--force"]) == 0


def test_a_seed_that_is_drawn_twice_has_no_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(write_run(tmp_path, [0.0, 0.5]))
    words = [run, run, "--out", str(tmp_path / "a.png"), "--data", str(tmp_path / "a.csv"), "--force"]
    assert main(words) == 2
    assert "seed 0 of lan on 3m is drawn twice" in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()


def test_win_rates_in_per_cent_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data.csv"
    data.write_text(HEAD + "3m,sim,2,lan,0,5,0,50\n")
    assert main([str(data), "--out", str(tmp_path / "a.png")]) == 2
    assert "line 2: a win rate of 50; write shares" in capsys.readouterr().err


@pytest.mark.parametrize("value", [None, True, "0.5", float("nan")])
def test_a_runs_metric_that_is_no_number_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: object
) -> None:
    run = write_run(tmp_path, [0.0, value])
    assert main([str(run), "--out", str(tmp_path / "a.png")]) == 2
    assert "its win_rate at step 10037 is" in capsys.readouterr().err


def test_drawing_loads_neither_torch_nor_the_simulator(tmp_path: Path) -> None:
    code = (
        "import sys; from trainer.plots.cli import main; assert main(sys.argv[1:]) == 0; "
        "assert not {'torch', 'numba'} & set(sys.modules), 'they take seconds'"
    )
    run = write_run(tmp_path, [0.0, 0.5])
    words = [str(RESULTS), "--out", str(tmp_path / "a.png")]
    for drawn in (words, [str(run), "--out", str(tmp_path / "b.png")]):
        done = subprocess.run([sys.executable, "-c", code, *drawn], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_others_numbers_stand_beside_the_curves(tmp_path: Path) -> None:
    run, beside = write_run(tmp_path, [0.0, 0.5]), tmp_path / "beside.csv"
    beside.write_text(
        "map,name,env_steps,win_rate\n3m,nearest,,0.8\n3m,QMIX,200000,0.9\n3m,QMIX,100000,0.7\n8m,x,,1\n"
    )
    assert read_references(beside, "win_rate", {"3m", "8m"}) == [
        Reference("3m", "QMIX", ((100_000.0, 0.7), (200_000.0, 0.9)), None),
        Reference("3m", "nearest", (), 0.8),
        Reference("8m", "x", (), 1.0),
    ]
    out = tmp_path / "a.svg"
    assert main([str(run), "--out", str(out), "--beside", str(beside)]) == 0
    drawn = out.read_text()
    assert "<!-- nearest -->" in drawn
    assert "<!-- QMIX -->" in drawn
    assert "<!-- x -->" not in drawn, "its map is not drawn"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("map,name\n", "lacks the column env_steps"),
        ("map\tname\twin_rate\n", "its columns must be parted by commas"),
        ("map,name,env_steps,win_rate\n3m,,,1\n", "line 2: name is empty"),
        ("map,name,env_steps,win_rate\n3m,a,,nan\n", "line 2: win_rate is 'nan'"),
        ("map,name,env_steps,win_rate\n3m,a,,1\n3m,a,,0\n", "3m a has a second number"),
        ("map,name,env_steps,win_rate\n3m,a,,90\n", "line 2: a win rate of 90; write shares"),
        ("map,name,env_steps,win_rate\n8m,a,,1\n3m,b,,\n", r"no win_rate of the maps that are drawn \(3m\)"),
        ("map,name,env_steps,win_rate,win_rate\n3m,a,,1,0\n", "two columns 'win_rate'"),
        ("map,name,env_steps,win_rate\n3m,a,,1,0\n", "line 2: it has more cells than the first line"),
        (None, "cannot be read"),
    ],
)
def test_what_cannot_stand_beside_is_one_sentence(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "beside.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=says):
        read_references(path, "win_rate", {"3m"})


def test_the_lines_of_a_file_may_stand_in_any_order(tmp_path: Path) -> None:
    """The first evaluation after a point is that of the fewest steps."""
    lines = ["3m,sim,2,lan,0,10500,10000,0.9", "3m,sim,2,lan,0,10003,10000,0.1", "3m,sim,2,lan,0,0,0,0"]
    path = tmp_path / "curves.csv"
    path.write_text("\n".join([f"{','.join(COLUMNS)},win_rate", *lines, ""]))
    (run,) = read_runs(path, "win_rate")
    assert run.by_point == {0: 0.0, 10_000: 0.1}


def test_what_was_drawn_is_kept_to_the_last_digit(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path, [0.0, 1 / 3]), "win_rate")
    path = tmp_path / "curves.csv"
    path.write_text(evaluations_csv([run], "win_rate"))
    assert read_runs(path, "win_rate")[0].values.tolist() == [0.0, 1 / 3]
