"""The agents that `lan-play --model` starts itself: one process each, on loopback, under a `lan-agents`.

The host knows only their addresses, as with --agents; it loads no model.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from envs.errors import InputError
from envs.make import env_spec
from envs.processes import guarded
from envs.start import COMMANDS
from envs.text import one_line
from runtime.identity.addresses import Address, parse_address

START_TIMEOUT_S = 60.0
"""Longer than `lan-agents` waits for its agents, so that it can say itself which one is late."""
STOP_TIMEOUT_S = 20.0
"""Longer than `lan-agents` needs to end agents that do not want to end."""
LAST_WORDS_S = 1.0
"""What `lan-agents` said before its end is waited for so long."""
SERVES = re.compile(r"agent \d+ (\S+) \(process \d+\)\n")
ERROR = "lan-agents: error: "

log = logging.getLogger("lan.play")


@contextlib.contextmanager
def own_agents(model: Path, map_name: str, whose: str = "") -> Iterator[list[Address]]:
    """Start one process per agent of a map's team, yield their addresses, and end them with the block.

    `whose`: in messages, before the word agents.

    They end with this process too, however it ends. InputError when they do not start; what they said before
    is in the log.
    """
    n_agents = env_spec(map_name).n_agents
    words = (f"--model={model}", f"--agents=0-{n_agents - 1}", "--listen=127.0.0.1:0")
    process = subprocess.Popen(
        guarded([sys.executable, "-P", "-m", COMMANDS["lan-agents"], *words]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C is for the host, which lets the agents forget the battle first
    )
    assert process.stdout is not None
    last: deque[str] = deque(maxlen=1)
    reader = threading.Thread(target=last.extend, args=(process.stdout,), daemon=True)
    is_ending = threading.Event()
    mourner = threading.Thread(
        target=tell_of_end, args=(process, reader, last, is_ending, whose), daemon=True
    )
    try:
        try:
            addresses = addresses_said(process, process.stdout)
        except InputError as error:
            raise InputError(f"the {n_agents} {whose}agents of {map_name} did not start: {error}") from None
        reader.start()  # a full pipe would have the agents drop what they say
        mourner.start()
        yield addresses
    finally:
        if process.poll() is None:
            is_ending.set()
        elif mourner.ident is not None:
            mourner.join(STOP_TIMEOUT_S)
        end(process)
        if reader.ident is not None:
            reader.join(STOP_TIMEOUT_S)  # the pipe ends with the last process that holds it
        if not reader.is_alive():
            process.stdout.close()


def tell_of_end(
    process: subprocess.Popen[str],
    reader: threading.Thread,
    last: deque[str],
    is_ending: threading.Event,
    whose: str,
) -> None:
    """Wait for the end of `lan-agents`, and say so at once, unless the host itself ends it."""
    process.wait()
    if not is_ending.is_set():
        reader.join(LAST_WORDS_S)
        said = "".join(last).rstrip() or "it said nothing"
        whose = f"the {whose}" if whose else ""
        log.error(
            "%slan-agents %s, so nobody starts its agents again: %s",
            whose,
            how_ended(process),
            one_line(said),
        )


def addresses_said(process: subprocess.Popen[str], output: IO[str]) -> list[Address]:
    """The addresses that `lan-agents` prints once all agents serve; InputError with its reason if it ends."""
    late = threading.Timer(START_TIMEOUT_S, kill, (process,))
    late.start()
    said: list[str] = []
    try:
        for line in output:
            said.append(line)
            if "agents serve" in line:
                return [parse_address(match[1]) for match in map(SERVES.fullmatch, said) if match]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
    finally:
        is_late = late.finished.is_set()
        late.cancel()
    is_told = bool(said) and said[-1].startswith(ERROR)
    for line in said[:-1] if is_told else said:
        log.error("%s", one_line(line.rstrip()))
    if is_told:
        raise InputError(said[-1].removeprefix(ERROR).rstrip())
    raise InputError(f"not within {START_TIMEOUT_S:g} s" if is_late else f"lan-agents {how_ended(process)}")


def how_ended(process: subprocess.Popen[str]) -> str:
    """How a process has ended, in words."""
    code = process.returncode
    if code is None:
        return "says no more"
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def end(process: subprocess.Popen[str]) -> None:
    """End `lan-agents` and its agents: politely, or at once when that takes long or Ctrl-C comes again."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        log.error("the agents did not stop within %g s and are killed", STOP_TIMEOUT_S)
    finally:
        kill(process)
        with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs in a disk, say
            process.wait(STOP_TIMEOUT_S)


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a `lan-agents` that still runs, and its agents, which are in its process group."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
