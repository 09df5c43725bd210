"""Exceptions that this project raises on purpose, in one tree: `except LanError` catches all of them.

    LanError
    ├── InputError           something the user gave cannot be used; commands print it and exit with 2
    │   └── ModelError       a model file that cannot be used
    ├── EpisodeLostError     a live game was lost, so none of its running battles counts
    └── DivergedError        the loss of a training run is no longer finite

Some packages define more below `LanError`; these never leave their package. A call that breaks a function's
contract, such as an action that is not available, raises ValueError, which is not in this tree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envs.types import BoolArray


class LanError(Exception):
    """The root of everything this project raises on purpose."""


class InputError(LanError):
    """Something the user gave cannot be used; the text says what, where, and what to do."""


class ModelError(InputError):
    """A model file that cannot be used; the text names the file and says why."""


class EpisodeLostError(LanError):
    """The live game of `slots` [B] crashed, hung or lost its connection: no battle of this round counts.

    Discard the time steps of the running battles, reset all of them, and play on.
    """

    def __init__(self, slots: BoolArray, reason: str) -> None:
        super().__init__(reason)
        self.slots = slots

    def __reduce__(self) -> tuple[type[EpisodeLostError], tuple[BoolArray, str]]:
        return type(self), (self.slots, str(self))


class DivergedError(LanError):
    """The loss of a training run is no longer a finite number."""
