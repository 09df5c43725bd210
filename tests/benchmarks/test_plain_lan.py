"""The plain learner that curves are compared with computes what LAN's learner computes, padding and all."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.learner import random_episodes
from benchmarks.plain_lan import PlainLanLearner
from envs.types import EnvSpec
from tests.paths import ROOT
from tests.trainer.support.learning import pack, settings
from trainer.learning.lan import LanLearner
from trainer.runs.metrics import read_metrics

SPEC = EnvSpec(name="toy", n_agents=3, n_actions=5, obs_dim=7, state_dim=4, unit_dim=2, episode_limit=9)


@pytest.mark.parametrize("subtract_mean", [False, True])
@pytest.mark.parametrize("value_gradient_to_gru", [False, True])
def test_the_plain_update_is_the_same_update(subtract_mean: bool, value_gradient_to_gru: bool) -> None:
    batch = pack(random_episodes(SPEC, [4, 9, 1, 6, 9]), SPEC.n_actions)
    told = settings(value_gradient_to_gru=value_gradient_to_gru)
    updated = []
    for kind in (LanLearner, PlainLanLearner):
        torch.manual_seed(4)
        learner = kind(SPEC, told, torch.device("cpu"), subtract_mean=subtract_mean)
        for target in learner.targets.values():  # targets that differ from the online networks
            for parameter in target.parameters():
                parameter.data += 0.1 * torch.randn_like(parameter)
        updated.append((learner.update(batch), [p.grad.clone() for p in learner.parameters]))
    (fast, fast_gradients), (plain, plain_gradients) = updated
    for name in ("loss", "grad_norm", "q_taken_mean"):
        assert float(fast[name]) == pytest.approx(float(plain[name]), rel=1e-5)
    for gradient, reference in zip(fast_gradients, plain_gradients, strict=True):
        scale = float(np.abs(reference.numpy()).max())
        torch.testing.assert_close(gradient, reference, rtol=1e-4, atol=1e-5 * scale)


def test_a_plain_run_has_a_name_of_its_own_and_learns(tmp_path: Path) -> None:
    words = f"--map 3m --env sim --steps 300 --threads 1 --batch-episodes 4 --run-dir {tmp_path / 'run'}"
    command = [sys.executable, "-m", "benchmarks.plain_lan", *words.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["algorithm"] == "lan-plain"
    assert read_metrics(tmp_path / "run")[-1]["updates"] > 0
