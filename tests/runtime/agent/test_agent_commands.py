from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.agent.server import STOP_S
from tests.runtime.support.processes import (
    ROOT,
    TIMEOUT_S,
    command,
    environment,
    free_ports,
    run,
    started,
    wait_until,
)


def test_an_agent_serves_until_sigterm_and_exits_with_0(model_file: Path) -> None:
    with started(
        "agent", "--model", model_file, "--agent-id", 1, "--listen", "127.0.0.1:0", until="agent 1 serves"
    ) as agent:
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(10) == 0


def test_agents_are_processes_of_their_own_on_consecutive_ports(model_file: Path) -> None:
    port = free_ports(3)
    with started(
        "agents", "--model", model_file, "--agents", "0-2", "--listen", f"127.0.0.1:{port}",
        until="3 agents serve",
    ) as agents:  # fmt: skip
        pids = agents.pids()
        assert len(set(pids)) == 3
        assert agents.process.pid not in pids
        for index in range(3):
            socket.create_connection(("127.0.0.1", port + index), timeout=5).close()
        agents.process.send_signal(signal.SIGTERM)
        assert agents.process.wait(10) == 0
        for pid in pids:
            assert not Path(f"/proc/{pid}").exists()


def test_agents_do_not_outlive_a_killed_parent(model_file: Path) -> None:
    port = free_ports(2)
    with started(
        "agents", "--model", model_file, "--agents", "0-1", "--listen", f"127.0.0.1:{port}",
        until="2 agents serve",
    ) as agents:  # fmt: skip
        agents.process.kill()
        for pid in agents.pids():
            wait_until(lambda pid=pid: not is_running(pid), f"process {pid} to end")


def test_a_dead_agent_is_started_again_on_its_port_and_said_so(model_file: Path, tmp_path: Path) -> None:
    port = free_ports(2)
    with started(
        "agents", "--model", model_file, "--agents", "0-1", "--listen", f"127.0.0.1:{port}",
        until="2 agents serve", log=tmp_path / "log",
    ) as agents:  # fmt: skip
        first, second = agents.pids()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: "agent 0 serves again" in (tmp_path / "log").read_text(), "a new agent 0")
        assert f"agent 0 (process {first}) was ended by SIGKILL" in (tmp_path / "log").read_text()
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        assert is_running(second)


def test_an_agent_that_keeps_dying_is_started_ever_more_slowly() -> None:
    code = (
        "import os, sys, time\n"
        "from runtime.identity.addresses import Address\n"
        "from runtime.agent.child import Child\n"
        "from runtime.agent.signals import SignalInbox\n"
        "from runtime.agent.supervisor import SIGNALS, Supervisor\n"
        "lives = []\n"
        "def live(agent_id, address, line):\n"
        "    line.send('ready', 'h:1')\n"
        "    time.sleep(0.01)\n"
        "    os._exit(3)\n"
        "signals = SignalInbox(SIGNALS)\n"
        "supervisor = Supervisor([Child(0, Address('h', 1))], live, 1.0, signals)\n"
        "supervisor.start(5.0)\n"
        "supervisor.run()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment()
    )
    assert process.stderr is not None
    pauses = []
    while len(pauses) < 5:
        line = process.stderr.readline()
        assert line
        if "next start in" in line:
            assert "ended with 3" in line
            pauses.append(float(line.split("next start in ")[1].split(" s")[0]))
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    process.stderr.close()
    assert pauses == [0.02, 0.04, 0.08, 0.16, 0.32]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("module", "flags", "says"),
    [
        ("agent", ["--agent-id", "3"], "agent id 3: the model's team has the ids 0 to 2"),
        ("agent", ["--agent-id", "-1"], "agent id -1"),
        ("agent", ["--agent-id", "0", "--listen", "nowhere"], "'nowhere' is no address"),
        ("agent", ["--agent-id", "0", "--listen", "0.0.0.0:0"], "can be reached from other machines"),
        ("agent", ["--agent-id", "0", "--max-episodes", "0"], "--max-episodes must be at least 1"),
        ("agent", ["--agent-id", "0", "--max-episodes", "9" * 30], "--max-episodes must be at least 1"),
        ("agent", ["--agent-id", "0", "--max-concurrent-rpcs", "-1"], "--max-concurrent-rpcs must be"),
        ("agent", ["--agent-id", "0", "--max-concurrent-rpcs", "9" * 30], "--max-concurrent-rpcs must be"),
        ("agent", ["--agent-id", "9" * 30], "agent id 999"),
        *(
            (
                "agent",
                ["--agent-id", "0", f"--{flag}={value}"],
                f"--{flag} must be a number of seconds above 0",
            )
            for flag in ("episode-idle-s", "grace-s")
            for value in ("nan", "inf", "-inf", "-1", "0", "1e30")
        ),
        ("agent", ["--agent-id", "0", "--model-sha256", "ab"], "'ab' is no SHA-256"),
        ("agent", ["--agent-id", "0", "--model-sha256", "a" * 64], "has the SHA-256"),
        ("agents", ["--agents", "0-3"], "agent id 3: the model's team has the ids 0 to 2"),
        ("agents", ["--agents", "2-0"], "no range of agent ids"),
        ("agents", ["--agents", "0-2", "--listen", "127.0.0.1:65534"], "past the last port"),
        ("agents", ["--agents", "0-2", "--metrics", "127.0.0.1:65534"], "past the last port"),
        ("agents", ["--agents", "0-2", "--health", "127.0.0.1:0"], "nobody would learn which port is taken"),
        ("agent", ["--agent-id", "0", "--metrics", "[::1]:0"], "nobody would learn which port is taken"),
        (
            "agents",
            ["--agents", "0-2", "--metrics", "127.0.0.1:50053"],
            "agent 2 and --metrics of agent 0 both",
        ),
        ("agent", ["--agent-id", "0", "--health", "127.0.0.1:50051"], "--listen and --health both need"),
        ("agents", ["--agents", "0-99999999999999999999"], "no list of agent ids"),
        ("agents", ["--agents", "9" * 5000], "no list of agent ids"),
        ("agent", ["--agent-id", "0", "--listen", "127.0.0.1:" + "9" * 5000], "port of 0 to 65535"),
        ("agent", ["--agent-id", "0", "--listen", "127.1:50051"], "has four numbers"),
        ("agent", ["--agent-id", "0", "--listen", "unix:1", "--insecure"], "its name does not resolve"),
    ],
)
def test_bad_flags_are_one_clear_line_and_exit_code_2(
    model_file: Path, module: str, flags: list[str], says: str
) -> None:
    done = run(module, "--model", model_file, *flags)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_a_port_in_use_is_said_and_starts_nobody(model_file: Path) -> None:
    port = free_ports(3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port + 1))
        taken.listen()
        done = run("agents", "--model", model_file, "--agents", "0-2", "--listen", f"127.0.0.1:{port}")
        assert done.returncode == 2
        assert f"agent 1: cannot listen on 127.0.0.1:{port + 1}" in done.stderr
        assert "Traceback" not in done.stderr
        done = run("agent", "--model", model_file, "--agent-id", 0, "--listen", f"127.0.0.1:{port + 1}")
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
    with socket.socket() as free:  # the others did not stay behind
        free.bind(("127.0.0.1", port))


@pytest.mark.parametrize("flag", ["--listen", "--health", "--metrics"])
def test_a_port_in_use_is_said_with_the_flag_that_named_it(model_file: Path, flag: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        listen = [] if flag == "--listen" else ["--listen", "127.0.0.1:0"]
        done = run("agent", "--model", model_file, "--agent-id", 0, *listen, flag, address)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert address in done.stderr
    assert flag in done.stderr
    assert not {"--listen", "--health", "--metrics"} - {flag} & set(done.stderr.split())


def catches_hangup(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.split("SigCgt:")[1].split()[0], 16)
    return bool(caught >> (signal.SIGHUP - 1) & 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_an_agent_starts_is_followed(
    model_file: Path, tmp_path: Path, number: signal.Signals
) -> None:
    port = free_ports(1)
    words = command("agent", "--model", model_file, "--agent-id", 0, "--listen", f"127.0.0.1:{port}")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, cwd=ROOT, env=environment())
    assert process.stdout is not None
    wait_until(lambda: catches_hangup(process.pid), "the agent to catch signals")
    process.send_signal(number)
    if number != signal.SIGHUP:
        assert process.wait(10) == 0
        assert process.stdout.read() == b""
    else:
        assert process.stdout.readline().startswith(b"agent 0 serves")
        assert "the model stays as it is" in (tmp_path / "log").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    process.stdout.close()


def test_the_same_wish_to_stop_may_come_more_than_once(model_file: Path) -> None:
    with started(
        "agent", "--model", model_file, "--agent-id", 1, "--listen", "127.0.0.1:0", until="agent 1 serves"
    ) as agent:
        deadline_s = time.monotonic() + TIMEOUT_S
        while agent.process.poll() is None and time.monotonic() < deadline_s:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                agent.process.send_signal(number)
        assert agent.process.poll() == 0


def test_an_agent_whose_stop_hangs_in_a_library_ends_with_1_after_its_grace(
    model_file: Path, tmp_path: Path
) -> None:
    code = (
        "import ctypes, sys\n"
        "from runtime.agent import cli, server\n"
        "async def shut_down(*values):\n"
        "    ctypes.PyDLL(None).sleep(600)\n"  # it holds the interpreter's lock
        "server.shut_down = shut_down\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    flags = [
        "--model",
        model_file,
        "--agent-id",
        0,
        "--listen",
        "127.0.0.1:0",
        "--grace-s",
        0.1,
        "--log-json",
    ]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, flags)], stdout=subprocess.PIPE, stderr=log,
            cwd=ROOT, env=environment(),
        )  # fmt: skip
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith(b"agent 0 serves")
        begun_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 1
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert time.monotonic() - begun_s > 0.1 + STOP_S
    assert "in shut_down" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("as_json", [False, True])
def test_an_agent_that_can_no_longer_serve_says_so_and_exits_with_1(model_file: Path, as_json: bool) -> None:
    code = (
        "import sys\n"
        "from runtime.agent import cli, episodes\n"
        "episodes.EpisodeTable.expire = lambda table, now_s: 1 // 0\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    flags = ["--model", model_file, "--agent-id", "0", "--listen", "127.0.0.1:0"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, flags), *(["--log-json"] if as_json else [])],
        capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "the search for what is overdue has ended" in line


def test_every_runtime_module_is_imported_without_torch() -> None:
    """With torch made impossible to import; `test_base_install` uses an environment that has none."""
    files = sorted((ROOT / "runtime").rglob("*.py"))
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    code = "import sys; sys.modules['torch'] = sys.modules['trainer'] = sys.modules['exporters'] = None\n"
    code += "\n".join(f"import {module}" for module in modules)
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment(), timeout=60)


@pytest.mark.skipif("LAN_BASE_PYTHON" not in os.environ, reason="LAN_BASE_PYTHON names no interpreter")
def test_base_install_serves_a_team(model_file: Path) -> None:
    """LAN_BASE_PYTHON: the interpreter of a real environment with the base install only."""
    python = os.environ["LAN_BASE_PYTHON"]
    absent = "import importlib.util as u, sys; sys.exit(any(map(u.find_spec, ('torch', 'onnx', 'numba'))))"
    subprocess.run([python, "-c", absent], check=True, timeout=60)
    port = free_ports(3)
    with started(
        "agents", "--model", model_file, "--agents", "0-2", "--listen", f"127.0.0.1:{port}",
        until="3 agents serve", python=python,
    ):  # fmt: skip
        code = (
            "import asyncio, sys\n"
            "from tests.runtime.support.tag_env import TagEnv\n"
            "from runtime.host.cli import play_env\n"
            "from runtime.host.flags import PlayConfig, resolve\n"
            f"agents = ','.join(f'127.0.0.1:{{{port} + i}}' for i in range(3))\n"
            "config = PlayConfig(map='tag', agents=agents, episodes=3)\n"
            "report = asyncio.run(play_env(TagEnv(), resolve(config), lambda result: None))\n"
            "assert report['episodes'] == 3 and report['fallbacks'] == 0, report\n"
        )
        subprocess.run([python, "-c", code], check=True, cwd=ROOT, env=environment(), timeout=60)


def test_an_agents_memory_is_bounded() -> None:
    code = (
        "from runtime.agent.cli import limit_resources\n"
        "limit_resources()\n"
        "kept = bytearray(200_000_000)\n"
        "try:\n    bytearray(2_000_000_000)\nexcept MemoryError:\n    print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=30
    )
    assert done.stdout == "refused\n", done.stderr
