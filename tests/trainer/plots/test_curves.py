"""lan-plot draws what the runs' evaluations say, and does not mix in silence what differs."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.errors import InputError
from trainer.config import TrainConfig, resolve
from trainer.learning.algorithms import ALGORITHMS
from trainer.plots.cli import main
from trainer.plots.curves import find_differences, load_run
from trainer.plots.figures import draw, styles_of
from trainer.plots.statistics import Summary, average_over_maps, count_first, make_curves
from trainer.plots.tables import markdown_table

SUMMARIES: tuple[Summary, ...] = ("iqm", "median")


def write_run(
    folder: Path, values: Sequence[object], *, backend: str = "sim", rules: int = 1, **settings: Any
) -> Path:
    """A run directory whose evaluations came a few steps after each multiple of 10 000."""
    config = resolve(TrainConfig(**{"map": "3m", **settings}))
    path = folder / f"{config.map}-{config.algorithm}-{config.seed}-{backend}-{config.gamma}"
    path.mkdir()
    spec = {"contract_version": 1}
    data = {"config": config.to_dict(), "backend": backend, "spec": spec}
    if rules > 1:  # older runs do not say it
        data["rules"] = rules
    (path / "config.json").write_text(json.dumps(data))
    lines = [{"kind": "train", "env_steps": 5, "loss": 1.0}]
    for index, value in enumerate(values):
        steps = index * 10_000 + 37 * (index > 0)
        returns = 20 * value if isinstance(value, float) else 0
        lines.append({"kind": "evaluation", "env_steps": steps, "win_rate": value, "return_mean": returns})
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_curves_are_medians_and_quartiles_as_far_as_every_seed_goes(tmp_path: Path) -> None:
    values = [[0.0, 0.2, 0.4, 0.9], [0.1, 0.4, 0.5], [0.0, 0.6, 1.0, 1.0], [0.1, 0.8, 0.7]]
    runs = [load_run(write_run(tmp_path, v, seed=seed), "win_rate") for seed, v in enumerate(values)]
    assert find_differences(runs) == [
        f"length: {runs[1].path} ends at 20,000 steps, {runs[0].path} at 30,000"
    ]
    (curve,) = make_curves(runs)
    assert curve.steps.tolist() == [0, 10_000, 20_000]
    quartiles = curve.summarise("median")
    np.testing.assert_allclose(quartiles.value, [0.05, 0.5, 0.6])
    np.testing.assert_allclose(quartiles.low, [0.0, 0.35, 0.475])
    np.testing.assert_allclose(quartiles.high, [0.1, 0.65, 0.775])
    assert "0.60 [0.47, 0.77] at 20k steps, 4 seeds" in markdown_table([curve], "median")
    means = curve.summarise("iqm")
    np.testing.assert_allclose(means.value, [0.05, 0.5, 0.6])  # of four runs the middle two
    assert "0.60 [0.40, 1.00] at 20k steps, 4 seeds" in markdown_table([curve], "iqm")


@pytest.mark.parametrize(
    ("end", "evaluated", "points"),
    [
        (3_000, [0, 3_031], [0, 3_000]),
        (25_000, [0, 10_040, 20_007, 25_013], [0, 10_000, 20_000, 25_000]),
        (30_000, [0, 10_040, 20_007, 25_013, 30_002], [0, 10_000, 20_000, 30_000]),  # once ended at 25 000
    ],
)
def test_the_last_evaluation_stands_at_the_runs_end(
    tmp_path: Path, end: int, evaluated: list[int], points: list[int]
) -> None:
    path = write_run(tmp_path, [], steps=end)
    lines = [{"kind": "evaluation", "env_steps": steps, "win_rate": steps / 40_000} for steps in evaluated]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (curve,) = make_curves([load_run(path, "win_rate")])
    assert curve.steps.tolist() == points
    drawn = [steps for steps in evaluated if steps != 25_013 or end == 25_000]
    np.testing.assert_allclose(curve.values[:, 0], np.array(drawn) / 40_000)


def test_averages_and_firsts_over_maps(tmp_path: Path) -> None:
    finals = {("3m", "lan"): 0.9, ("3m", "vdn"): 0.5, ("8m", "lan"): 0.70, ("8m", "vdn"): 0.71}
    paths = [write_run(tmp_path, [0, final], map=m, algorithm=a) for (m, a), final in finals.items()]
    runs = [load_run(path, "win_rate") for path in paths]
    curves = make_curves(runs)
    averages = average_over_maps(curves, "median")
    assert averages["lan"][1].value[-1] == pytest.approx(0.8)
    assert averages["vdn"][1].value[-1] == pytest.approx(0.605)
    assert count_first(curves) == {"lan": 1, "vdn": 0}  # 0.01 is less than 1/32
    assert main([*(str(run.path) for run in runs), "--out", str(tmp_path / "all.svg")]) == 0
    text = (tmp_path / "all.svg").read_text()
    assert text.count("<svg") == 1


def test_only_win_rates_are_averaged_over_maps(tmp_path: Path) -> None:
    paths = [write_run(tmp_path, [0, 0.5], map=name) for name in ("3m", "8m")]
    panels = {}
    for metric in ("win_rate", "return_mean"):
        curves = make_curves([load_run(path, metric) for path in paths])
        for summary in SUMMARIES:
            figure = draw(curves, metric, ["sim"], summary)
            panels[metric, summary] = [axes.get_title() for axes in figure.axes]
    assert panels["return_mean", "iqm"] == panels["return_mean", "median"] == ["3m (sim)", "8m (sim)"]
    assert panels["win_rate", "iqm"][2:] == [
        "interquartile mean over 2 maps",
        "share of runs that end above a win rate",
    ]
    assert panels["win_rate", "median"][2:] == [
        "mean of the medians over 2 maps",
        "maps led by 1/32 at the end",
    ]


def test_one_legend_stands_beside_all_panels(tmp_path: Path) -> None:
    paths = [write_run(tmp_path, [0.0, 0.5], map=name, seed=seed) for name in ("3m", "8m") for seed in (0, 1)]
    paths.append(write_run(tmp_path, [0.0, 0.2], map="3m", seed=2))
    paths.append(write_run(tmp_path, [0.0, 0.5], map="8m", algorithm="vdn"))
    curves = make_curves([load_run(path, "win_rate") for path in paths])
    figure = draw(curves, "win_rate", ["sim"])
    assert all(axes.get_legend() is None for axes in figure.axes)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "lan (2 to 3 seeds)",
        "vdn (1 seed, no interval)",
    ]
    figure.draw_without_rendering()
    left = legend.get_window_extent().x0
    assert all(axes.get_window_extent().x1 <= left for axes in figure.axes)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"seed": 1, "backend": "sc2"}, "backend: sc2, sim"),
        ({"seed": 1, "rules": 2}, "backend: sim, sim rules 2"),
        ({"seed": 1, "gamma": 0.9}, "gamma: 0.9, 0.99"),
        ({"seed": 0, "threads": 2}, "seed 0 of lan on 3m twice"),
    ],
)
def test_runs_that_differ_are_named_and_not_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], other: dict[str, Any], named: str
) -> None:
    (tmp_path / "other").mkdir()
    one, two = write_run(tmp_path, [0, 1], seed=0), write_run(tmp_path / "other", [0, 1], **other)
    out = tmp_path / "figure.png"
    assert main([str(one), str(two), "--out", str(out)]) == 2
    assert named in capsys.readouterr().err
    assert not out.exists()
    assert main([str(one), str(two), "--out", str(out), "--force"]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")


def test_runs_that_differ_in_what_changes_no_number_are_drawn_together(tmp_path: Path) -> None:
    one = write_run(tmp_path, [0, 1], seed=0, threads=1)
    two = write_run(
        tmp_path, [0, 1], seed=1, threads=2, keep_checkpoints=9, replay_memory=1.0, rollout_workers=4
    )
    assert find_differences([load_run(path, "win_rate") for path in (one, two)]) == []


def test_algorithms_may_differ_in_the_settings_that_come_with_them(tmp_path: Path) -> None:
    paths = [write_run(tmp_path, [0, 1], algorithm=name) for name in ("lan", "iql", "qplex")]
    runs = [load_run(path, "win_rate") for path in paths]
    assert find_differences(runs) == []


def test_a_setting_that_an_older_run_does_not_know_counts_as_its_default(tmp_path: Path) -> None:
    """Runs of before and after a setting was added are comparable where the setting was left alone."""
    old, new = (write_run(tmp_path, [0.0, 0.5], seed=seed) for seed in (0, 1))
    config = json.loads((old / "config.json").read_text())
    del config["config"]["sharing"]
    (old / "config.json").write_text(json.dumps(config))
    assert find_differences([load_run(path, "win_rate") for path in (old, new)]) == []
    faster = write_run(tmp_path, [0.0, 0.5], seed=2, overlap="on")
    found = find_differences([load_run(path, "win_rate") for path in (old, faster)])
    assert found == ['overlap: "off", "on"']


def test_networks_by_unit_type_have_a_curve_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "split").mkdir()
    shared = write_run(tmp_path, [0.0, 0.25], map="2s3z")
    split = write_run(tmp_path / "split", [0.0, 0.75], map="2s3z", sharing="type")
    runs = [load_run(path, "win_rate") for path in (shared, split)]
    assert find_differences(runs) == []
    finals = {curve.learner: curve.values[-1, 0] for curve in make_curves(runs)}
    assert finals == {"lan": 0.25, "lan-by-type": 0.75}
    assert main([str(shared), str(split), "--out", str(tmp_path / "curves.svg")]) == 0
    assert "lan-by-type" in (tmp_path / "curves.svg").read_text()


def test_bad_input_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = write_run(tmp_path, [])
    out = tmp_path / "a.html"
    for words, named in [
        ((), "name the run directories"),
        ((str(empty),), "no evaluation yet"),
        ((str(tmp_path / "none"),), "no run directory"),
        ((str(empty), "--out", "a.gif"), ".png"),
    ]:
        assert main([*words, *(() if "--out" in words else ("--out", str(out)))]) == 2
        assert named in capsys.readouterr().err
    run = write_run(tmp_path, [0.0, 0.5], seed=3)
    with pytest.raises(InputError, match="win_rate"):
        load_run(run, "elo")
    assert main([str(run), "--out", str(out), "--metric", "return_mean"]) == 0
    assert "10.00 at 10k steps, 1 seed" in out.read_text()
    assert main([str(run), "--out", str(out)]) == 2
    assert "exists" in capsys.readouterr().err


def test_the_data_holds_every_evaluation_that_is_drawn(tmp_path: Path) -> None:
    paths = [write_run(tmp_path, [0, 0.25 * (seed + 1)], seed=seed) for seed in (1, 0)]
    data = tmp_path / "curves.csv"
    words = [
        *map(str, paths),
        "--out",
        str(tmp_path / "a.svg"),
        "--data",
        str(data),
        "--metric",
        "return_mean",
    ]
    assert main(words) == 0
    assert data.read_text().splitlines() == [
        "map,backend,contract_version,algorithm,seed,env_steps,point,return_mean",
        "3m,sim,1,lan,0,0,0,0",
        "3m,sim,1,lan,0,10037,10000,5",
        "3m,sim,1,lan,1,0,0,0",
        "3m,sim,1,lan,1,10037,10000,10",
    ]
    assert main([*words[:-4], "--data", str(data), "--out", str(tmp_path / "b.svg")]) == 2, "it exists"
    assert not (tmp_path / "b.svg").exists()


def test_a_run_that_is_not_yet_as_far_as_the_others_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [write_run(tmp_path, [0.5] * (2 + seed), seed=seed) for seed in range(2)]
    words = [*map(str, paths), "--out", str(tmp_path / "a.svg")]
    assert main(words) == 2
    assert f"{paths[0]} ends at 10,000 steps" in capsys.readouterr().err
    assert main([*words, "--force"]) == 0


def test_every_map_may_have_a_length_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [
        str(write_run(tmp_path, [0.5] * (2 + (name == "8m")), seed=seed, map=name))
        for name in ("3m", "8m")
        for seed in range(3)
    ]
    assert main([*paths, "--out", str(tmp_path / "a.svg")]) == 0
    table = capsys.readouterr().out
    assert "| 3m | 0.50 [0.50, 0.50] at 10k steps, 3 seeds |" in table
    assert "| 8m | 0.50 [0.50, 0.50] at 20k steps, 3 seeds |" in table
    assert "| all 2 maps | 0.50 [0.50, 0.50] at 10k steps |" in table


def test_longer_runs_are_cut_to_compare_with_shorter_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short, long = (write_run(tmp_path, [0.0] * n, seed=n) for n in (3, 5))  # to 20 000 and 40 000 steps
    command = [str(short), str(long), "--out", str(tmp_path / "curves.svg"), "--until"]
    assert main([*command, "0"]) == 2
    assert "--until must be at least 1" in capsys.readouterr().err
    assert main([*command, "30000"]) == 2
    assert "ends at 20,000 steps" in capsys.readouterr().err
    assert main([*command, "20000"]) == 0
    assert "at 20k steps, 2 seeds" in capsys.readouterr().out


def test_a_settings_values_have_curves_of_their_own_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = []
    for kind, final in (("float16", 0.5), ("float32", 1.0)):
        (tmp_path / kind).mkdir()
        paths.append(str(write_run(tmp_path / kind, [0.0, final], replay_dtype=kind)))
    out = tmp_path / "curves.svg"
    assert main([*paths, "--out", str(out)]) == 2
    assert "replay_dtype" in capsys.readouterr().err
    assert main([*paths, "--out", str(out), "--by", "replay-type"]) == 2
    assert "did you mean 'replay_dtype'" in capsys.readouterr().err
    assert main([*paths, "--out", str(out), "--by", "algorithm"]) == 2
    assert "--by algorithm: curves are told apart by it already" in capsys.readouterr().err
    assert main([*paths, "--out", str(out), "--by", "replay-dtype"]) == 0
    table = capsys.readouterr().out
    assert "| map | lan replay_dtype=float16 | lan replay_dtype=float32 |" in table
    assert "| 3m | 0.50 at 10k steps, 1 seed | 1.00" in table


def test_of_several_settings_a_curve_names_those_that_are_not_the_preset_s(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = []
    for name, told in (
        ("base", {}),
        ("shown", {"td_lambda": 0.6}),  # what the preset says anyway
        ("state", {"value_input": "state", "td_lambda": 0.6}),
        ("each", {"grad_norm": "each"}),
    ):
        (tmp_path / name).mkdir()
        seed = 1 if name == "shown" else 0
        paths.append(str(write_run(tmp_path / name, [0.0, 0.5], seed=seed, preset="fast", **told)))
    words = [*paths, "--out", str(tmp_path / "curves.svg"), "--by"]
    assert main([*words, "value_input", "grad-norm", "td_lambda"]) == 0
    assert "| map | lan | lan grad_norm=each | lan value_input=state |" in capsys.readouterr().out
    assert main([*words, "value_input", "grad_nor", "--force"]) == 2
    assert "did you mean 'grad_norm'" in capsys.readouterr().err


def test_algorithms_that_only_a_script_knows_have_colors_too() -> None:
    styles = styles_of(["mine", "yours", "mine-by-type", "lan", "qmix"])
    colors = {name: style["color"] for name, style in styles.items()}
    assert (colors["lan"], colors["qmix"]) == ("C0", f"C{list(ALGORITHMS).index('qmix')}")
    assert colors["mine"] == colors["mine-by-type"] == f"C{len(ALGORITHMS)}"
    assert colors["yours"] == f"C{len(ALGORITHMS) + 1}"
    assert styles["mine"]["linestyle"] != styles["mine-by-type"]["linestyle"]


def test_an_older_fast_run_had_the_papers_network_and_the_maps_reward(tmp_path: Path) -> None:
    """It does not say so: there were no others."""
    new = write_run(tmp_path, [0.1], preset="fast")
    old = write_run(tmp_path, [0.1], preset="fast", seed=1)
    data = json.loads((old / "config.json").read_text())
    del data["config"]["network"], data["config"]["reward"]
    (old / "config.json").write_text(json.dumps(data))
    assert find_differences([load_run(path, "win_rate") for path in (new, old)]) == [
        'network: "entity", "flat"',
        'reward of 3m: "map", "smacv2"',
    ]
    named = [load_run(path, "win_rate", by=("network", "reward")).learner for path in (new, old)]
    assert named == ["lan", "lan network=flat reward=map"]


def test_every_map_may_have_an_interval_of_its_own(tmp_path: Path) -> None:
    paths = [
        write_run(tmp_path, [0.1], map=name, eval_interval_steps=steps, seed=seed)
        for name, seed, steps in (("3m", 0, 10_000), ("3m", 1, 10_000), ("8m", 0, 5_000), ("3m", 2, 5_000))
    ]
    runs = [load_run(path, "win_rate") for path in paths]
    assert find_differences(runs[:3]) == []
    assert find_differences(runs) == ["eval_interval_steps of 3m: 10000, 5000"]


def test_a_map_without_enemies_has_one_network_and_one_reward_alone(tmp_path: Path) -> None:
    paths = [
        write_run(tmp_path, [0.1], preset="fast", map=name) for name in ("3m", "checkers", "zerg_5_vs_5")
    ]
    assert find_differences([load_run(path, "win_rate") for path in paths]) == []
    named = [load_run(path, "win_rate", by=("network", "reward", "gamma")).learner for path in paths]
    assert named == ["lan"] * 3


def test_a_default_that_the_batch_decides_is_not_named(tmp_path: Path) -> None:
    path = write_run(tmp_path, [0.1], preset="fast")
    assert load_run(path, "win_rate", by=("grad_norm", "first_update_episodes")).learner == "lan"


@pytest.mark.parametrize("summary", SUMMARIES)
@pytest.mark.parametrize("n_seeds", [1, 2, 3])
def test_few_seeds_have_no_range(tmp_path: Path, summary: Summary, n_seeds: int) -> None:
    runs = [load_run(write_run(tmp_path, [0.0, 0.5], seed=seed), "win_rate") for seed in range(n_seeds)]
    (curve,) = make_curves(runs)
    assert (curve.summarise(summary).low is None) == (n_seeds < 3)
    assert ("0.50 [" in markdown_table([curve], summary)) == (n_seeds == 3)
    panel = draw([curve], "win_rate", ["sim"], summary).axes[0]
    assert len(panel.collections) == (n_seeds == 3), "the band"


def test_long_names_leave_room_for_the_panels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    changes: list[dict[str, Any]] = [{}, {"value_input": "state"}, {"initialization": "orthogonal"}]
    changes.append({"value_input": "history", "initialization": "unit-rows", "td_lambda": 0.8})
    changes.append({**changes[-1], "grad_norm": "each"})
    runs = [write_run(tmp_path, [0.1, 0.2], seed=seed, **each) for seed, each in enumerate(changes)]
    by = ("value_input", "initialization", "td_lambda", "grad_norm", "grad-norm")
    words = [*map(str, runs), "--by", *by, "--out", str(tmp_path / "a.png")]
    assert main(words) == 0
    assert not [str(warning.message) for warning in recwarn]
    longest = "lan value_input=history initialization=unit-rows td_lambda=0.8 grad_norm=each"
    assert f"| {longest} |" in capsys.readouterr().out, "a setting that is named twice counts once"
    curves = make_curves([load_run(path, "win_rate", by=by[:4]) for path in runs])
    figure = draw(curves, "win_rate", ["sim"])
    figure.draw_without_rendering()
    (legend,) = figure.legends
    for panel in figure.axes:
        box = panel.get_window_extent()
        assert box.width > 100
        assert not legend.get_window_extent().overlaps(box)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: lines + lines, "its evaluation at step 0 comes after 10037"),
        (lambda lines: [lines[0], lines[2], lines[1]], "its evaluation at step 0 comes after 10037"),
        (lambda lines: [*lines[:2], lines[2].replace("0.5", "7.0")], "win rate at step 10037 is 7"),
    ],
)
def test_metrics_that_no_run_writes_are_not_drawn(
    tmp_path: Path, change: Callable[[list[str]], list[str]], says: str
) -> None:
    path = write_run(tmp_path, [0.0, 0.5])
    file = path / "metrics.jsonl"
    file.write_text("".join(change(file.read_text().splitlines(keepends=True))))
    with pytest.raises(InputError, match=says):
        load_run(path, "win_rate")


def test_variants_without_a_line_style_of_their_own_have_a_color() -> None:
    names = ["iql", *(f"lan gamma={n}" for n in range(9))]
    drawn = {(style["color"], style["linestyle"]) for style in styles_of(names).values()}
    assert len(drawn) == len(names)


def test_a_whole_number_is_the_same_setting_with_a_point_and_without(tmp_path: Path) -> None:
    one = write_run(tmp_path, [0, 1], seed=0, updates_per_episode=1)
    other = write_run(tmp_path, [0, 1], seed=1, updates_per_episode=1.0)
    assert find_differences([load_run(path, "win_rate") for path in (one, other)]) == []
