"""Where every `lan-*` command begins: imports take a second, and a signal during them ends it in one line."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

COMMANDS = {
    "lan-train": "trainer.cli",
    "lan-export": "exporters.export",
    "lan-inspect": "exporters.card",
    "lan-plot": "trainer.plots.cli",
    "lan-sweep": "trainer.sweep.cli",
    "lan-eval": "exporters.evaluate",
    "lan-agent": "runtime.agent.cli",
    "lan-agents": "runtime.agent.many",
    "lan-play": "runtime.host.cli",
    "lan-status": "runtime.host.status",
    "lan-certs": "runtime.identity.certs",
    "lan-sc2": "envs.sc2api.cli",
    "lan-map": "envs.map_command",
}
"""The module of each command, which has a `main`; as text, because a start imports one of them."""
SERVING = ("lan-agent", "lan-agents")
"""Commands for which a signal is the usual end, with exit code 0."""


def starting(prog: str) -> Callable[[], int]:
    """The entry point of a command: hears signals, imports it, and returns its exit code."""

    def start() -> int:
        def end(number: int, frame: FrameType | None) -> None:
            """Nothing is begun; and a library that is being imported could lose an exception."""
            if prog in SERVING:
                os._exit(0)
            try:
                os.write(2, f"{prog}: interrupted\n".encode())
            finally:
                os._exit(128 + number)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # by nohup, or by a shell's background
                signal.signal(number, end)
        if sys.argv[1:] == ["--version"]:
            return say_version(prog)
        code: int = importlib.import_module(COMMANDS[prog]).main()
        return code

    return start


def say_version(prog: str) -> int:
    """Print which version this is, and of which commit where it runs from a checkout; the exit code."""
    from envs.command import printed
    from envs.version import project_version, source_commit

    commit = source_commit()
    text = f"{prog} {project_version()}" + (f" ({commit})" if commit else "")
    return printed(lambda: print(text) or 0, prog)


train, export, inspect, plot, sweep, evaluate, agent, agents, play, status, certs, sc2, map_ = map(
    starting, COMMANDS
)
