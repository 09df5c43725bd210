"""`lan-train --env sc2` whose games are killed at random moments: it ends with whole episodes, and alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest

from envs.battle.env import BattleEnv
from envs.sc2.env import LiveBattle
from envs.sc2.game import game_seed
from envs.smac.maps import load_map
from trainer.checkpoint import load_checkpoint
from trainer.cli import main as train
from trainer.replay import StoredEpisode
from trainer.segments import read_segment

SEED = 14
KILLS = 50
STEPS = 12_000
MAX_BATTLES_OF_ONE_GAME = 1200


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Killer(threading.Thread):
    """Kills this process's games with SIGKILL: every fifth at any moment, its start included, the others
    in or after their second to sixth battle."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.battles: Counter[int] = Counter()  # begun, by the game's process id
        self.ports: dict[int, int] = {}  # of every game that was seen, by process id
        self.killed: list[int] = []
        self.stop = threading.Event()

    def run(self) -> None:
        rng = np.random.default_rng(SEED)
        while len(self.killed) < KILLS and not self.stop.is_set():
            wanted = 0 if len(self.killed) % 5 == 4 else int(rng.integers(2, 7))
            while not (able := [pid for pid in self.games() if self.battles[pid] >= wanted]):
                if self.stop.wait(0.005):
                    return
            self.stop.wait(rng.uniform(0.0, 0.05 if wanted else 2.0))
            with contextlib.suppress(ProcessLookupError):
                os.kill(able[-1], signal.SIGKILL)
                self.killed.append(able[-1])
        while not self.stop.wait(0.2):
            self.games()  # those that follow have ports as well

    def games(self) -> list[int]:
        """Those that run and were not killed."""
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                words = child.cmdline()
                if "envs.sc2api.game" in words:
                    self.ports.setdefault(child.pid, int(words[words.index("-port") + 1]))
        alive = [pid for pid in self.ports if pid not in self.killed]
        return [pid for pid in alive if psutil.pid_exists(pid)]


def assert_are_simulated_battles(episodes: list[StoredEpisode], launches: int) -> None:
    """Every episode is, step by step, a battle of one of the games; no battle occurs twice."""
    smac_map = load_map("3m")
    begins = []
    for launch in range(launches):
        env = BattleEnv(smac_map, n_battles=MAX_BATTLES_OF_ONE_GAME, seed=game_seed(SEED, 0, launch))
        begins.append(env.reset().obs.reshape(MAX_BATTLES_OF_ONE_GAME, -1))
    seen = set()
    for episode in episodes:
        first = episode.obs[0].reshape(-1)
        launch, number = next(
            (launch, int(distance.argmin()))
            for launch, known in enumerate(begins)
            if (distance := np.abs(known - first).max(1)).min() <= 1e-6
        )
        seen.add((launch, number))
        env = BattleEnv(smac_map, seed=game_seed(SEED, 0, launch))
        env.next_episode = number
        step = env.reset()
        for t, actions in enumerate(episode.action):
            assert not step.done[0]
            np.testing.assert_allclose(episode.obs[t], step.obs[0], rtol=0, atol=1e-6)
            np.testing.assert_allclose(episode.state[t], step.state[0], rtol=0, atol=1e-6)
            step = env.step(actions[None].astype(np.int64))
            assert episode.reward[t] == pytest.approx(step.reward[0], abs=1e-6)
        np.testing.assert_allclose(episode.obs[-1], step.obs[0], rtol=0, atol=1e-6)
        ends = bool(step.terminated[0]), bool(step.truncated[0]), bool(step.won[0])
        assert step.done[0]
        assert ends == (episode.terminated, episode.truncated, episode.won)
    assert len(seen) == len(episodes)


@pytest.mark.slow
def test_training_survives_fifty_killed_games(
    sc2_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir, killer, begin = tmp_path / "run", Killer(), LiveBattle.begin

    def noted(battle: LiveBattle) -> None:
        begin(battle)
        assert battle.pid is not None
        killer.battles[battle.pid] += 1

    monkeypatch.setattr(LiveBattle, "begin", noted)
    words = [
        "--map",
        "3m",
        "--env",
        "sc2",
        "--envs",
        1,
        "--seed",
        SEED,
        "--steps",
        STEPS,
        "--run-dir",
        run_dir,
    ]
    words += ["--eval-interval-steps", 1_000_000, "--eval-episodes", 2, "--batch-episodes", 8]
    killer.start()
    try:
        assert train(list(map(str, words))) == 0
    finally:
        killer.stop.set()
        killer.join(10)
    assert len(killer.killed) == len(set(killer.killed)) == KILLS

    checkpoint = load_checkpoint(run_dir)
    episodes = [e for path in sorted((run_dir / "replay").iterdir()) for e in read_segment(path)]
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert len(episodes) == checkpoint.episodes == lines[-1]["episodes"]
    assert sum(episode.length for episode in episodes) == checkpoint.env_steps >= STEPS
    assert checkpoint.env_steps - episodes[-1].length < STEPS
    print(f"{len(episodes)} episodes, {checkpoint.env_steps} steps, {len(killer.ports)} games")
    assert_are_simulated_battles(episodes, launches=2 * KILLS)

    assert not psutil.Process().children()
    for pid, port in killer.ports.items():
        assert not psutil.pid_exists(pid), f"game {pid} is still there"
        assert not listens(port), f"somebody still listens on port {port}"
        with socket.create_server(("127.0.0.1", port)):
            pass
