"""`lan-play --map tag` as a process: the command, with the tests' small environment among those it knows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.paths import ROOT
from tests.runtime.support.processes import RUN_TIMEOUT_S, environment

PROGRAM = """
import sys
from envs.errors import InputError
from envs.plain import PLAIN
from tests.runtime.support.tag_env import TagEnv

class Env(TagEnv):
    idle_actions = {idle_actions}

    def reset(self, mask=None):
        if self.next_episode == {fails_in}:
            raise InputError("the game of tag was lost 5 times in a row")
        return super().reset(mask)

    def close(self):
        if {says_closed}:
            print("the environment is closed", file=sys.stderr)

PLAIN["tag"] = lambda name, n_battles, seed: Env(seed)
from runtime.host.cli import main
sys.exit(main(sys.argv[1:]))
"""


def command(
    *flags: object, fails_in: int = -1, idle_actions: tuple[int, ...] = (1, 0), says_closed: bool = True
) -> list[str]:
    """The command line; `fails_in`: the battle in which the environment gives up."""
    program = PROGRAM.format(fails_in=fails_in, idle_actions=idle_actions, says_closed=says_closed)
    return [sys.executable, "-c", program, "--map", "tag", "--json", *map(str, flags)]


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


class Running:
    """A running command."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; not by `send_signal`, which may reap the process before asyncio learns its code."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    async def ended(self) -> Ended:
        async with asyncio.timeout(RUN_TIMEOUT_S):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return Ended(self.process.returncode, out.decode() if out else "", err.decode() if err else "")


@contextlib.asynccontextmanager
async def playing(
    *flags: object,
    before: tuple[str, ...] = (),
    stdout: Any = subprocess.PIPE,
    stderr: Any = subprocess.PIPE,
    **how: Any,
) -> AsyncIterator[Running]:
    """Start the command, after the words `before`; it is killed at the end if it still runs."""
    line = [*before, *command(*flags, **how)]
    process = await asyncio.create_subprocess_exec(
        *line, cwd=ROOT, env=environment(), stdout=stdout, stderr=stderr
    )
    try:
        yield Running(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def play_tag(*flags: object, **how: Any) -> Ended:
    """Run the command to its end."""
    async with playing(*flags, **how) as running:
        return await running.ended()


async def lines_in(path: Path, count: int) -> None:
    """Wait until a file has so many lines."""
    async with asyncio.timeout(RUN_TIMEOUT_S):
        while not path.exists() or path.read_bytes().count(b"\n") < count:
            await asyncio.sleep(0.01)
