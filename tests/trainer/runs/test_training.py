"""Training from Python: the run that the command makes, told by a callback and a result."""

import importlib.util
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from envs.checkers import CheckersEnv
from envs.errors import DivergedError, InputError
from envs.make import make_env
from envs.types import MultiAgentEnv
from tests.trainer.support.small_runs import without_clock
from trainer import Evaluation, TrainConfig, TrainResult, resume, train
from trainer.cli import main as lan_train
from trainer.learning.batch import EpisodeBatch
from trainer.runs.checkpoint import load_checkpoint
from trainer.runs.config_file import load_config
from trainer.runs.metrics import read_metrics

CONFIG = TrainConfig(
    map="checkers", env="sim", steps=400, seed=3, envs=2, threads=1, batch_episodes=2, eval_episodes=2,
    eval_interval_steps=200, log_interval_steps=100,
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(replace(CONFIG, run_dir=tmp_path_factory.mktemp("runs") / "run")).run_dir


class Watched:
    """The environments that runs made, and those that were closed, as often as they were."""

    def __init__(self) -> None:
        self.made: list[MultiAgentEnv] = []
        self.closed: list[MultiAgentEnv] = []

    def make(self, *args: Any, **settings: Any) -> MultiAgentEnv:
        self.made.append(make_env(*args, **settings))
        return self.made[-1]

    @property
    def times_closed(self) -> list[int]:
        return [self.closed.count(env) for env in self.made]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched = Watched()
    monkeypatch.setattr("trainer.runs.assembly.make_env", watched.make)
    monkeypatch.setattr(CheckersEnv, "close", lambda env: watched.closed.append(env))
    return watched


def test_a_callback_sees_every_evaluation_and_nothing_is_printed(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    seen: list[Evaluation] = []

    def on_evaluation(evaluation: Evaluation) -> None:
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
        seen.append(evaluation)

    run_dir = tmp_path / "run"
    result = train(replace(CONFIG, run_dir=run_dir), on_evaluation=on_evaluation)
    assert capsys.readouterr() == ("", "")
    records = [record for record in read_metrics(run_dir) if record["kind"] == "evaluation"]
    assert [(e.env_steps, e.episodes, e.updates, e.win_rate, e.return_mean) for e in seen] == [
        (r["env_steps"], r["episodes"], r["updates"], r["win_rate"], r["return_mean"]) for r in records
    ]
    assert [evaluation.length_mean_steps for evaluation in seen] == [100.0] * 3
    last = seen[-1]
    assert result == TrainResult(run_dir, run_dir / "run.pt", last.env_steps, last.win_rate, True)
    assert result.checkpoint.is_file()
    assert without_clock(run_dir) == without_clock(finished)


def test_it_is_the_run_that_the_command_makes(finished: Path, tmp_path: Path) -> None:
    words = (
        "--map checkers --env sim --steps 400 --seed 3 --envs 2 --threads 1 --batch-episodes 2 "
        f"--eval-episodes 2 --eval-interval-steps 200 --log-interval-steps 100 --run-dir {tmp_path / 'run'}"
    )
    assert lan_train(words.split()) == 0
    assert without_clock(tmp_path / "run") == without_clock(finished)


def test_a_run_goes_on_by_its_own_settings(finished: Path, tmp_path: Path) -> None:
    short = train(replace(CONFIG, steps=200, run_dir=tmp_path / "run"))
    seen: list[Evaluation] = []
    result = resume(short.run_dir, steps=400, on_evaluation=seen.append)
    assert [evaluation.env_steps for evaluation in seen] == [result.env_steps]
    assert (result.run_dir, result.finished) == (short.run_dir, True)
    assert result.env_steps >= 400 > short.env_steps
    assert without_clock(short.run_dir) == without_clock(finished)
    assert load_config(short.run_dir).steps == 400
    default = TrainConfig().steps  # a setting equal to the default is asked for as well
    assert resume(short.run_dir, steps=default, until_win_rate=0.0).finished
    assert load_config(short.run_dir).steps == TrainConfig().steps
    with pytest.raises(InputError, match="no setting is called 'step': did you mean 'steps'"):
        resume(short.run_dir, step=3)
    with pytest.raises(InputError, match=r"trainer\.resume\(RUN_DIR\)"):
        train(TrainConfig(resume=short.run_dir))
    with pytest.raises(InputError, match="--seed was 3, now 4"):
        resume(short.run_dir, seed=4)
    moved = short.run_dir.rename(tmp_path / "moved")
    assert resume(moved).run_dir == moved
    assert load_checkpoint(moved).config["run_dir"] == str(moved)


def test_a_run_that_ended_between_two_evaluations_goes_on_as_one_of_the_longer_length(tmp_path: Path) -> None:
    """Its evaluations play the same battles, although the first end was evaluated as well."""
    short = TrainConfig(
        map="spread:2", env="sim", algorithm="iql", steps=300, envs=2, threads=1, batch_episodes=2,
        eval_episodes=2, eval_interval_steps=200, run_dir=tmp_path / "grown",
    )  # fmt: skip
    train(short)
    resume(tmp_path / "grown", steps=700)
    train(replace(short, run_dir=tmp_path / "whole", steps=700))
    grown, whole = (
        {each["env_steps"]: each["battles"] for each in read_metrics(tmp_path / name) if "battles" in each}
        for name in ("grown", "whole")
    )
    assert (len(whole), len(grown)) == (5, 6)
    assert {steps: grown[steps] for steps in whole} == whole


def test_a_run_that_won_often_enough_goes_on_when_it_is_asked_for_more(tmp_path: Path) -> None:
    """Whether it is good enough is asked of the share that is wanted now."""
    won = train(replace(CONFIG, steps=2_000, until_win_rate=0.0, run_dir=tmp_path / "run"))
    assert (won.finished, won.env_steps) == (True, load_checkpoint(won.run_dir).env_steps)
    assert won.env_steps < 400
    assert resume(won.run_dir, until_win_rate=0.0).env_steps == won.env_steps
    more = resume(won.run_dir, until_win_rate=1.0, steps=600)
    assert (more.finished, more.env_steps >= 600) == (True, True), "checkers is not won by chance"
    on = resume(won.run_dir, until_win_rate=None, steps=800)
    assert on.env_steps >= 800
    assert resume(won.run_dir, until_win_rate=0.0, steps=2_000).env_steps == on.env_steps


def test_a_run_of_a_version_that_counted_good_evaluations_has_still_ended(tmp_path: Path) -> None:
    run_dir = train(replace(CONFIG, steps=2_000, until_win_rate=0.0, run_dir=tmp_path / "run")).run_dir
    path = run_dir / "run.pt"
    data = torch.load(path, weights_only=False)
    clocks = data["states"]["clocks"]
    del clocks["win_rate_before"]
    clocks["good_evaluations"] = 2
    torch.save(data, path)
    ended = load_checkpoint(run_dir).env_steps
    assert resume(run_dir).env_steps == ended


def test_a_run_cannot_end_before_what_it_has_played(tmp_path: Path) -> None:
    """Else its curve would be cut, and its last value be that of an earlier step."""
    run_dir = train(replace(CONFIG, run_dir=tmp_path / "run")).run_dir
    before = (run_dir / "config.json").read_bytes()
    with pytest.raises(InputError, match=r"--steps 300: the run in .* has played 4\d\d steps already"):
        resume(run_dir, steps=300)
    assert (run_dir / "config.json").read_bytes() == before
    assert resume(run_dir, steps=CONFIG.steps).finished


def test_a_callback_finds_its_evaluation_saved_and_costs_nothing_where_it_raises(
    finished: Path, tmp_path: Path, watched: Watched
) -> None:
    run_dir = tmp_path / "run"

    def fails_at_the_second(evaluation: Evaluation) -> None:
        assert load_checkpoint(run_dir).updates == evaluation.updates
        if evaluation.updates:
            raise LookupError

    with pytest.raises(LookupError):
        train(replace(CONFIG, run_dir=run_dir), on_evaluation=fails_at_the_second)
    assert watched.times_closed == [1, 1]
    assert 200 <= load_checkpoint(run_dir).env_steps < 400
    resume(run_dir)
    assert without_clock(run_dir) == without_clock(finished)


@pytest.mark.parametrize("overlap", ["off", "on"])
def test_runs_in_one_process_and_in_threads_leave_no_trace_on_each_other(
    tmp_path: Path, overlap: Literal["off", "on"]
) -> None:
    config = replace(CONFIG, overlap=overlap)
    interval_s = sys.getswitchinterval()
    train(replace(config, run_dir=tmp_path / "here"))
    with ThreadPoolExecutor(1) as thread:
        elsewhere = replace(config, steps=200, run_dir=str(tmp_path / "thread"))  # type: ignore[arg-type]
        first = thread.submit(train, elsewhere).result()
        thread.submit(resume, first.run_dir, steps=400).result()
    assert without_clock(tmp_path / "thread") == without_clock(tmp_path / "here")
    assert sys.getswitchinterval() == interval_s


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")  # Ray's own
def test_a_second_run_may_have_more_workers_and_a_resumed_one_fewer(tmp_path: Path) -> None:
    import ray

    for n_workers in (1, 2):
        train(replace(CONFIG, rollout_workers=n_workers, run_dir=tmp_path / str(n_workers)))
        assert not ray.is_initialized()
    assert without_clock(tmp_path / "1") == without_clock(tmp_path / "2")
    assert resume(tmp_path / "2", steps=600).env_steps >= 600


def test_a_damaged_checkpoint_is_warned_of(tmp_path: Path) -> None:
    run_dir = train(replace(CONFIG, run_dir=tmp_path / "run")).run_dir
    (run_dir / "run.pt").write_bytes(b"damaged")
    with pytest.warns(RuntimeWarning, match=r"set aside a checkpoint, going on from \d+ steps"):
        resume(run_dir)


def test_what_cannot_be_is_raised(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="say which map to learn"):
        train(TrainConfig())
    with pytest.raises(InputError, match="already holds a run"):
        train(replace(CONFIG, run_dir=finished))
    with pytest.raises(InputError, match="unknown preset 'fsat': did you mean 'fast'"):  # which comes first
        train(replace(CONFIG, run_dir=finished, preset="fsat"))
    with pytest.raises(InputError, match="no run directory but a folder"):
        resume(tmp_path)

    def diverges(q_proxy: torch.Tensor, *others: Any) -> torch.Tensor:
        return q_proxy.mean() * float("nan")

    monkeypatch.setattr("trainer.learning.lan.lan_loss", diverges)
    with pytest.raises(DivergedError, match="its batch is in"):
        train(replace(CONFIG, run_dir=tmp_path / "run"))
    batch = torch.load(tmp_path / "run" / "diverged-batch.pt", weights_only=True)
    assert EpisodeBatch(**{field.name: batch[field.name] for field in fields(EpisodeBatch)}).n_episodes == 2
    assert not list((tmp_path / "run").glob(".*.partial"))


def test_a_run_that_cannot_begin_leaves_no_environment_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    with pytest.raises(InputError, match="unknown device"):
        train(replace(CONFIG, device="abacus", run_dir=tmp_path / "run"))
    assert not watched.made
    (tmp_path / "file").touch()
    with pytest.raises(
        InputError, match=r"cannot train in .*file is no folder; remove it, or choose another --run-dir"
    ):
        train(replace(CONFIG, run_dir=tmp_path / "file" / "run"))
    assert not watched.made
    monkeypatch.setattr("trainer.replay.buffer.MAX_ACTIONS", 1)
    with pytest.raises(InputError, match="replay keeps at most"):
        train(replace(CONFIG, run_dir=tmp_path / "run"))
    assert watched.times_closed == [1, 1]
    assert not (tmp_path / "run").exists()
