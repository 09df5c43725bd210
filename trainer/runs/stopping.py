"""What Ctrl-C, SIGTERM and SIGHUP do to `lan-train` and `lan-sweep`."""

from __future__ import annotations

import sys
from typing import Protocol

from envs.stopping import StopWish

INSIST_AFTER_S = 5.0
"""One wish may come as several signals: a second Ctrl-C, or SIGTERM and SIGHUP. They have come by then."""


class Stoppable(Protocol):
    """A run that saves and ends soon after `stop_requested` is set."""

    stop_requested: bool


def ask_to_save(run: Stoppable, stop: StopWish) -> None:
    """Let a wish to stop ask a run to save and end, once; before, KeyboardInterrupt.

    Ctrl-C again, `INSIST_AFTER_S` after the first signal or later, ends without saving.
    """

    def ask() -> None:
        run.stop_requested = True
        print(
            "\nstopping: saving after this update or evaluation; Ctrl-C again, after "
            f"{INSIST_AFTER_S:.0f} s, to stop without saving",
            file=sys.stderr,
        )

    stop.watch(ask, INSIST_AFTER_S)
