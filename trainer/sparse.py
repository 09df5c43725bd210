"""Rows of observations without their zeros, and back.

Most of a SMAC observation is zero: units out of sight, dead, or of another type. One bit says whether a value
is zero; the others stand one after the other. Nothing is lost, and a batch is filled as fast as it is copied.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from envs.battle.compiled import kernel
from envs.types import FloatArray, IntArray

ByteArray = npt.NDArray[np.uint8]


def gather_values(rows: FloatArray) -> tuple[ByteArray, FloatArray, npt.NDArray[np.int32]]:
    """rows [R, F] -> bits [R, ceil(F / 8)], the values that are not zero [V], how many each row has [R]."""
    present = rows != 0
    return np.packbits(present, axis=1), rows[present], present.sum(1, dtype=np.int32)


@kernel
def spread_values(
    bits: ByteArray, values: FloatArray, starts: IntArray, rows: IntArray, out: FloatArray
) -> None:
    """Write row r of what `gather_values` gave to out[rows[r]]; out [P, F], starts [R]: its first value."""
    F = out.shape[1]
    for r in range(rows.shape[0]):
        to, v = out[rows[r]], starts[r]
        for first in range(0, F, 8):
            byte, last = bits[r, first >> 3], min(first + 8, F)
            if byte == 255:
                for j in range(first, last):
                    to[j] = values[v + j - first]
                v += last - first
            else:
                for j in range(first, last):
                    to[j] = 0
                    if byte & (128 >> (j - first)):
                        to[j] = values[v]
                        v += 1
