"""`lan-train` refuses what it cannot do in one sentence, with exit code 2, and loses nothing."""

import contextlib
import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envs.errors import InputError
from envs.types import RULES_VERSION
from exporters.evaluate import main as evaluate_main
from trainer import resume
from trainer.cli import main
from trainer.config import TrainConfig, check_resumed, resolve
from trainer.runs.checkpoint import load_checkpoint
from trainer.runs.config_file import load_config
from trainer.runs.plan import continued, plan_run, resume_words
from trainer.sweep.jobs import saved_backend


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line on stderr of a command that must exit with 2."""
    try:
        code = main(words)
    except SystemExit as exit_:
        code = exit_.code
    captured = capsys.readouterr()
    assert code == 2
    assert "Traceback" not in captured.err
    return captured.err


def test_unknown_map_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(capsys, "--map", "corridoor")
    assert "corridoor" in error
    assert "'corridor'" in error
    assert len(error.splitlines()) == 1


def test_unknown_algorithm_and_backend_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "'magic'" in refused(capsys, "--map", "3m", "--algorithm", "magic")
    assert "'nowhere'" in refused(capsys, "--map", "3m", "--env", "nowhere")


def test_no_map_says_what_to_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--map 3m" in refused(capsys)


def test_a_game_that_is_not_there_says_where_it_looked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SC2PATH", str(tmp_path / "nothing"))
    error = refused(capsys, "--map", "3m", "--env", "sc2")
    assert str(tmp_path / "nothing") in error
    assert "--env sim" in error


def test_a_directory_that_holds_a_run_is_left_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    error = refused(capsys, "--map", "3m", "--run-dir", str(tmp_path))
    assert "--resume" in error
    assert (tmp_path / "config.json").read_text() == "{}"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--steps", "0"), "--steps"),
        (("--gamma", "1.5"), "--gamma"),
        (("--replay-episodes", "8"), "--replay-episodes"),
        (("--seed", "-1"), "--seed"),
        (("--until-win-rate", "90"), "--until-win-rate"),
        (("--device", "toaster"), "toaster"),
        (("--steps", "many"), "many"),
        (("--learning-rate", "nan"), "--learning-rate"),
        (("--seed", str(2**64)), "--seed"),
        (("--first-update-episodes", "8"), "--batch-episodes"),
        (("--algorithm", "qplex", "--replay-episodes", "50"), "--first-update-episodes"),
    ],
)
def test_impossible_settings_are_named(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], named: str, tmp_path: Path
) -> None:
    assert named in refused(capsys, "--map", "3m", "--run-dir", str(tmp_path / "run"), *words)
    assert not (tmp_path / "run").exists()


def test_resuming_nothing_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "no run directory but a folder" in refused(capsys, "--resume", str(tmp_path))


def test_a_resumed_run_keeps_its_settings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    saved = resolve(TrainConfig(map="3m", seed=3, learning_rate=1e-3, run_dir=tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"config": saved.to_dict()}))
    assert load_config(tmp_path) == saved
    asked = TrainConfig(map="3m", seed=3, learning_rate=1e-3, steps=5, resume=tmp_path)
    check_resumed(saved, resolve(asked))
    assert "--seed was 3, now 4" in refused(capsys, "--resume", str(tmp_path), "--seed", "4")
    (tmp_path / "replay").mkdir()
    assert "no checkpoint" in refused(capsys, "--resume", str(tmp_path))


def test_settings_of_another_version_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"config": {"map": "3m", "warp": 9}}))
    assert "warp" in refused(capsys, "--resume", str(tmp_path))


def within(inner: Any) -> Any:
    """Lists and dictionaries of such values."""
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)


PLAIN: Any = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
# Not `st.recursive`: it reads the source of a function on the disk when the test runs, and warns that the
# function does not use its argument where somebody has edited the file since its import.
ODD: Any = PLAIN | within(PLAIN | within(PLAIN | within(PLAIN)))
SETTING = st.sampled_from([field.name for field in fields(TrainConfig)])


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=ODD | st.fixed_dictionaries({"config": ODD | st.dictionaries(SETTING, ODD, max_size=3)}))
def test_whatever_stands_in_the_settings_file_is_refused_in_one_sentence_or_used(
    tmp_path: Path, data: object
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(data))
    with contextlib.suppress(InputError):
        config = load_config(tmp_path)
        assert resolve(config) == config


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"config": {}, "backend": 3}', b"9" * 5000]
)
def test_what_is_no_settings_file_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "config.json").write_bytes(content)
    assert "config.json cannot be" in refused(capsys, "--resume", str(tmp_path))


def test_a_settings_file_that_is_a_pipe_is_not_waited_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "config.json")
    assert "no regular file" in refused(capsys, "--resume", str(tmp_path))


def test_the_module_of_a_map_is_imported_only_where_the_command_line_names_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planted.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    run_dir = tmp_path / "a run"
    run_dir.mkdir()
    saved = resolve(TrainConfig(map="pettingzoo:planted", env="sim", run_dir=run_dir))
    (run_dir / "config.json").write_text(json.dumps({"config": saved.to_dict(), "backend": "sim"}))
    assert "say --map pettingzoo:planted as well" in refused(capsys, "--resume", str(run_dir))
    with pytest.raises(InputError, match="say --map pettingzoo:planted as well"):
        resume(run_dir)
    assert "--map was pettingzoo:planted, now 3m" in refused(capsys, "--resume", str(run_dir), "--map", "3m")
    named = refused(capsys, "--resume", str(run_dir), "--map", "pettingzoo:planted")
    assert "the module 'planted' cannot be imported: SystemExit: imported" in named
    assert resume_words(run_dir, saved.map) == f"--resume '{run_dir}' --map pettingzoo:planted"


WANDERS = """
import os
from tests.envs.support.quirky import Plain

class Wanders(Plain):
    def reset(self, seed=None, options=None):
        os.chdir(os.environ["WANDERS_TO"])
        return super().reset(seed, options)

def parallel_env():
    os.chdir(os.environ["WANDERS_TO"])
    return Wanders()
"""
TINY = (
    "--steps", "24", "--envs", "2", "--eval-episodes", "1", "--eval-interval-steps", "12",
    "--batch-episodes", "2", "--replay-memory", "0", "--env", "sim", "--threads", "1",
)  # fmt: skip


def test_a_run_stays_in_its_directory_wherever_its_environment_goes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what it prints of a directory whose name has two lines is one line, for a shell to be pasted."""
    (tmp_path / "wanders.py").write_text(WANDERS)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("WANDERS_TO", str(elsewhere))
    monkeypatch.syspath_prepend(str(tmp_path))
    name = "a\nrun"
    for words in (["--run-dir", name, *TINY], ["--resume", name, "--steps", "36"]):
        monkeypatch.chdir(tmp_path)
        assert main([*words, "--map", "pettingzoo:wanders"]) == 0
        printed = capsys.readouterr().out
        assert f"writing to {tmp_path}/a\\nrun" in printed
        assert f"checkpoint: {tmp_path}/a\\nrun/run.pt" in printed
    assert list(elsewhere.iterdir()) == []
    assert load_checkpoint(tmp_path / name).env_steps == 36
    assert resume_words(Path("it's\n\x1b\\"), "3m") == r"--resume $'it\'s\x0a\x1b\\'"


def test_a_run_stays_on_its_backend_whatever_is_installed_later(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SC2PATH", raising=False)
    plan = plan_run(TrainConfig(map="3m", run_dir=tmp_path / "run"))
    assert (plan.backend, plan.config.env) == ("sim", "sim")
    asked_auto = plan.config.to_dict() | {"env": "auto"}  # as it was saved at first
    for config in (plan.config.to_dict(), asked_auto):
        plan.run_dir.mkdir(exist_ok=True)
        (plan.run_dir / "config.json").write_text(json.dumps({"config": config, "backend": "sim"}))
        monkeypatch.setattr("envs.make.has_sc2_game", lambda root: True)
        monkeypatch.setenv("SC2PATH", str(tmp_path))
        for words in ({}, {"env": "auto"}, {"env": "sim"}):
            again = plan_run(continued(plan.run_dir, **words))
            assert (again.backend, again.config.env) == ("sim", "sim")
        with pytest.raises(InputError, match="--env was sim, now sc2"):
            plan_run(continued(plan.run_dir, env="sc2"))
        assert saved_backend(tmp_path) == "sim"  # so does a sweep
    live = plan.config.to_dict() | {"env": "sc2"}
    (plan.run_dir / "config.json").write_text(json.dumps({"config": live, "backend": "sc2"}))
    monkeypatch.setattr("trainer.runs.plan.has_sc2_game", lambda root: False)
    error = refused(capsys, "--resume", str(plan.run_dir))
    assert "was trained on the live game through pysc2 and goes on there only" in error
    assert "set SC2PATH" in error


def test_a_run_from_before_there_were_other_networks_stays_flat(tmp_path: Path) -> None:
    plan = plan_run(TrainConfig(map="3m", preset="fast", run_dir=tmp_path / "run"))
    assert plan.config.network == "entity"
    older = plan.config.to_dict()
    del older["network"]
    plan.run_dir.mkdir()
    (plan.run_dir / "config.json").write_text(json.dumps({"config": older, "backend": "sim"}))
    assert plan_run(continued(plan.run_dir)).config.network == "flat"
    with pytest.raises(InputError, match="--network was flat, now entity"):
        plan_run(continued(plan.run_dir, network="entity"))


def test_a_run_of_other_rules_is_neither_gone_on_with_nor_evaluated(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run_dir, words = tmp_path / "run", [*TINY, "--map", "3m"]
    assert main([*words, "--run-dir", str(run_dir)]) == 0
    file = run_dir / "config.json"
    data = json.loads(file.read_text())
    assert data.pop("rules") == RULES_VERSION > 1
    for older in (data, data | {"rules": 1}):  # the oldest do not say it
        file.write_text(json.dumps(older))
        told = f"begun by version 1 of the simulator's rules, and here they are of version {RULES_VERSION}"
        assert told in refused(capsys, "--resume", str(run_dir), "--steps", "48")
        assert evaluate_main(["--absolute", str(run_dir)]) == 2
        assert told in capsys.readouterr().err
        assert json.loads(file.read_text()) == older
    file.write_text(json.dumps(data | {"rules": "1"}))
    assert "its rules is '1'" in refused(capsys, "--resume", str(run_dir))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            "--algorithm qmix --value-input state",
            "--value-input would change nothing: qmix has no",
        ),
        (
            "--algorithm vdn --no-value-gradient-to-gru",
            "--value-gradient-to-gru would change nothing: vdn has no",
        ),
        ("--value-input state --no-value-gradient-to-gru", "the value does not read the GRU"),
        ("--algorithm vdn --grad-norm each", "vdn trains one network alone"),
        ("--preset fast --target-update-interval 5", "targets follow by --target-tau 0.01"),
        ("--target-tau 0.5 --target-update-interval 5", "targets follow by --target-tau 0.5"),
        ("--ray-address bogus:1", "it is for --rollout-workers"),
    ],
)
def test_a_setting_that_would_change_nothing_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: str, reason: str
) -> None:
    assert reason in refused(capsys, "--map", "3m", "--run-dir", str(tmp_path / "run"), *words.split())
    assert list(tmp_path.iterdir()) == []


def test_a_flag_that_would_change_nothing_is_refused_on_resume_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = str(tmp_path / "run")
    assert main([*TINY, "--map", "spread:2", "--run-dir", run]) == 0
    capsys.readouterr()
    assert "it is for --rollout-workers" in refused(capsys, "--resume", run, "--ray-address", "auto")


def test_files_of_two_runs_in_one_directory_are_not_gone_on_with(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = [*TINY, "--map", "spread:2"]
    for seed in ("0", "1"):
        assert main([*words, "--seed", seed, "--run-dir", str(tmp_path / seed)]) == 0
    capsys.readouterr()
    (tmp_path / "0" / "run.pt").write_bytes((tmp_path / "1" / "run.pt").read_bytes())
    error = refused(capsys, "--resume", str(tmp_path / "0"), "--steps", "48")
    assert "are of different runs (--seed was 1, now 0): put back" in error
    elsewhere = refused(capsys, "--resume", str(tmp_path / "1"), "--run-dir", str(tmp_path / "2"))
    assert f"the run goes on in {tmp_path / '1'}; leave it out" in elsewhere
    file = tmp_path / "1" / "config.json"
    data = json.loads(file.read_text())
    file.write_text(json.dumps(data | {"config": data["config"] | {"map": ""}}))
    assert "names no map" in refused(capsys, "--resume", str(tmp_path / "1"))
