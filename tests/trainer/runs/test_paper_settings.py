"""The paper's settings give what they gave before there were presets and lambda-returns (commit 841eafa)."""

import json
from pathlib import Path

import pytest

from trainer import TrainConfig, train

RECORDED = Path(__file__).with_name("paper_settings.jsonl")


def test_the_papers_settings_give_the_recorded_run(tmp_path: Path) -> None:
    """Battles and actions are the same; losses to six digits, since processors round in different ways.

    Recorded by this same call at that commit.
    """
    config = TrainConfig(
        map="3m", env="sim", algorithm="lan", steps=1_500, threads=1, seed=3, run_dir=tmp_path / "run",
        log_interval_steps=200, eval_interval_steps=1_000, eval_episodes=4,
    )  # fmt: skip
    result = train(config)
    lines = (result.run_dir / "metrics.jsonl").read_text().splitlines()
    recorded = [json.loads(line) for line in RECORDED.read_text().splitlines()]
    assert recorded[-1]["updates"] == 80, "it must learn, or it would show nothing"
    for line, expected in zip(lines, recorded, strict=True):
        record = {name: value for name, value in json.loads(line).items() if not name.startswith("wall_")}
        record.pop("battles", None)  # evaluations keep them since
        assert list(record) == list(expected)
        for name in ("kind", "env_steps", "episodes", "updates", "win_rate", "episode_length_steps"):
            assert record.pop(name) == expected.pop(name)
        assert record == pytest.approx(expected, rel=1e-5, abs=1e-8)
