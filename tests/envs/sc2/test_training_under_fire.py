"""`lan-train --env sc2` whose games are killed at random moments: it ends with whole episodes, and alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from envs.battle.env import BattleEnv
from envs.sc2.client import _process_type, game_seed
from envs.sc2.descriptors import sc2_protocol
from envs.sc2.env import LiveBattle
from envs.sc2.failures import Failures
from envs.smac.maps import load_map
from trainer.cli import main as train
from trainer.replay.episode import StoredEpisode
from trainer.replay.segments import read_segment
from trainer.runs.checkpoint import load_checkpoint

SEED = 14
KILLS = 50
STEPS = 6_000
EVAL_INTERVAL = 1_500
MAX_BATTLES_OF_ONE_GAME = 400


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Killer:
    """Kills games with SIGKILL at random moments: some while they start, some in, after or between battles.

    At most three in a row without a battle played to its end, for five stop a run, as they should.
    """

    def __init__(self) -> None:
        self.rng = np.random.default_rng(SEED)
        self.ports: dict[int, int] = {}  # of every game that was started, by process id
        self.killed: list[int] = []
        self.aimed_at: set[int] = set()
        self.in_a_row = 0

    def game_started(self, pid: int, port: int) -> None:
        self.ports[pid] = port
        self.maybe_aim(pid, 0.2, within_s=3.0)

    def battle_began(self, pid: int) -> None:
        self.maybe_aim(pid, 0.35, within_s=0.3)

    def battle_ended(self) -> None:
        self.in_a_row = 0

    def maybe_aim(self, pid: int, probability: float, within_s: float) -> None:
        hits, after_s = self.rng.random() < probability, self.rng.uniform(0.0, within_s)
        if hits and pid not in self.aimed_at and self.in_a_row < 3 and len(self.aimed_at) < KILLS:
            self.aimed_at.add(pid)
            self.in_a_row += 1
            timer = threading.Timer(after_s, self.kill, [pid])
            timer.daemon = True
            timer.start()

    def kill(self, pid: int) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).ppid() == os.getpid():  # nobody else has its number by now
                os.kill(pid, signal.SIGKILL)
                self.killed.append(pid)

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have the games of this process noted as they start, begin battles and end them."""
        sc2_protocol()  # before pysc2 is imported
        kind = _process_type()
        launch, begin, forget = kind._launch, LiveBattle.begin, Failures.forget

        def noted_launch(process: Any, config: Any, args: list[str], **more: Any) -> Any:
            started = launch(process, config, args, **more)
            self.game_started(started.pid, int(args[args.index("-port") + 1]))
            return started

        def noted_begin(battle: LiveBattle) -> None:
            begin(battle)
            assert battle.pid is not None
            self.battle_began(battle.pid)

        def noted_forget(failures: Failures) -> None:
            forget(failures)
            self.battle_ended()

        monkeypatch.setattr(kind, "_launch", noted_launch)
        monkeypatch.setattr(LiveBattle, "begin", noted_begin)
        monkeypatch.setattr(Failures, "forget", noted_forget)


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


def evaluations(episodes: list[StoredEpisode]) -> list[int]:
    """At which steps a run of these episodes evaluates: at 0, past every interval, and at its end."""
    ends = np.cumsum([0, *(episode.length for episode in episodes)])
    crossed = [int(ends[np.argmax(ends >= at)]) for at in range(0, int(ends[-1]) + 1, EVAL_INTERVAL)]
    return sorted({*crossed, int(ends[-1])})


@pytest.mark.slow
def test_training_survives_fifty_killed_games(
    sc2_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", None)
    portpicker: Any = pytest.importorskip("portpicker")
    ports_before = set(portpicker._random_ports)
    run_dir, killer = tmp_path / "run", Killer()
    killer.watch(monkeypatch)
    words = f"--map 3m --env sc2 --envs 1 --seed {SEED} --steps {STEPS} --run-dir {run_dir}".split()
    words += f"--eval-interval-steps {EVAL_INTERVAL} --eval-episodes 2 --batch-episodes 8".split()
    assert train(words) == 0
    assert len(killer.killed) == len(set(killer.killed)) == KILLS

    checkpoint = load_checkpoint(run_dir)
    episodes = [e for path in sorted((run_dir / "replay").iterdir()) for e in read_segment(path)]
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert len(episodes) == checkpoint.episodes == lines[-1]["episodes"]
    assert sum(episode.length for episode in episodes) == checkpoint.env_steps >= STEPS
    assert checkpoint.env_steps - episodes[-1].length < STEPS
    assert [line["env_steps"] for line in lines if line["kind"] == "evaluation"] == evaluations(episodes)
    assert checkpoint.updates == 2 * (len(episodes) - 7)  # LAN's two for every episode from the 8th on
    print(f"{len(episodes)} episodes, {checkpoint.env_steps} steps, {len(killer.ports)} games")
    assert_are_simulated_battles(episodes, launches=2 * KILLS)

    assert not psutil.Process().children()
    for pid, port in killer.ports.items():
        assert not psutil.pid_exists(pid), f"game {pid} is still there"
        assert not listens(port), f"somebody still listens on port {port}"
        with socket.create_server(("127.0.0.1", port)):
            pass
    assert set(portpicker._random_ports) == ports_before  # pysc2 gave back every port that it had picked
    assert not list((tmp_path / "temporary").glob("sc*"))  # logs and folders of the games
