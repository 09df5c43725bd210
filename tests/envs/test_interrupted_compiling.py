"""A signal while the simulator is compiled ends the command, however the compiler treats exceptions."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.paths import ROOT

SAID = "stopping, once the compiler is done\n"
PLAY = ["--team", "random", "--map", "3m", "--env", "sim", "--episodes", "100000"]
CALL = """
import os, signal, sys
from envs.command import run_command
from envs.compiled import kernel
from tests.envs.test_flags import Config

def double(x):
    return 2 * x
double.__module__ = "__main__"

def run(config):
    compiled = kernel(double)
    inner = compiled._compiler.compile
    def compile_(*types):
        os.kill(os.getpid(), int(sys.argv[1]))
        try:
            return inner(*types)
        except BaseException:  # as ctypes does for a function that LLVM calls
            print("lost")
            return inner(*types)
    compiled._compiler.compile = compile_
    print("answer", compiled(21))

sys.exit(run_command(Config, run, prog="lan-x", description="", argv=[]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_compiler_is_answered_when_it_is_done(tmp_path: Path, number: signal.Signals) -> None:
    program = tmp_path / "program.py"
    program.write_text(CALL)
    done = subprocess.run(
        [sys.executable, program, str(int(number))], capture_output=True, text=True, timeout=120,
        env={**os.environ, "LAN_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", SAID + "lan-x: interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_kernel_that_another_one_calls_is_told_once(number: signal.Signals) -> None:
    code = (
        "import os, sys\n"
        "from envs.stopping import postponed, stop_wish\n"
        "with stop_wish() as stop:\n"
        "    stop.listen()\n"
        "    try:\n"
        "        with postponed('once the compiler is done'):\n"
        "            with postponed('once the compiler is done'):\n"
        "                os.kill(os.getpid(), int(sys.argv[1]))\n"
        "            print('the outer one is done')\n"
        "    except KeyboardInterrupt:\n"
        "        print('answered')\n"
        "    with postponed('once the compiler is done'):\n"
        "        print('the next one')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(int(number))], capture_output=True, text=True, timeout=60, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout == "the outer one is done\nanswered\nthe next one\n"
    assert done.stderr == SAID


@pytest.mark.slow
@pytest.mark.parametrize("moment_s", [0.0, 1.0, 2.5, 5.0, 8.0, 12.0, 17.0, 23.0])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment_of_a_cold_compile_ends_the_command(
    tmp_path: Path, moment_s: float, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from envs.start import evaluate; sys.exit(evaluate())", *PLAY],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "LAN_CACHE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline().startswith("compiling the battle simulator")
    time.sleep(moment_s)
    process.send_signal(number)
    sent_s = time.monotonic()
    try:
        _, errors = process.communicate(timeout=90)
    finally:
        process.kill()
    print(f"{moment_s} s after the start of the compiler: ended after {time.monotonic() - sent_s:.1f} s")
    assert process.returncode == 128 + number
    assert errors.removeprefix(SAID) == "lan-eval: interrupted\n"  # between two kernels nothing is said
