"""Ray on this machine: reached by this user from this machine alone, in any surroundings, or one sentence."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from trainer.playing.ray_start import hangup_ignored, keep_to_this_machine, reason

pytest.importorskip("ray")

BEGIN = """
import os, signal, socket, sys
from envs.errors import InputError
from trainer.playing.ray_start import begin_ray, is_alive, running_ray
if "early" in sys.argv:
    import ray
if "own" in sys.argv:
    signal.signal(signal.SIGTERM, lambda number, frame: None)
takes, change = [], signal.signal
signal.signal = lambda number, handler: (takes.append(number), change(number, handler))[1]
try:
    ray = begin_ray("the test", 1, object_store_memory=80 * 2**20)
except InputError as error:
    sys.exit(f"refused: {error}")
assert running_ray() is ray and is_alive(ray)
print(ray.get(ray.remote(lambda: 6 * 7).remote()))
listening = [line.split() for name in ("tcp", "tcp6") for line in open(f"/proc/net/{name}").readlines()[1:]]
print("listens on", *sorted({words[1].split(":")[0] for words in listening if words[3] == "0A"}))
if signal.SIGTERM in takes:
    print("SIGTERM was taken")
if "kill" in sys.argv:
    import psutil, time
    for child in psutil.Process().children():
        if child.name() == "raylet":
            child.kill()
    deadline = time.monotonic() + 60
    while is_alive(ray):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    print("dead")
ray.shutdown()
"""
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}
NETWORK = (
    "ip link set lo up && ip addr add 10.99.0.1/24 dev lo && "
    'ip route add default via 10.99.0.1 dev lo && exec "$@"'
)


def begin(*words: str, network: bool = False, **environment: str) -> subprocess.CompletedProcess[str]:
    """Begin Ray in a new process; with `network`, in a namespace of its own that has a default route."""
    command = [sys.executable, "-c", BEGIN, *words]
    if network:
        command = ["unshare", "--net", "sh", "-c", NETWORK, "sh", *command]
    given = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        command, env={**given, **environment}, capture_output=True, text=True, timeout=240, check=False
    )
    if network and "not permitted" in done.stderr:
        pytest.skip("no network namespace may be made here")
    return done


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("early",)])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes networks")
def test_no_other_machine_reaches_it_also_where_there_is_a_network(words: tuple[str, ...]) -> None:
    """Without a default route Ray keeps to the loopback interface by itself, so a test must have one."""
    done = begin(*words, network=True)
    value, listening, *_ = done.stdout.splitlines()
    assert value == "42", done.stderr
    addresses = listening.removeprefix("listens on").split()
    assert addresses
    assert set(addresses) <= LOOPBACK


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"RAY_ADDRESS": "127.0.0.1:6399"},
        {"HOME": "/proc"},
        {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"},
        {"RAY_AUTH_TOKEN_PATH": "/nonexistent"},
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
    ],
)
def test_the_surroundings_do_not_matter(environment: dict[str, str]) -> None:
    done = begin(**environment)
    assert done.stdout.split()[:1] == ["42"], done.stderr


@pytest.mark.slow
def test_its_end_is_noticed() -> None:
    assert "dead" in begin("kill").stdout.splitlines()  # among the lines of Ray itself


@pytest.mark.slow
@pytest.mark.parametrize("own", [True, False])
def test_only_a_program_that_does_not_answer_sigterm_leaves_it_to_ray(own: bool) -> None:
    done = begin("own" if own else "none")
    taken = "SIGTERM was taken" in done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert taken is not own


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "said"),
    [("x" * 120, "set RAY_TMPDIR to a shorter folder"), ("/proc/x", "RAY_TMPDIR names")],
)
def test_a_folder_that_it_cannot_use_is_one_sentence(tmp_path: Path, folder: str, said: str) -> None:
    (tmp_path / ("x" * 120)).mkdir()
    done = begin(RAY_TMPDIR=str(tmp_path / folder))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("refused: Ray, which the test needs, does not start")
    assert said in line


def test_reasons_are_one_line() -> None:
    long = OSError(f"AF_UNIX path length cannot exceed 107 bytes: {'x' * 300}")
    assert tempfile.gettempdir() in reason(long)
    assert "Permission denied: /tmp/ray" in reason(PermissionError(13, "Permission denied", "/tmp/ray"))
    assert reason(RuntimeError("a\n\x1b[2Jb" * 100)).isprintable()
    assert reason(RuntimeError()) == "RuntimeError"
    assert reason(Exception("The current node timed out during startup. This")).endswith("try again")


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"):
        monkeypatch.setenv(name, "mine")
    keep_to_this_machine()
    assert os.environ["RAY_AUTH_MODE"] == os.environ["RAY_AUTH_TOKEN"] == "mine"


def test_what_begins_in_the_block_survives_its_terminal() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with hangup_ignored():
        ignored = subprocess.run(["sh", "-c", "kill -HUP $$; echo lives"], capture_output=True, text=True)
    assert ignored.stdout == "lives\n"
    assert signal.getsignal(signal.SIGHUP) is before


JOIN = """
import sys
from envs.errors import InputError
from trainer.playing.ray_start import join_ray
for address in sys.argv[1:]:
    try:
        join_ray("the test", address)
    except InputError as error:
        print(error)
"""


def join(*addresses: str) -> list[str]:
    """What is told of each address, in a new process: Ray is set up for joining once it is imported."""
    command = [sys.executable, "-c", JOIN, *addresses]
    return subprocess.run(command, capture_output=True, text=True, timeout=90).stdout.splitlines()


def test_an_address_where_no_cluster_answers_is_told_at_once() -> None:
    reasons = {
        "127.0.0.1:1": "Connection refused",
        "ray://127.0.0.1:1": "Connection refused",
        "[::1]:1": "",
        "nowhere.invalid:6379": "",
        "nonsense": "Invalid address",
    }
    told = join(*reasons)
    assert len(told) == len(reasons)
    for line, (address, why) in zip(told, reasons.items(), strict=True):
        assert line.startswith(f"--ray-address {address}: no Ray cluster answers there: {why}")
        assert "RAY_TMPDIR" not in line


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["", "ray://"])
def test_a_server_that_is_no_cluster_is_told_within_a_minute(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        [line] = join(f"{kind}127.0.0.1:{server.getsockname()[1]}")
    assert "no Ray cluster answers there" in line
