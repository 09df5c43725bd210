"""Names mean themselves in CSV, Markdown, figures and pages; files that are not ours are refused."""

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from trainer.config import TrainConfig, resolve
from trainer.plots.cli import main
from trainer.plots.curves import load_run
from trainer.plots.drawn_data import evaluations_csv
from trainer.plots.figures import draw
from trainer.plots.statistics import make_curves
from trainer.plots.tables import markdown_table

NAMES = (
    "pettingzoo:sized?size=(3,4)",
    'pettingzoo:x?label="a|b"',
    "pettingzoo:x?price=$5&cost=$6_7",
    "pettingzoo:x?a=1\n| forged | row |",
    "_hidden",
    "pettingzoo:<script>alert(1)</script>",
    "pettingzoo:x\x1b[2J\\|\u202e",
)


def write_run(path: Path, **changes: Any) -> Path:
    settings = resolve(TrainConfig(map="3m", seed=0)).to_dict() | changes
    path.mkdir()
    data = {"config": settings, "backend": "sim", "spec": {"contract_version": 1}}
    (path / "config.json").write_text(json.dumps(data))
    lines = [{"kind": "evaluation", "env_steps": steps, "win_rate": 0.5} for steps in (0, 10_000)]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("field", ["map", "algorithm"])
def test_a_name_means_itself_wherever_it_is_written(tmp_path: Path, name: str, field: str) -> None:
    run = load_run(write_run(tmp_path / "run", **{field: name}), "win_rate")
    rows = list(csv.DictReader(io.StringIO(evaluations_csv([run], "win_rate"), newline="")))
    assert [row["env_steps"] for row in rows] == ["0", "10000"]
    assert {row[field] for row in rows} == {name}
    assert not any(None in row for row in rows)
    curves = make_curves([run])
    lines = markdown_table(curves, "iqm").split("\n\n")[0].split("\n")
    assert len(lines) == 3
    assert {len(re.sub(r"\\.", "", line).split("|")) for line in lines} == {4}
    figure = draw(curves, "win_rate", ["sim"])
    (legend,) = figure.legends
    (label,) = legend.get_texts()
    assert label.get_text().replace("\n", " ") == f"{shown(run.learner)} (1 seed, no interval)"
    assert figure.axes[0].get_title() == f"{shown(run.map)} (sim)"
    assert not label.get_parse_math()


def shown(text: str) -> str:
    return text.replace("\n", "\\n").replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")


def test_every_format_is_written_whatever_the_names(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"run{index}", map=name) for index, name in enumerate(NAMES)]
    for suffix in ("svg", "png", "html"):
        out = tmp_path / f"a.{suffix}"
        words = [*map(str, runs), "--out", str(out), "--data", str(tmp_path / f"{suffix}.csv")]
        assert main(words) == 0
    ElementTree.parse(tmp_path / "a.svg")
    assert "<script>" not in (tmp_path / "a.html").read_text()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", "[]"),
        ("config.json", "{}"),
        ("config.json", '{"config": 3, "backend": "sim", "spec": {}}'),
        ("config.json", "[" * 100_000),
        ("metrics.jsonl", "{}\n"),
        ("metrics.jsonl", "3\n"),
        ("metrics.jsonl", '{"kind": "evaluation", "env_steps": "x", "win_rate": 0.5}\n'),
        ("metrics.jsonl", '{"kind": "evaluation", "env_steps": 0, "win_rate": "high"}\n'),
        ("metrics.jsonl", '{"kind": "evaluation", "env_steps": 0, "win_rate": 1}\n{"kind": "evaluation"}\n'),
        ("metrics.jsonl", "\x00" * 100 + "\n"),
    ],
)
def test_files_that_are_not_a_runs_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, content: str
) -> None:
    run = write_run(tmp_path / "run")
    (run / file).write_text(content)
    assert main([str(run), "--out", str(tmp_path / "a.svg")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(run) in line


@pytest.mark.parametrize(
    "changes",
    [
        {"map": 3},
        {"map": None},
        {"algorithm": ["lan"]},
        {"steps": 0},
        {"eval_interval_steps": 0},
        {"eval_interval_steps": "often"},
        {"seed": "0"},
        {"seed": -1},
        {"map": ""},
        {"preset": ["fast"]},
        {"preset": "slow"},
        {"sharing": 3},
        {"learning_rate": "high"},
    ],
)
def test_settings_that_are_none_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    run = write_run(tmp_path / "run", **changes)
    assert main([str(run), "--out", str(tmp_path / "a.svg")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{run} cannot be read" in line


def test_a_figure_that_cannot_be_written_is_said_before_anything_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run")
    for out, said in (
        (tmp_path, "name must end in"),
        (Path("/proc/a.svg"), "--out /proc/a.svg: it leads into the system's own files"),
    ):
        assert main([str(run), "--out", str(out)]) == 2
        assert said in capsys.readouterr().err
    shutil.copytree(run, tmp_path / "folder.svg")
    assert main([str(run), "--out", str(tmp_path / "folder.svg"), "--force"]) == 2
    assert "is a directory" in capsys.readouterr().err
