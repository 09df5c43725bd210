"""The points at which a run is evaluated."""

from __future__ import annotations

from typing import Any


def point_of(steps: float, settings: dict[str, Any]) -> int:
    """The point of the grid that an evaluation belongs to: a multiple of the interval, or the run's end."""
    end, interval = int(settings["steps"]), int(settings["eval_interval_steps"])
    return end if steps >= end else int(steps) // interval * interval


def number_of(steps: float, settings: dict[str, Any]) -> int:
    """The number of the evaluation at these steps, from 0 on, by which its battles are chosen.

    It depends on the point alone, so that a run that is made longer evaluates as one of that length.
    """
    return -(-point_of(steps, settings) // int(settings["eval_interval_steps"]))
