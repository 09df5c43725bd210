"""Gymnasium's spaces as vectors: how many features an observation has, its numbers, and its action masks.

Spaces are told apart by the names of their classes, so that gymnasium need not be installed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from envs.errors import LanError
from envs.text import one_line
from envs.types import BoolArray, FloatArray

MASK: Final = "action_mask"
"""Key of a Dict observation, or of an agent's info, that says which actions are allowed."""


_LARGEST: Final = float(np.finfo(np.float32).max)


class SpaceError(LanError):
    """A space or a value that cannot be read; the text goes on after its name, such as `is a Text`."""


def is_a(space: Any, name: str) -> bool:
    """Whether a space is of gymnasium's class `name`, or of a class made from it."""
    kind = type(space)
    return kind.__name__ == name or any(base.__name__ == name for base in kind.__mro__)


def shown(value: Any) -> str:
    """A value of somebody else, short enough for an error."""
    return one_line(value, 60)


def n_features(space: Any) -> int:
    """Features of an observation of `space`, action masks aside; SpaceError when it has no fixed number."""
    if is_a(space, "Discrete"):
        return int(space.n)
    if is_a(space, "Box") or is_a(space, "MultiBinary"):
        return math.prod(space.shape)
    if is_a(space, "MultiDiscrete"):
        return int(np.sum(space.nvec))
    if is_a(space, "Dict"):
        return sum(n_features(part) for key, part in space.spaces.items() if key != MASK)
    if is_a(space, "Tuple"):
        return sum(n_features(part) for part in space.spaces)
    raise SpaceError(
        f"is {shown(space)}, which is not understood; Box, Discrete, MultiBinary, MultiDiscrete, "
        "and Dict and Tuple of these are"
    )


def features(space: Any, value: Any, masks: list[Any]) -> FloatArray:
    """An observation as a vector: integers become one-hots, parts follow each other.

    A Dict's `action_mask`, at any depth, is no feature: it is appended to `masks`. SpaceError when the value
    does not have the space's form or holds a number that is not finite. Bounds are not looked at.
    """
    if is_a(space, "Box") or is_a(space, "MultiBinary"):
        return numbers(value, math.prod(space.shape))
    if is_a(space, "Discrete"):
        return one_hots(value, np.array([space.n]), np.array([getattr(space, "start", 0)]))
    if is_a(space, "MultiDiscrete"):
        starts = getattr(space, "start", np.zeros_like(space.nvec))
        return one_hots(value, np.ravel(space.nvec), np.ravel(starts))
    if is_a(space, "Tuple"):
        if not isinstance(value, Sequence) or len(value) != len(space.spaces):
            raise SpaceError(f"is {shown(value)}, not a tuple of {len(space.spaces)} parts")
        parts = [features(part, one, masks) for part, one in zip(space.spaces, value, strict=True)]
        return np.concatenate([np.zeros(0, np.float32), *parts])
    if not isinstance(value, Mapping):
        raise SpaceError(f"is {type(value).__name__}, not a dict as its space says")
    if MASK in value:
        masks.append(value[MASK])
    for key in space.spaces:
        if key not in value:
            raise SpaceError(f"lacks {shown(repr(key))}, which its space has")
    parts = [features(part, value[key], masks) for key, part in space.spaces.items() if key != MASK]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def one_hots(value: Any, counts: Any, starts: Any) -> FloatArray:
    """A one-hot for each integer of `value`, of which the i-th is one of counts[i] from starts[i] on."""
    integers = numbers(value, len(counts))
    places = integers - starts
    if (places != np.floor(places)).any() or (places < 0).any() or (places >= counts).any():
        raise SpaceError(f"is {shown(value)}, outside of its space")
    vector = np.zeros(int(np.sum(counts)), np.float32)
    vector[np.cumsum(counts) - counts + places.astype(np.int64)] = 1
    return vector


def numbers(value: Any, count: int) -> FloatArray:
    """`count` finite numbers as float32; SpaceError when `value` is not made of them."""
    try:
        array = np.asarray(value)
    except Exception:  # rows of different lengths, or what an object's own conversion raises
        raise SpaceError("is no array of numbers") from None
    if array.dtype.kind not in "biuf":
        raise SpaceError(f"is {shown(value)}, no array of numbers")
    if array.size != count:
        raise SpaceError(f"has {array.size} numbers, not {count} as at first or as its space says")
    if array.dtype != np.float32:
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    vector: FloatArray = array.ravel()
    if not np.isfinite(vector).all():
        wrong = np.flatnonzero(~np.isfinite(vector))[0]
        raise SpaceError(f"holds {np.ravel(value)[wrong]}, which is no finite number of 32 bits")
    return vector


def number(value: Any) -> float:
    """One finite number, whatever its type; SpaceError when `value` is none."""
    if isinstance(value, float | int) and -_LARGEST <= value <= _LARGEST:
        return float(value)
    numbers(value, 1)
    return float(np.ravel(value)[0])


def allowed(masks: Sequence[Any], n_actions: int) -> BoolArray:
    """[n_actions] the actions that every one of `masks` allows.

    Where none is left it is the first, as gymnasium's `Discrete.sample` has it. SpaceError for a bad mask.
    """
    open_to = np.ones(n_actions, np.bool_)
    for mask in masks:
        values = numbers(mask, n_actions)
        if not np.isin(values, (0, 1)).all():
            raise SpaceError(f"is {shown(mask)}, not made of 0 and 1")
        open_to &= values != 0
    open_to[0] |= not open_to.any()
    return open_to
