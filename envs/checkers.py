"""Checkers: a sensitive agent should get every apple, a less sensitive one should clear its way of lemons.

From value-decomposition networks (Sunehag et al. 2018, section 4.2), with the LAN paper's rewards, window
and time limit. Apples and lemons alternate on the six left columns of a 3×8 board; the agents start on the
free columns to the right. Rows count from the top.
"""

from __future__ import annotations

import numpy as np

from envs.slots import Outcome, SlotEnv
from envs.types import BoolArray, EnvSpec, FloatArray, IntArray

ROWS, COLUMNS, FOOD_COLUMNS = 3, 8, 6
EPISODE_LIMIT_STEPS = 100
STAY, UP, DOWN, LEFT, RIGHT = range(5)
MOVES = np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]])
"""[A, 2]: the change of row and column by each action."""
STARTS = np.array([[0, 6], [2, 6]])
"""[N, 2]: where the agents begin; agent 0 is the sensitive one."""
NOTHING, APPLE, LEMON, OUTSIDE = range(4)
REWARDS = np.array([[0.0, 10.0, -10.0], [0.0, 1.0, -1.0]], np.float32)
"""[N, 3]: the team's reward when an agent eats nothing, an apple, a lemon."""
WINDOW = 3

SPEC = EnvSpec(
    name="checkers",
    n_agents=2,
    n_actions=len(MOVES),
    obs_dim=2 + WINDOW * WINDOW * 4,
    state_dim=2 * 2 + 2 * ROWS * FOOD_COLUMNS,
    unit_dim=2,
    episode_limit=EPISODE_LIMIT_STEPS,
)


def first_board() -> IntArray:
    """[ROWS, COLUMNS]: apples where row + column is even, lemons where it is odd, nothing to the right."""
    row, column = np.indices((ROWS, COLUMNS))
    food = np.where((row + column) % 2 == 0, APPLE, LEMON)
    return np.where(column < FOOD_COLUMNS, food, NOTHING)


class CheckersEnv(SlotEnv):
    """B boards of Checkers. A board is won when no apple is left, by either agent: compare returns.

    Every action is always available; walking into a wall or the other agent is staying. Agent 0 moves
    first, so agent 1 can step to where agent 0 just left. Nothing is random.

    Observation of an agent (O = 38): row/2, column/7; then, cell by cell of the 3×3 window around it, four
    0/1 features: apple, lemon, the other agent, outside of the board.
    State (S = 40): row/2, column/7 of both agents; then for the 18 food cells whether an apple is there, and
    for the same cells whether a lemon is.
    """

    idle_actions = (STAY,)

    def __init__(self, *, n_battles: int = 1) -> None:
        super().__init__(SPEC, n_battles)
        self._board = np.tile(first_board(), (n_battles, 1, 1))  # [B, ROWS, COLUMNS]
        self._position = np.tile(STARTS, (n_battles, 1, 1))  # [B, N, 2]

    def begin(self, slots: IntArray, episodes: IntArray) -> None:
        self._board[slots] = first_board()
        self._position[slots] = STARTS

    def advance(self, actions: IntArray, live: BoolArray) -> Outcome:
        outcome = Outcome.nothing(self.n_battles)
        boards = np.flatnonzero(live)
        for agent in range(SPEC.n_agents):
            target = self._position[boards, agent] + MOVES[actions[boards, agent]]  # [K, 2]
            inside = ((target >= 0) & (target < (ROWS, COLUMNS))).all(1)
            free = (target != self._position[boards, 1 - agent]).any(1)
            moved, target = boards[inside & free], target[inside & free]
            self._position[moved, agent] = target
            cell = (moved, target[:, 0], target[:, 1])
            outcome.reward[moved] += REWARDS[agent, self._board[cell]]
            self._board[cell] = NOTHING
        outcome.terminated[:] = outcome.won[:] = ~(self._board == APPLE).any((1, 2))
        return outcome

    def observe(self) -> tuple[FloatArray, FloatArray, BoolArray]:
        B, N = self.n_battles, SPEC.n_agents
        place = (self._position / (ROWS - 1, COLUMNS - 1)).astype(np.float32)  # [B, N, 2]
        obs = np.concatenate((place, self._windows().reshape(B, N, -1)), axis=2)
        food = self._board[:, :, :FOOD_COLUMNS].reshape(B, -1)
        state = np.concatenate((place.reshape(B, -1), food == APPLE, food == LEMON), axis=1)
        return obs.astype(np.float32), state.astype(np.float32), self.available()

    def _windows(self) -> BoolArray:
        """[B, N, 9, 4]: apple, lemon, other agent, outside, for each cell around each agent, row by row."""
        B, N = self.n_battles, SPEC.n_agents
        padded = np.pad(self._board, ((0, 0), (1, 1), (1, 1)), constant_values=OUTSIDE)
        steps = np.indices((WINDOW, WINDOW)).reshape(2, -1).T  # [9, 2]
        cells = self._position[:, :, None] + steps  # [B, N, 9, 2], in the padded board
        content = padded[np.arange(B)[:, None, None], cells[..., 0], cells[..., 1]]
        other = (cells - 1 == self._position[:, ::-1, None]).all(-1)
        windows = np.stack((content == APPLE, content == LEMON, other, content == OUTSIDE), axis=-1)
        return windows.reshape(B, N, WINDOW * WINDOW, 4)
