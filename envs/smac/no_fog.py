"""SMAC without its fog: observations that reach across the whole map, for "IQL (no fog)" of the LAN paper.

They are made from the state, which shows every unit. Positions in the game lie on a grid of 1/4096 cell, to
which the state's float32 is rounded back; so what is within sight looks as it always does, to the last float.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from envs.slots import WrappedEnv
from envs.smac.actions import FIRST_ATTACK, NORTH
from envs.smac.layout import SIGHT_CELLS, Reals
from envs.smac.smac_map import ALLY_HEAD, ENEMY_HEAD, GRID_PER_CELL, OBS_HEAD, PLAYABLE_CELLS, SmacMap
from envs.types import BoolArray, EnvSpec, FloatArray, IntArray, MultiAgentEnv, TimeStep


class NoFogEnv(WrappedEnv):
    """The battles of a SMAC environment with observations that have no sight limit (a `MultiAgentEnv`).

    All else is the inner environment's: battles, state, rewards, available actions (attacks still reach six
    cells). Its `name` differs, so that no agent is shown a kind of observation that it was not trained on.
    """

    def __init__(self, env: MultiAgentEnv, smac_map: SmacMap, name: str) -> None:
        super().__init__(env)
        self._map, self._spec = smac_map, replace(env.spec, name=name)

    @property
    def spec(self) -> EnvSpec:
        return self._spec

    def reset(self, mask: BoolArray | None = None) -> TimeStep:
        """As the inner environment's, without fog."""
        return self._lift(self._env.reset(mask))

    def step(self, actions: IntArray) -> TimeStep:
        """As the inner environment's, without fog."""
        return self._lift(self._env.step(actions))

    def _lift(self, step: TimeStep) -> TimeStep:
        return replace(step, obs=full_observations(self._map, step.state, step.avail_actions))


def full_observations(smac_map: SmacMap, state: FloatArray, avail_actions: BoolArray) -> FloatArray:
    """Observations [B, N, O] in SMAC's layout that show every living unit, from state and available actions.

    state [B, S], avail_actions [B, N, A]. Distances stay in units of the sight range, so those beyond it are
    larger than 1. Rows of the dead, and what the dead see, are zeros.
    """
    B, N, E = len(state), smac_map.n_agents, smac_map.n_enemies
    ally_rest = smac_map.ally_shield + smac_map.unit_type_bits
    split = N * (ALLY_HEAD + ally_rest)
    allies = state[:, :split].reshape(B, N, -1)  # health, cooldown, x, y, rest
    enemies = state[:, split:].reshape(B, E, -1)  # health, x, y, rest
    others = np.array([[k for k in range(N) if k != i] for i in range(N)], np.int64).reshape(N, N - 1)
    places = _cells(allies[:, :, 2:4])
    seen_enemies = _rows(
        places, _cells(enemies[:, None, :, 1:3]), enemies[:, None, :, 0], enemies[:, None, :, ENEMY_HEAD:],
        avail_actions[:, :, FIRST_ATTACK : FIRST_ATTACK + E],
    )  # fmt: skip
    seen_allies = _rows(
        places, places[:, others], allies[:, others, 0], allies[:, others, ALLY_HEAD:], np.ones((B, N, N - 1))
    )
    own = np.concatenate((allies[:, :, :1], allies[:, :, ALLY_HEAD:]), axis=2)
    moves = avail_actions[:, :, NORTH:FIRST_ATTACK].astype(np.float32)
    obs = np.concatenate((moves, seen_enemies, seen_allies, own), axis=2)
    obs[allies[:, :, 0] <= 0] = 0
    return obs


def _cells(positions: FloatArray) -> Reals:
    """Positions of the state as the game has them, in cells from the map's centre."""
    return np.rint(positions.astype(np.float64) * (PLAYABLE_CELLS * GRID_PER_CELL)) / GRID_PER_CELL


def _rows(places: Reals, of_others: Reals, health: FloatArray, rest: FloatArray, flag: Any) -> FloatArray:
    """[B, N, K * (OBS_HEAD + R)]: for each agent at places [B, N, 2] a row for each of K others; dead: zeros.

    of_others [B, N or 1, K, 2] in cells too; health [B, N or 1, K] and rest [B, N or 1, K, R] as in the
    state; flag [B, N, K]: visible, or for enemies available.
    """
    B, N, K = flag.shape
    delta = of_others - places[:, :, None]  # [B, N, K, 2]
    distance = np.sqrt(delta[..., 0] * delta[..., 0] + delta[..., 1] * delta[..., 1])
    rows = np.empty((B, N, K, OBS_HEAD + rest.shape[-1]), np.float32)
    rows[..., 0] = flag
    rows[..., 1] = distance / SIGHT_CELLS
    rows[..., 2:4] = delta / SIGHT_CELLS
    rows[..., 4] = health
    rows[..., OBS_HEAD:] = rest
    rows[np.broadcast_to(health, (B, N, K)) <= 0] = 0
    return rows.reshape(B, N, -1)
