"""lan-eval --dataset: the battles as they were played, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from envs.make import make_env
from exporters.evaluate import main
from trainer.replay.dataset import open_dataset


@pytest.mark.parametrize(("name", "episodes"), [("3m", 37), ("MMM", 3)])
def test_the_steps_are_those_of_the_battles(name: str, episodes: int, tmp_path: Path) -> None:
    """Played again with the actions of the file, a new environment shows the file's content, bit for bit."""
    path = tmp_path / "battles.npz"
    words = ["--team", "random", "--map", name, "--episodes", str(episodes), "--seed", "6"]
    words += ["--dataset", str(path)]
    assert main(words) == 0
    with open_dataset(path) as dataset, make_env(name, "sim", seed=6) as env:
        assert (dataset.spec, dataset.about["seed"], dataset.about["player"]) == (env.spec, 6, "team random")
        played = list(dataset.episodes())
        assert len(played) == episodes
        for episode in played:
            step = env.reset()
            for t in range(episode.length):
                np.testing.assert_array_equal(step.obs[0], episode.obs[t])
                np.testing.assert_array_equal(step.state[0], episode.state[t])
                np.testing.assert_array_equal(step.avail_actions[0], episode.avail_actions[t])
                assert not step.done[0]
                step = env.step(episode.action[t][None])
                assert step.reward[0] == episode.reward[t]
            np.testing.assert_array_equal(step.obs[0], episode.obs[-1])
            np.testing.assert_array_equal(step.state[0], episode.state[-1])
            ends = bool(step.terminated[0]), bool(step.truncated[0]), bool(step.won[0])
            assert ends == (episode.terminated, episode.truncated, episode.won)


def test_a_page_and_the_data_can_be_written_together(tmp_path: Path) -> None:
    page, data = tmp_path / "battles.html", tmp_path / "battles.npz"
    words = ["--team", "nearest", "--map", "3m", "--episodes", "2", "--record", str(page)]
    words += ["--dataset", str(data)]
    assert main(words) == 0
    assert page.stat().st_size > 10_000
    with open_dataset(data) as dataset:
        assert len(list(dataset.episodes())) == 2


def test_a_full_disk_costs_the_file_and_not_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**options: object) -> object:
        return Path("/dev/full").open("r+b", buffering=64)

    monkeypatch.setattr("trainer.replay.dataset.tempfile.TemporaryFile", full)
    path = tmp_path / "battles.npz"
    words = ["--team", "random", "--map", "3m", "--episodes", "2", "--seed", "6"]
    assert main([*words, "--dataset", str(path)]) == 2
    captured = capsys.readouterr()
    assert "team random: 2 battles, seed 6" in captured.out
    assert captured.err == f"lan-eval: error: cannot write {path}: No space left on device\n"


def test_what_cannot_be_written_is_refused_before_any_battle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there.npz").write_text("precious")
    (tmp_path / "link.npz").symlink_to("nowhere")
    for name, team, problem in (
        ("there.npz", "random", "there.npz exists; name another file"),
        ("link.npz", "random", "link.npz exists; name another file"),
        ("battles.h5", "random", "battles are written as NAME.npz"),
        ("no/battles.npz", "random", "there is no directory"),
        ("new.npz", "heuristic", "team heuristic attacks at any distance, which no agent can"),
    ):
        words = ["--team", team, "--map", "3m", "--episodes", "1", "--dataset", str(tmp_path / name)]
        assert main(words) == 2
        captured = capsys.readouterr()
        assert problem in captured.err
        assert captured.out == ""
    assert (tmp_path / "there.npz").read_text() == "precious"
    assert not (tmp_path / "new.npz").exists()
