"""The benchmark of whole runs measures a real run, and its parts fit into the whole."""

from pathlib import Path

import pytest

from benchmarks.training import BenchmarkConfig, measure


@pytest.mark.slow
@pytest.mark.parametrize("overlap", ["off", "on"])
def test_a_run_is_measured_in_parts_that_fit_into_the_whole(tmp_path: Path, overlap: str) -> None:
    result = measure(BenchmarkConfig(map="3m", steps=1_500, seed=1, overlap=overlap), tmp_path / "run")  # type: ignore[arg-type]
    parts = result["parts_s"]
    beside = parts.pop("simulating_beside", 0.0)
    assert 0.9 * result["wall_s"] < sum(parts.values()) < 1.1 * result["wall_s"]
    assert (beside > 0) == (overlap == "on")
    assert result["steps"] >= 1_500
    assert result["updates"] == 2 * (
        result["episodes"] - 24
    )  # rounds of 8; the first update with 32 episodes
    assert 0 < result["replay_mb"] < result["peak_memory_mb"]
    assert result["projected_2m_steps_h"] > 0
