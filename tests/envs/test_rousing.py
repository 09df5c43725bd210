"""A signal that Python would answer late, or never, is answered at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from envs.rousing import ANSWER_S, Rouser
from envs.stopping import SIGNALS, stop_wish
from tests.paths import ROOT

MISSED = (
    "import signal, threading, time\n"
    "from envs.command import run_command\n"
    "from dataclasses import dataclass\n"
    "@dataclass\n"
    "class Flags:\n"
    "    pass\n"
    "def miss():\n"
    "    time.sleep(0.5)\n"
    "    for number in {numbers}:\n"
    "        signal.pthread_kill(threading.get_ident(), number)\n"  # interrupts no wait of the main thread
    "def run(flags):\n"
    "    threading.Thread(target=miss, daemon=True).start()\n"
    "    {wait}\n"
    "    return 0\n"
    "raise SystemExit(run_command(Flags, run, prog='waits', description='', argv=[]))\n"
)
WAITS = {
    "selector": "import select, socket; ends = socket.socketpair(); select.select(ends[:1], [], [])",
    "epoll": "import select; select.epoll().poll()",
    "read": "import os; os.read(os.pipe()[0], 1)",
    "lock": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "queue": "import queue; queue.Queue().get()",
    "process": "import subprocess; subprocess.Popen(['sleep', '15'], stderr=-3, stdout=-3).wait()",
    "sleep": "time.sleep(15)",
}


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ended(wait: str, numbers: list[int]) -> subprocess.CompletedProcess[str]:
    code = MISSED.format(numbers=[*map(int, numbers)], wait=wait)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=10, check=False, cwd=ROOT
    )


@pytest.mark.parametrize("wait", WAITS)
def test_a_signal_that_interrupts_no_wait_ends_the_command(wait: str) -> None:
    after = ended(WAITS[wait], [signal.SIGTERM])
    assert (after.returncode, after.stderr) == (143, "waits: interrupted\n")


def test_several_signals_are_still_one_wish() -> None:
    after = ended(WAITS["selector"], [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
    assert after.returncode in (129, 130, 143)  # Python answers them by their numbers
    assert after.stderr == "waits: interrupted\n"


def test_a_coroutine_is_cancelled_while_its_loop_waits() -> None:
    code = (
        "import asyncio, signal, threading, time\n"
        "from envs.stopping import stop_wish\n"
        "def miss():\n"
        "    time.sleep(0.5)\n"
        "    signal.pthread_kill(threading.get_ident(), signal.SIGINT)\n"
        "async def wait():\n"
        "    threading.Thread(target=miss, daemon=True).start()\n"
        "    try:\n"
        "        await asyncio.Event().wait()\n"
        "    finally:\n"
        "        print('good-bye')\n"
        "with stop_wish() as stop:\n"
        "    try:\n"
        "        stop.run(wait)\n"
        "    except KeyboardInterrupt:\n"
        "        print(stop.number)\n"
    )
    after = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=10, check=False, cwd=ROOT
    )
    assert (after.stdout, after.stderr) == ("good-bye\n2\n", "")


def test_an_answered_signal_is_not_sent_again() -> None:
    heard: list[int] = []

    def hear(number: int, frame: object) -> None:
        rouser.answered()
        heard.append(number)

    before = signal.signal(signal.SIGUSR1, hear)
    woken = signal.set_wakeup_fd(-1)
    try:
        with Rouser(lambda number: True) as rouser:
            signal.raise_signal(signal.SIGUSR1)
            time.sleep(4 * ANSWER_S)
            signal.raise_signal(signal.SIGUSR1)
            time.sleep(4 * ANSWER_S)
        assert signal.set_wakeup_fd(-1) == -1  # as before
    finally:
        signal.set_wakeup_fd(woken)
        signal.signal(signal.SIGUSR1, before)
    assert heard == [signal.SIGUSR1] * 2


def test_a_signal_of_another_handler_is_left_to_it() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    try:
        with Rouser(lambda number: False):
            signal.raise_signal(signal.SIGUSR1)
            time.sleep(4 * ANSWER_S)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == [signal.SIGUSR1]


@pytest.mark.parametrize("moment", ["before listen", "after settle"])
def test_a_wish_where_nobody_catches_the_exception_is_only_noted(moment: str) -> None:
    with stop_wish() as stop:
        if moment == "after settle":
            stop.listen()
            stop.settle()
        signal.raise_signal(signal.SIGTERM)
        assert stop.number == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            stop.listen()
