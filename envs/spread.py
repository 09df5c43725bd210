"""Simple spread: N agents should cover N landmarks without running into each other, seeing only what is near.

The world, its physics and its rewards are those of the multi-agent particle environments' simple spread
(Lowe et al. 2017; `mpe2.simple_spread_v3`), played B at a time; a sight radius and a world that grows with
the team are the LAN paper's. Lengths are in the particle world's unit (an agent's radius is 0.15).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from envs.slots import Outcome, SlotEnv
from envs.types import BoolArray, EnvSpec, FloatArray, IntArray

DT_S = 0.1
DAMPING = 0.25
ACCELERATION = 5.0
CONTACT_FORCE = 1e2
CONTACT_MARGIN = 1e-3
AGENT_RADIUS = 0.15
COVERED_DISTANCE = 0.1
DIRECTIONS = np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]], np.float64)
"""[A, 2]: no force, left, right, down, up."""

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SpreadSettings:
    """Settings; the defaults make N = 3 the usual world with a sight radius added.

    `half_width`: the agents and landmarks begin uniformly in a square of twice this; None gives every
    agent the same area whatever N is (LAN paper: world size in constant ratio to N), 1 at N = 3.
    `sight_radius`: agents and landmarks beyond it are not observed. `local_ratio`: weight of collisions,
    against that of distances. `episode_limit` in steps.
    """

    n_agents: int = 3
    half_width: float | None = None
    sight_radius: float = 1.0
    local_ratio: float = 0.5
    episode_limit: int = 25

    @property
    def spawn_half_width(self) -> float:
        """Half the side of the square in which everything begins."""
        return math.sqrt(self.n_agents / 3) if self.half_width is None else self.half_width


class SpreadEnv(SlotEnv):
    """B worlds of spread. A world is won when, at its last step, an agent is within 0.1 of every landmark.

    The team's reward is the mean of the agents' rewards: (1 - local_ratio) times minus the sum over
    landmarks of the distance to the nearest agent, plus local_ratio times minus the mean number of
    collisions per agent. An episode only ends by its time limit.

    Observation (O = 4 + 3 (2N - 1)): own velocity, own position; for each landmark, then for each other
    agent in order of id, whether it is within the sight radius, and if so where it is relative to oneself.
    State (S = 6 N): velocity and position of every agent, position of every landmark.
    """

    idle_actions = (0,)  # no force

    def __init__(self, settings: SpreadSettings, *, n_battles: int = 1, seed: int = 0) -> None:
        N = settings.n_agents
        spec = EnvSpec(
            name=f"spread:{N}",
            n_agents=N,
            n_actions=len(DIRECTIONS),
            obs_dim=4 + 3 * (2 * N - 1),
            state_dim=6 * N,
            unit_dim=4,
            episode_limit=settings.episode_limit,
        )
        super().__init__(spec, n_battles)
        self.settings = settings
        self.seed = seed
        self.position = np.zeros((n_battles, N, 2))  # [B, N, 2]
        self.velocity = np.zeros((n_battles, N, 2))  # [B, N, 2]
        self.landmark = np.zeros((n_battles, N, 2))  # [B, N, 2]

    def begin(self, slots: IntArray, episodes: IntArray) -> None:
        half_width = self.settings.spawn_half_width
        for slot, episode in zip(slots, episodes, strict=True):
            rng = np.random.default_rng([self.seed, int(episode)])
            self.position[slot] = rng.uniform(-half_width, half_width, self.position[slot].shape)
            self.landmark[slot] = rng.uniform(-half_width, half_width, self.landmark[slot].shape)
        self.velocity[slots] = 0

    def advance(self, actions: IntArray, live: BoolArray) -> Outcome:
        position, velocity = self.position[live], self.velocity[live]
        force = ACCELERATION * DIRECTIONS[actions[live]] + contact_forces(position)
        self.position[live] = position + velocity * DT_S
        self.velocity[live] = velocity * (1 - DAMPING) + force * DT_S  # the mass of an agent is 1
        to_nearest = distances(self.landmark, self.position).min(2)  # [B, N]
        last = self._steps + 1 >= self.spec.episode_limit
        outcome = Outcome.nothing(self.n_battles)
        outcome.reward[:] = self._team_reward(to_nearest)
        outcome.won[:] = (to_nearest < COVERED_DISTANCE).all(1) & last
        return outcome

    def _team_reward(self, to_nearest: Doubles) -> Doubles:
        """The mean over agents of their rewards, [B]."""
        close = distances(self.position, self.position) < 2 * AGENT_RADIUS  # [B, N, N]
        collisions = close.sum((1, 2)) - self.spec.n_agents  # everyone is close to oneself
        ratio = self.settings.local_ratio
        reward: Doubles = -(1 - ratio) * to_nearest.sum(1) - ratio * collisions / self.spec.n_agents
        return reward

    def observe(self) -> tuple[FloatArray, FloatArray, BoolArray]:
        B, N = self.n_battles, self.spec.n_agents
        own = np.concatenate((self.velocity, self.position), axis=2)  # [B, N, 4]
        landmarks = self._seen(self.landmark)  # [B, N, N, 3]
        everyone = self._seen(self.position)
        others = everyone[:, ~np.eye(N, dtype=np.bool_)]  # [B, N (N - 1), 3]
        obs = np.concatenate((own, landmarks.reshape(B, N, -1), others.reshape(B, N, -1)), axis=2)
        state = np.concatenate((own.reshape(B, -1), self.landmark.reshape(B, -1)), axis=1)
        return obs.astype(np.float32), state.astype(np.float32), self.available()

    def _seen(self, places: Doubles) -> Doubles:
        """[B, N, K, 3]: for each agent, each of `places` [B, K, 2]: 1, dx, dy within sight, zeros beyond."""
        relative = places[:, None] - self.position[:, :, None]
        visible = np.linalg.norm(relative, axis=-1, keepdims=True) <= self.settings.sight_radius
        return np.concatenate((visible, relative * visible), axis=-1)


def distances(a: Doubles, b: Doubles) -> Doubles:
    """[B, N, K] distances between a [B, N, 2] and b [B, K, 2]."""
    result: Doubles = np.linalg.norm(a[:, :, None] - b[:, None], axis=-1)
    return result


def contact_forces(position: Doubles) -> Doubles:
    """[B, N, 2]: the sum of the other agents' pushes at positions [B, N, 2].

    A push grows softly with how far two agents overlap; agents at the very same place do not push.
    """
    delta = position[:, :, None] - position[:, None]  # [B, N, N, 2]
    distance = np.linalg.norm(delta, axis=-1, keepdims=True)
    overlap = CONTACT_MARGIN * np.logaddexp(0, (2 * AGENT_RADIUS - distance) / CONTACT_MARGIN)
    direction = np.divide(delta, distance, out=np.zeros_like(delta), where=distance > 0)
    forces: Doubles = (CONTACT_FORCE * overlap * direction).sum(2)
    return forces
