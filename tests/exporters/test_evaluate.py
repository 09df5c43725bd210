"""lan-eval: the same battles by torch and by onnxruntime, and how their outcomes are counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.checkers import DOWN, LEFT, SPEC, STAY, CheckersEnv
from envs.spread import SpreadEnv, SpreadSettings
from envs.types import BoolArray, FloatArray, IntArray
from exporters.evaluate import main
from exporters.export import main as export
from exporters.play import PolicyTeam, play
from trainer.networks import advantage_net
from trainer.rollout import evaluate as trainer_evaluate

Write = Callable[..., Path]


class Scripted:
    """Agents that follow a list of actions each, counting the steps in their memory."""

    def __init__(self, actions: list[list[int]]) -> None:
        self.actions = np.array(actions)  # [N, T]

    def initial_hidden(self, n_rows: int) -> FloatArray:
        return np.zeros((n_rows, 1), np.float32)

    def step(
        self,
        obs: FloatArray,
        last_action: IntArray,
        agent_id: IntArray,
        avail_actions: BoolArray,
        hidden: FloatArray,
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        t = hidden[:, 0].astype(int)
        before = np.where(t > 0, self.actions[agent_id, t - 1], -1)
        np.testing.assert_array_equal(last_action, before)
        return self.actions[agent_id, t], np.zeros(avail_actions.shape, np.float32), hidden + 1


def evaluate(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    """The JSON object that lan-eval prints."""
    capsys.readouterr()
    assert main([*argv, "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_checkpoint_and_model_file_play_the_same_battles(
    write_checkpoint: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = SpreadEnv(SpreadSettings(3)).spec
    ckpt, out = (
        write_checkpoint(spec=spec, learner={"advantage": advantage_net(spec).state_dict()}),
        tmp_path / "a",
    )
    assert export(["--ckpt", str(ckpt), "--out", str(out)]) == 0
    flags = ["--episodes", "11", "--seed", "4"]
    by_torch = evaluate(capsys, "--ckpt", str(ckpt), *flags)
    by_onnx = evaluate(capsys, "--model", str(out), *flags)
    assert (by_torch.pop("player"), by_onnx.pop("player")) == ("torch", "onnxruntime")
    assert by_torch == by_onnx
    assert (by_torch["episodes"], by_torch["episode_steps_mean"], by_torch["map"]) == (11, 25, "spread:3")
    other = evaluate(capsys, "--model", str(out), "--episodes", "11", "--seed", "5")
    assert other["return_mean"] != by_torch["return_mean"]


def test_evaluation_plays_what_the_trainer_plays() -> None:
    """Episode by episode, though slots are filled one by one here and all at once there."""
    import torch

    from exporters.torch_policy import TorchPolicy

    settings = SpreadSettings(n_agents=2)
    torch.manual_seed(1)
    net = advantage_net(SpreadEnv(settings).spec)
    ours = play(SpreadEnv(settings, n_battles=3, seed=9), lambda: PolicyTeam(TorchPolicy(net), 3, 2), 7)
    theirs = trainer_evaluate(SpreadEnv(settings, n_battles=4, seed=9), net, 7)
    assert [episode.length_steps for episode in ours] == [episode.length_steps for episode in theirs]
    np.testing.assert_allclose(
        [episode.episode_return for episode in ours],
        [episode.episode_return for episode in theirs],
        rtol=1e-5,
    )


def test_returns_lengths_and_memories_are_the_episodes_own() -> None:
    """Seven episodes on three slots: every one starts with a fresh memory and no last action."""
    actions = [[DOWN, LEFT] + [STAY] * 98, [STAY] * 50 + [LEFT] + [STAY] * 49]
    stats = play(CheckersEnv(n_battles=3), lambda: PolicyTeam(Scripted(actions), 3, 2), 7)
    assert [(episode.episode_return, episode.length_steps, episode.won) for episode in stats] == [
        (10.0 - 1.0, 100, False)
    ] * 7


def test_exploration_takes_other_actions_at_its_rate() -> None:
    """With the same seed the same ones; without a generator it is refused."""
    actions = [[STAY] * 100, [STAY] * 100]

    def moves(epsilon: float, seed: int) -> float:
        team = PolicyTeam(Scripted(actions), 4, 2, epsilon=epsilon, rng=np.random.default_rng(seed))
        team.policy.step = lambda *x: (np.zeros(len(x[0]), np.int64), None, x[-1])  # type: ignore[method-assign]
        env = CheckersEnv(n_battles=4)
        step, taken = env.reset(), []
        while not step.done.all():
            taken.append(team(step).copy())
            step = env.step(taken[-1])
        return float(np.mean(np.stack(taken) != STAY))

    assert moves(0.5, seed=0) == moves(0.5, seed=0)
    assert moves(0.5, seed=0) == pytest.approx(0.5 * 4 / 5, abs=0.05)
    with pytest.raises(ValueError, match="random generator"):
        PolicyTeam(Scripted(actions), 1, 2, epsilon=0.5)


def test_scripted_teams_play_maps(capsys: pytest.CaptureFixture[str]) -> None:
    """Shooting what is near wins 3m sometimes, acting at random hardly ever; a seed repeats itself."""
    flags = ["--map", "3m", "--episodes", "40", "--seed", "3"]
    random, nearest = (evaluate(capsys, "--team", name, *flags) for name in ("random", "nearest"))
    assert (random["map"], random["player"], random["backend"]) == ("3m", "team random", "sim")
    assert random["win_rate"] < 0.1 < nearest["win_rate"]
    assert evaluate(capsys, "--team", "random", *flags) == random


def test_lines_for_people_say_the_same(write_checkpoint: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--ckpt", str(write_checkpoint()), "--episodes", "2"]) == 0
    text = capsys.readouterr().out
    assert "checkers (sim), torch: 2 battles, seed 0" in text
    assert "win rate  0.0% (0 of 2; 95 % interval 0.0% to" in text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "one of --ckpt FILE, --model FILE, or --team"),
        (["--ckpt", "a", "--model", "b"], "one of --ckpt FILE, --model FILE, or --team"),
        (["--ckpt", "missing.pt"], "no checkpoint at missing.pt"),
        (["--model", "missing.onnx"], "missing.onnx"),
        (["--team", "nearest", "--ckpt", "run"], "one of"),
        (["--team", "nearest"], "--map 3m"),
        (["--team", "neerest", "--map", "3m"], "did you mean 'nearest'"),
        (["--team", "nearest", "--map", "3mm"], "did you mean '3m'"),
        (["--team", "nearest", "--map", "checkers"], "SMAC's maps"),
        (["--ckpt", "run", "--episodes", "0"], "--episodes"),
        (["--ckpt", "run", "--seed", "-1"], "--seed"),
        (["--ckpt", "run", "--map", "3m"], "made for checkers"),
        (["--ckpt", "run", "--env", "sc2"], "no StarCraft II map"),
    ],
)
def test_bad_input_is_one_clear_line(
    flags: list[str],
    said: str,
    write_checkpoint: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_checkpoint()
    monkeypatch.chdir(tmp_path)
    assert main(flags) == 2
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert line.startswith("lan-eval: error: ")
    assert said in line


def test_a_checkpoint_of_checkers_has_its_spec() -> None:
    assert CheckersEnv().spec == SPEC
