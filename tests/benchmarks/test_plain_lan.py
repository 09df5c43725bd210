"""LAN on one page computes what the fast learner computes, update after update."""

import subprocess
import sys

import pytest
import torch

from benchmarks import plain_lan
from benchmarks.learner import random_episodes
from benchmarks.plain_lan import Lan, lan_loss, pad
from envs.types import EnvSpec
from tests.paths import ROOT
from tests.trainer.support.learning import pack, settings
from trainer.learning.lan import LanLearner
from trainer.replay.episode import Episode

SPEC = EnvSpec(name="toy", n_agents=3, n_actions=5, obs_dim=7, state_dim=4, unit_dim=2, episode_limit=9)


def as_on_the_page(episode: Episode) -> plain_lan.Episode:
    """The same episode in the page's words; a time-out ends it too."""
    return plain_lan.Episode(*(getattr(episode, name) for name in plain_lan.Episode._fields))


def test_updates_equal_the_fast_learners() -> None:
    torch.manual_seed(4)
    told = settings(target_update_interval=2)
    fast = LanLearner(SPEC, told, torch.device("cpu"))
    online, target = Lan(SPEC), Lan(SPEC)
    for page in (online, target):
        page.advantage.load_state_dict(fast.advantage.state_dict())
        page.value.load_state_dict(fast.value.state_dict())
    optimizer = torch.optim.Adam(online.parameters(), told.learning_rate)
    for update in range(1, 6):
        episodes = random_episodes(SPEC, [4, 9, 1, 6, 9 - update])
        found = fast.update(pack(episodes, SPEC.n_actions))
        loss = lan_loss(online, target, pad([as_on_the_page(e) for e in episodes]), told.gamma)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(online.parameters(), told.grad_norm_clip)
        assert float(found["loss"]) == pytest.approx(loss.item(), rel=1e-5)
        assert float(found["grad_norm"]) == pytest.approx(float(norm), rel=1e-4)
        for name, module in (("advantage", online.advantage), ("value", online.value)):
            theirs = dict(fast.parts[name].named_parameters())
            for key, parameter in module.named_parameters():
                torch.testing.assert_close(theirs[key].grad, parameter.grad, rtol=1e-4, atol=1e-6)
        optimizer.step()
        if update % told.target_update_interval == 0:
            target.load_state_dict(online.state_dict())


def test_the_page_learns_and_evaluates() -> None:
    words = "--map 3m --steps 700 --batch-episodes 4 --eval-interval-steps 300 --eval-episodes 2"
    command = [sys.executable, "-m", "benchmarks.plain_lan", *words.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all("win rate" in line for line in lines)
    assert " 0 updates" not in lines[-1]
