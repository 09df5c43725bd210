"""The networks' first layers as machine code: most observations are mostly zeros, and those need no products.

A row's products are added in the order of its features, each rounded once (fused multiply-add), and the sum
is added to the rest: so results are those of a dense product, whose zeros change nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from envs.types import FloatArray, IntArray
from trainer.learning.vectors import (
    LANES,
    add,
    add_times,
    load,
    lowest_bit,
    nonzero_bits,
    positive,
    splat,
    store,
    vector_kernel,
)

ColumnArray = npt.NDArray[np.int32]
ZERO = np.float32(0)
WIDTH = 4 * LANES
"""Outputs whose sums stay in registers together."""


@vector_kernel
def find_nonzeros(rows: FloatArray, starts: IntArray, columns: ColumnArray, values: FloatArray) -> None:
    """Where rows [R, O] are not zero: row r's columns and values are those from starts[r] to starts[r + 1].

    starts [R + 1], columns [R O] and values [R O] are written.
    """
    found, (R, O) = 0, rows.shape
    for r in range(R):
        starts[r] = found
        row = rows[r]
        for first in range(0, O - LANES + 1, LANES):
            bits = nonzero_bits(row, first)
            while bits:
                j = first + lowest_bit(bits)
                columns[found], values[found] = j, row[j]
                found += 1
                bits &= bits - 1
        for j in range(O - O % LANES, O):
            if row[j] != ZERO:
                columns[found], values[found] = j, row[j]
                found += 1
    starts[rows.shape[0]] = found


@vector_kernel
def project_rows(
    starts: IntArray,
    columns: ColumnArray,
    values: FloatArray,
    last_action: IntArray,
    agents: IntArray,
    table: FloatArray,
    of_obs: FloatArray,
    rectify: bool,
    out: FloatArray,
) -> None:
    """out [P M, H] = table's row of last action and agent + obs @ of_obs, for `agents` [M] of N.

    starts [P N + 1], columns and values as in `find_nonzeros`; last_action [P, N], -1 = none yet;
    table [(A + 1) N, H]; of_obs [O, H]; with `rectify` negative results become 0. H is a multiple of WIDTH.
    """
    P, N = last_action.shape
    M, H = agents.shape[0], of_obs.shape[1]
    for p in range(P):
        for m in range(M):
            agent = agents[m]
            first, end = starts[p * N + agent], starts[p * N + agent + 1]
            base, to = ((last_action[p, agent] + 1) * N + agent) * H, (p * M + m) * H
            for j in range(0, H, WIDTH):
                s0 = s1 = s2 = s3 = splat(ZERO)
                for i in range(first, end):
                    x, at = values[i], np.int64(columns[i]) * H + j
                    s0 = add_times(x, load(of_obs, at), s0)
                    s1 = add_times(x, load(of_obs, at + LANES), s1)
                    s2 = add_times(x, load(of_obs, at + 2 * LANES), s2)
                    s3 = add_times(x, load(of_obs, at + 3 * LANES), s3)
                s0 = add(load(table, base + j), s0)
                s1 = add(load(table, base + j + LANES), s1)
                s2 = add(load(table, base + j + 2 * LANES), s2)
                s3 = add(load(table, base + j + 3 * LANES), s3)
                if rectify:
                    s0, s1, s2, s3 = positive(s0), positive(s1), positive(s2), positive(s3)
                store(out, to + j, s0)
                store(out, to + j + LANES, s1)
                store(out, to + j + 2 * LANES, s2)
                store(out, to + j + 3 * LANES, s3)


@vector_kernel
def sum_positive(rows: FloatArray, M: int, scratch: FloatArray, out: FloatArray) -> None:
    """out [P, E]: the sum over each M rows of rows [P M, E], negative ones taken as 0; scratch [E].

    In torch's order: sums of sixteen rows, and the rest last but added first.
    """
    P, E = out.shape
    for p in range(P):
        total = out[p]
        for j in range(E):
            total[j] = scratch[j] = ZERO
        for m in range(M):
            row = rows[p * M + m]
            for j in range(E):
                scratch[j] += row[j] if row[j] > ZERO else ZERO
            if m % 16 == 15:
                for j in range(E):
                    total[j] += scratch[j]
                    scratch[j] = ZERO
        for j in range(E):
            total[j] = scratch[j] + total[j]


@vector_kernel
def add_table(
    last_action: IntArray, agents: IntArray, table: FloatArray, rectify: bool, out: FloatArray
) -> None:
    """What `project_rows` does once out [P M, H] holds the products."""
    P, N = last_action.shape
    M, H = agents.shape[0], table.shape[1]
    for p in range(P):
        for m in range(M):
            agent = agents[m]
            row, to = table[(last_action[p, agent] + 1) * N + agent], out[p * M + m]
            for j in range(H):
                x = row[j] + to[j]
                to[j] = ZERO if rectify and x < ZERO else x


@vector_kernel
def sum_by_table_row(
    last_action: IntArray, agents: IntArray, d_rows: FloatArray, d_table: FloatArray
) -> None:
    """d_table [(A + 1) N, H] += the rows of d_rows [P M, H] that began with each row of the table."""
    P, N = last_action.shape
    M, H = agents.shape[0], d_rows.shape[1]
    for p in range(P):
        for m in range(M):
            agent = agents[m]
            to, row = d_table[(last_action[p, agent] + 1) * N + agent], d_rows[p * M + m]
            for j in range(H):
                to[j] += row[j]


@vector_kernel
def mask_gradient(grad: FloatArray, rows: FloatArray, d_rows: FloatArray) -> None:
    """d_rows [P M, H] = grad [P, H], once for each of M rows, where rows [P M, H] are positive, else 0."""
    P, H = grad.shape
    M = rows.shape[0] // P
    for p in range(P):
        behind = grad[p]
        for r in range(p * M, (p + 1) * M):
            row, d_row = rows[r], d_rows[r]
            for j in range(H):
                d_row[j] = behind[j] if row[j] > ZERO else ZERO
