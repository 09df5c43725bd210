from __future__ import annotations

from pathlib import Path

from tests.runtime.support.processes import free_ports, run, started


def test_status_shows_who_answers_and_fails_when_somebody_does_not(model_file: Path) -> None:
    port = free_ports(3)
    flags = ["--agents", "0-2", "--listen", f"127.0.0.1:{port}"]
    with started(
        "agents", "--model", model_file, "--agents", "0-2", "--listen", f"127.0.0.1:{port}",
        until="3 agents serve",
    ):  # fmt: skip
        done = run("status", *flags)
        assert done.returncode == 0
        assert done.stdout.count(" tag ") == 3
        wrong = run("status", "--agents", "1,0,2", "--listen", f"127.0.0.1:{port}")
        assert wrong.returncode == 1
        assert "agent 0 of tag" in wrong.stdout
    done = run("status", *flags)
    assert done.returncode == 1
    assert done.stdout.count("is there one running?") == 3
