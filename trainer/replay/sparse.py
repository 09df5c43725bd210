"""Rows of observations without their zeros, and back.

Most of a SMAC observation is zero: units out of sight, dead, or of another type. One bit says whether a value
is zero; the others stand one after the other. Nothing is lost, and a batch is filled as fast as it is copied.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from envs.compiled import kernel
from envs.types import FloatArray, IntArray

ByteArray = npt.NDArray[np.uint8]
WordArray = npt.NDArray[np.int32]


def gather_values(rows: FloatArray) -> tuple[ByteArray, FloatArray, npt.NDArray[np.int32]]:
    """rows [R, F] -> bits [R, ceil(F / 8)], the values that are not zero [V], how many each row has [R]."""
    present = rows != 0
    return np.packbits(present, axis=1), rows[present], present.sum(1, dtype=np.int32)


@kernel
def spread_values(
    bits: ByteArray, values: WordArray, starts: IntArray, rows: IntArray, out: WordArray
) -> None:
    """Write row r of what `gather_values` gave to out[rows[r]]; out [P, F], starts [R]: its first value.

    Floats come as the 32-bit words that they are made of, so that a mask takes the place of a branch that no
    processor foresees; values [V + 1]: the one behind the last is read, and masked.
    """
    for r in range(rows.shape[0]):
        to, v = out[rows[r]], starts[r]
        for j in range(out.shape[1]):
            bit = (np.int64(bits[r, j >> 3]) >> (7 - (j & 7))) & 1
            to[j] = values[v] & np.int32(-bit)
            v += bit
