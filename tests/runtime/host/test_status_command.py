from __future__ import annotations

from pathlib import Path

from tests.runtime.support.processes import free_ports, run, started


def test_status_shows_a_team_and_fails_when_it_is_none(model_file: Path) -> None:
    port = free_ports(4)
    with started(
        "agents", "--model", model_file, "--agents", "0-2", "--listen", f"127.0.0.1:{port}",
        until="3 agents serve",
    ):  # fmt: skip
        done = run("status", "--agents", f"127.0.0.1:{port}-{port + 2}")
        assert done.returncode == 0
        assert done.stdout.count(" tag ") == 3
        assert "3 agents answer, all of one team" in done.stdout
        with started(
            "agent", "--model", model_file, "--agent-id", 1, "--listen", f"127.0.0.1:{port + 3}",
            until="agent 1 serves",
        ):  # fmt: skip
            again = run("status", "--agents", f"127.0.0.1:{port}-{port + 3}")
            assert again.returncode == 1
            assert "agent 1 is there twice" in again.stdout
    done = run("status", "--agents", f"127.0.0.1:{port},127.0.0.1:{port + 1}")
    assert done.returncode == 1
    assert done.stdout.count("is there one running?") == 2
    assert "2 of 2 do not answer" in done.stdout
