"""--init-from: a new run begins with the networks of another run's checkpoint, and nothing else of it."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from envs.errors import InputError
from tests.paths import ROOT
from trainer import TrainConfig, resume, train
from trainer.cli import main
from trainer.learning.learner import Learner
from trainer.runs.assembly import assemble
from trainer.runs.checkpoint import load_checkpoint, save_checkpoint
from trainer.runs.plan import plan_run

TINY = TrainConfig(
    map="3m", env="sim", steps=200, envs=4, batch_episodes=4, replay_episodes=64, eval_episodes=2,
    eval_interval_steps=100, threads=1,
)  # fmt: skip
FOLLOWING = {"target_tau": 0.5}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The newest checkpoint of a small run."""
    return train(dataclasses.replace(TINY, run_dir=tmp_path_factory.mktemp("source") / "run")).checkpoint


def begun(tmp_path: Path, **settings: Any) -> TrainConfig:
    return dataclasses.replace(TINY, seed=7, run_dir=tmp_path / "new", **settings)


def weights(learner: Learner, kind: str) -> dict[str, torch.Tensor]:
    parts = learner.parts if kind == "" else learner.targets
    return {f"{name}.{key}": value for name in parts for key, value in parts[name].state_dict().items()}


@pytest.mark.parametrize("follows", [False, True])
def test_a_run_begins_with_all_networks_that_the_other_deploys(
    follows: bool, source: Path, tmp_path: Path
) -> None:
    """The online ones, or where targets follow their running means; its own targets begin as copies."""
    if follows:
        settings: dict[str, Any] = {"run_dir": tmp_path / "old", **FOLLOWING}
        source = train(dataclasses.replace(TINY, **settings)).checkpoint
    saved = load_checkpoint(source).learner
    kind = "target_" if follows else ""
    assert any((saved["value"][key] != saved["target_value"][key]).any() for key in saved["value"])
    with assemble(plan_run(begun(tmp_path, init_from=str(source)))) as run:
        for learned in (weights(run.learner, ""), weights(run.learner, "target_")):
            assert learned.keys() == {
                f"{part}.{key}" for part in ("advantage", "value") for key in saved[part]
            }
            for name, value in learned.items():
                part, _, key = name.partition(".")
                torch.testing.assert_close(value, saved[kind + part][key], rtol=0, atol=0)
        assert run.clocks.env_steps == run.learner.updates == len(run.replay) == 0
        assert not run.learner.optimizer.state


def test_it_may_have_other_settings_and_its_run_says_what_it_began_with(source: Path, tmp_path: Path) -> None:
    config = begun(tmp_path, init_from=str(source), learning_rate=1e-4, epsilon_start=0.1, **FOLLOWING)
    result = train(config)
    said = json.loads((result.run_dir / "config.json").read_text())["config"]["init_from"]
    path, _, digest = said.rpartition("@")
    assert (path, len(digest)) == (str(source), 12)


def test_a_run_goes_on_when_the_checkpoint_that_it_began_with_is_gone(source: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copy(source, tmp_path / "begin.pt"))
    run = train(begun(tmp_path, init_from=str(copied))).run_dir
    copied.unlink()
    assert resume(run, steps=300).env_steps >= 300


def test_a_directory_stands_for_its_newest_checkpoint(source: Path, tmp_path: Path) -> None:
    named = plan_run(begun(tmp_path, init_from=str(source.parent))).config.init_from
    assert named == plan_run(begun(tmp_path, init_from=str(source))).config.init_from


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            {"map": "8m"},
            "its n_agents is 3, not 8.*; it was made for .3m.; name a checkpoint of this run's map",
        ),
        ({"algorithm": "lan-mean"}, "its algorithm is 'lan', not 'lan-mean'"),
        ({"algorithm": "qmix"}, "its algorithm is 'lan', not 'qmix'"),
        ({"network": "entity"}, "its network is 'flat', not 'entity'; say --network flat$"),
        ({"value_input": "state"}, "its value_input is 'all', not 'state'; say --value-input all$"),
    ],
)
def test_other_networks_are_refused_before_anything_is_written(
    settings: dict[str, Any], problem: str, source: Path, tmp_path: Path
) -> None:
    config = begun(tmp_path, init_from=str(source), **settings)
    with pytest.raises(InputError, match=problem):
        train(config)
    assert not (tmp_path / "new" / "config.json").exists()


def test_networks_of_types_are_no_shared_ones(tmp_path: Path) -> None:
    shared = dataclasses.replace(TINY, map="2s3z", run_dir=tmp_path / "shared")
    by_type = begun(tmp_path, map="2s3z", sharing="type", init_from=str(train(shared).checkpoint))
    with pytest.raises(InputError, match=r"its sharing is 'all', not 'type'.*; say --sharing all$"):
        train(by_type)


def test_a_checkpoint_whose_networks_are_damaged_is_refused(source: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(source)
    checkpoint.learner["value"]["fc1.weight"] = torch.zeros(2, 2)
    save_checkpoint(tmp_path / "damaged.pt", checkpoint)
    with pytest.raises(InputError, match=r"damaged\.pt is damaged: its networks do not fit .*fc1\.weight"):
        train(begun(tmp_path, init_from=str(tmp_path / "damaged.pt")))


def test_what_is_no_checkpoint_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.pt").write_text("no checkpoint")
    shutil.copy(ROOT / "zoo/3m.onnx", tmp_path / "team.onnx")
    for name, problem in (
        ("nowhere.pt", "no such checkpoint; lan-train writes one as RUN_DIR/run.pt"),
        ("empty", "empty is no checkpoint but a folder; lan-train writes one as RUN_DIR/run.pt"),
        ("text.pt", "is damaged, or no checkpoint; lan-train writes one"),
        ("team.onnx", r"no checkpoint but a model file; .* a model file holds the deployed network alone"),
        ("text.pt@000000000000", "has changed: it was 000000000000"),
    ):
        with pytest.raises(InputError, match=problem):
            train(begun(tmp_path, init_from=str(tmp_path / name)))
    with pytest.raises(InputError, match="--init-from is empty; name a checkpoint"):
        train(begun(tmp_path, init_from=""))


def test_a_resumed_run_cannot_begin_anew(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(begun(tmp_path)).run_dir
    assert main(["--resume", str(run), "--steps", "300", "--init-from", str(source)]) == 2
    assert "a resumed run keeps its settings: --init-from was None" in capsys.readouterr().err
