"""What numpy would do in several passes at every step of a round, in one."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from envs.compiled import kernel
from envs.types import IntArray


@kernel
def keep_rows(battles: IntArray, t: int, rows: npt.NDArray[Any], kept: npt.NDArray[Any]) -> None:
    """kept[b, t] = rows[b] for b of `battles`; rows [B, F], kept [B, T, F]."""
    for i in range(battles.shape[0]):
        b = battles[i]
        for j in range(rows.shape[1]):
            kept[b, t, j] = rows[b, j]
