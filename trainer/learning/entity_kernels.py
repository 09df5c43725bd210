"""The layers of `entities` as machine code: an enemy's embedding lives in registers and is never written.

It is computed again wherever it is read, which takes less time than to read it from memory; enemies that an
agent does not see cost nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.compiled import helper
from envs.types import FloatArray, IntArray
from trainer.learning.vectors import (
    LANES,
    add,
    add_products,
    add_times,
    load,
    positive,
    splat,
    store,
    times,
    vector_kernel,
    where_positive,
)

ZERO, ONE = np.float32(0), np.float32(1)
WIDTH = 4 * LANES
"""The length of embeddings."""


@helper
def _embed(row: FloatArray, j: int, weight: FloatArray) -> Any:
    """The embedding of the enemy whose features begin at column j, before its ReLU, as four vectors."""
    width = weight.shape[0] - 1
    bias = width * WIDTH
    s0, s1 = load(weight, bias), load(weight, bias + LANES)
    s2, s3 = load(weight, bias + 2 * LANES), load(weight, bias + 3 * LANES)
    for k in range(width):
        x, w = row[j + k], k * WIDTH
        s0 = add_times(x, load(weight, w), s0)
        s1 = add_times(x, load(weight, w + LANES), s1)
        s2 = add_times(x, load(weight, w + 2 * LANES), s2)
        s3 = add_times(x, load(weight, w + 3 * LANES), s3)
    return s0, s1, s2, s3


@helper
def _add_outer(row: FloatArray, j: int, d: Any, part: int, d_weight: FloatArray) -> None:
    """d_weight += the enemy's features (and 1 for being seen) times one vector of gradients."""
    width = d_weight.shape[0] - 1
    for k in range(width + 1):
        x, at = (row[j + k] if k < width else ONE), k * WIDTH + part * LANES
        store(d_weight, at, add_times(x, d, load(d_weight, at)))


@vector_kernel
def add_embeddings(
    obs: FloatArray, agents: IntArray, first: int, count: int, distance: int, weight: FloatArray,
    inputs: FloatArray, out: FloatArray,
) -> None:  # fmt: skip
    """out [P M, D] = ReLU(inputs [P M, D] + the sum of the embeddings of all enemies that are seen).

    obs [P, N, O]; agents [M] of N; enemy j's features begin at column first + j width, and it is seen where
    the one at `distance` is above 0; weight [width + 1, D], its last row what being seen adds. D is WIDTH.
    """
    P, M, width = obs.shape[0], agents.shape[0], weight.shape[0] - 1
    for p in range(P):
        for m in range(M):
            row, at = obs[p, agents[m]], (p * M + m) * WIDTH
            t0, t1 = load(inputs, at), load(inputs, at + LANES)
            t2, t3 = load(inputs, at + 2 * LANES), load(inputs, at + 3 * LANES)
            for j in range(first, first + count * width, width):
                if row[j + distance] > ZERO:
                    s0, s1, s2, s3 = _embed(row, j, weight)
                    t0, t1 = add(t0, positive(s0)), add(t1, positive(s1))
                    t2, t3 = add(t2, positive(s2)), add(t3, positive(s3))
            store(out, at, positive(t0))
            store(out, at + LANES, positive(t1))
            store(out, at + 2 * LANES, positive(t2))
            store(out, at + 3 * LANES, positive(t3))


@vector_kernel
def add_embeddings_backward(
    obs: FloatArray, agents: IntArray, first: int, count: int, distance: int, weight: FloatArray,
    d_rows: FloatArray, d_weight: FloatArray,
) -> None:  # fmt: skip
    """d_weight [width + 1, D] += what the sums of `add_embeddings`, with gradients d_rows [P M, D], give."""
    P, M, width = obs.shape[0], agents.shape[0], weight.shape[0] - 1
    for p in range(P):
        for m in range(M):
            row, at = obs[p, agents[m]], (p * M + m) * WIDTH
            d0, d1 = load(d_rows, at), load(d_rows, at + LANES)
            d2, d3 = load(d_rows, at + 2 * LANES), load(d_rows, at + 3 * LANES)
            for j in range(first, first + count * width, width):
                if row[j + distance] > ZERO:
                    s0, s1, s2, s3 = _embed(row, j, weight)
                    _add_outer(row, j, where_positive(s0, d0), 0, d_weight)
                    _add_outer(row, j, where_positive(s1, d1), 1, d_weight)
                    _add_outer(row, j, where_positive(s2, d2), 2, d_weight)
                    _add_outer(row, j, where_positive(s3, d3), 3, d_weight)


@vector_kernel
def add_attack_values(
    obs: FloatArray, agents: IntArray, first: int, count: int, distance: int, weight: FloatArray,
    queries: FloatArray, first_attack: int, scratch: FloatArray, values: FloatArray,
) -> None:  # fmt: skip
    """values [P M, A] += queries [P M, D] times each seen enemy's embedding, in its attack's column.

    scratch [WIDTH]; the others as in `add_embeddings`.
    """
    P, M, width = obs.shape[0], agents.shape[0], weight.shape[0] - 1
    for p in range(P):
        for m in range(M):
            row, at = obs[p, agents[m]], (p * M + m) * WIDTH
            q0, q1 = load(queries, at), load(queries, at + LANES)
            q2, q3 = load(queries, at + 2 * LANES), load(queries, at + 3 * LANES)
            for enemy in range(count):
                j = first + enemy * width
                if row[j + distance] > ZERO:
                    s0, s1, s2, s3 = _embed(row, j, weight)
                    product = add_products(positive(s0), q0, splat(ZERO))
                    product = add_products(positive(s1), q1, product)
                    product = add_products(positive(s2), q2, product)
                    product = add_products(positive(s3), q3, product)
                    store(scratch, 0, product)
                    total = ZERO
                    for lane in range(LANES):
                        total += scratch[lane]
                    values[p * M + m, first_attack + enemy] += total


@vector_kernel
def add_attack_values_backward(
    obs: FloatArray, agents: IntArray, first: int, count: int, distance: int, weight: FloatArray,
    queries: FloatArray, first_attack: int, d_values: FloatArray, d_queries: FloatArray, d_weight: FloatArray,
) -> None:  # fmt: skip
    """d_queries [P M, D] and d_weight [width + 1, D] += what d_values [P M, A] give; most of those are 0."""
    P, M, width = obs.shape[0], agents.shape[0], weight.shape[0] - 1
    for p in range(P):
        for m in range(M):
            row, at = obs[p, agents[m]], (p * M + m) * WIDTH
            for enemy in range(count):
                j, d = first + enemy * width, d_values[p * M + m, first_attack + enemy]
                if d != ZERO and row[j + distance] > ZERO:
                    s0, s1, s2, s3 = _embed(row, j, weight)
                    _attack_backward(row, j, s0, d, 0, at, queries, d_queries, d_weight)
                    _attack_backward(row, j, s1, d, 1, at, queries, d_queries, d_weight)
                    _attack_backward(row, j, s2, d, 2, at, queries, d_queries, d_weight)
                    _attack_backward(row, j, s3, d, 3, at, queries, d_queries, d_weight)


@helper
def _attack_backward(
    row: FloatArray, j: int, s: Any, d: float, part: int, at: int, queries: FloatArray, d_queries: FloatArray,
    d_weight: FloatArray,
) -> None:  # fmt: skip
    """One vector s of an embedding, whose attack's value has the gradient d."""
    own = at + part * LANES
    store(d_queries, own, add_times(d, positive(s), load(d_queries, own)))
    _add_outer(row, j, where_positive(s, times(d, load(queries, own))), part, d_weight)
