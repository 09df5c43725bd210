"""SMAC's class `StarCraft2Env` on the simulator, for code that was written for SMAC."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from envs.errors import InputError
from envs.interfaces.keywords import map_with
from envs.interfaces.single import SingleBattle, whole_actions
from envs.types import FloatArray


class StarCraft2Env:
    """Battles one after the other, with the methods and keywords of SMAC's class.

    map_name: a map that the project knows, or a map's file. seed: battle e of seed s is the simulator's
    battle e of seed s; None draws a seed. The other keywords are SMAC's and SMACv2's settings with SMAC's
    defaults, so the state shows last actions unless `state_last_action` is False. replay_dir, replay_prefix:
    see `save_replay`.
    InputError for an unknown map or keyword, and for what the simulator cannot play.
    """

    def __init__(
        self,
        map_name: str = "8m",
        *,
        seed: int | None = None,
        continuing_episode: bool = False,
        replay_dir: str = "",
        replay_prefix: str = "",
        **settings: Any,
    ) -> None:
        self._map = map_with(map_name, settings, type(self).__name__)
        self._battle = SingleBattle(self._map, seed)
        self.map_name, self.continuing_episode = map_name, continuing_episode
        self.replay_dir, self.replay_prefix = replay_dir, replay_prefix
        self.n_agents, self.n_enemies = self._map.n_agents, self._map.n_enemies
        self.n_actions = self._map.n_actions
        self.episode_limit = self._map.episode_limit
        self.battles_won = self.battles_game = self.timeouts = 0
        self.force_restarts = 0  # the simulator never has to
        self.last_action = np.zeros((self.n_agents, self.n_actions))

    def reset(self) -> tuple[list[FloatArray], FloatArray]:
        """Begin the next battle; its first observations and state."""
        self._battle.reset()
        self.last_action = np.zeros((self.n_agents, self.n_actions))
        return self.get_obs(), self.get_state()

    def step(self, actions: Any) -> tuple[float, bool, dict[str, Any]]:
        """Play one step with an action for every agent: the reward, whether the battle has ended, and info.

        info: battle_won, dead_allies, dead_enemies; episode_limit after a time-out with
        `continuing_episode`. ValueError when an action is not available, or the battle has ended before.
        """
        chosen = whole_actions(actions, self.n_agents)
        self._battle.step(chosen)
        self.last_action = np.eye(self.n_actions)[chosen]
        shown = self._battle.shown
        won, timed_out = bool(shown.won[0]), bool(shown.truncated[0])
        agents, enemies = self._battle.alive
        info: dict[str, Any] = {
            "battle_won": won,
            "dead_allies": int((~agents).sum()),
            "dead_enemies": int((~enemies).sum()),
        }
        if timed_out and self.continuing_episode:
            info["episode_limit"] = True
        ended = bool(shown.done[0])
        self.battles_game += ended
        self.battles_won += won
        self.timeouts += timed_out
        return float(shown.reward[0]), ended, info

    def get_obs(self) -> list[FloatArray]:
        """What every agent observes, [O] each."""
        return list(self._battle.shown.obs[0])

    def get_obs_agent(self, agent_id: int) -> FloatArray:
        """What one agent observes, [O]."""
        return self.get_obs()[agent_id]

    def get_state(self) -> FloatArray:
        """The state, [S]."""
        state: FloatArray = self._battle.shown.state[0]
        return state

    def get_avail_actions(self) -> list[list[int]]:
        """1 for every action that an agent can choose, else 0; N lists of A."""
        shown: list[list[int]] = self._battle.shown.avail_actions[0].astype(np.int64).tolist()
        return shown

    def get_avail_agent_actions(self, agent_id: int) -> list[int]:
        """1 for every action that one agent can choose, else 0."""
        return self.get_avail_actions()[agent_id]

    def get_total_actions(self) -> int:
        """Actions of an agent, available or not."""
        return self.n_actions

    def get_obs_size(self) -> int:
        """Width of an observation."""
        return self._battle.spec.obs_dim

    def get_state_size(self) -> int:
        """Width of the state."""
        return self._battle.spec.state_dim

    def get_obs_move_feats_size(self) -> int:
        """Features about moves and the ground, at an observation's head."""
        return self._map.obs_moves

    def get_obs_enemy_feats_size(self) -> tuple[int, int]:
        """Enemies, and the width of an enemy's row in an observation."""
        return self.n_enemies, self._map.obs_widths[0]

    def get_obs_ally_feats_size(self) -> tuple[int, int]:
        """Team mates, and the width of a team mate's row in an observation."""
        return self.n_agents - 1, self._map.obs_widths[1]

    def get_obs_own_feats_size(self) -> int:
        """Features about the agent itself, after the rows; the time, which may follow, is not among them."""
        (enemies, enemy), (mates, mate) = self.get_obs_enemy_feats_size(), self.get_obs_ally_feats_size()
        before = self._map.obs_moves + enemies * enemy + mates * mate
        return self.get_obs_size() - before - self._map.settings.obs_timestep_number

    def get_ally_num_attributes(self) -> int:
        """Width of an agent's row in the state."""
        return self._map.state_rows[0][1]

    def get_enemy_num_attributes(self) -> int:
        """Width of an enemy's row in the state."""
        return self._map.state_rows[1][1]

    def get_env_info(self) -> dict[str, Any]:
        """Sizes, and the names of the features of agents and enemies in the state."""
        types = [f"type_{bit}" for bit in range(self._map.unit_type_bits)]
        ally = ["health", "energy/cooldown", "rel_x", "rel_y"] + ["shield"] * self._map.ally_shield
        enemy = ["health", "rel_x", "rel_y"] + ["shield"] * self._map.enemy_shield
        return {
            "state_shape": self.get_state_size(),
            "obs_shape": self.get_obs_size(),
            "n_actions": self.n_actions,
            "n_agents": self.n_agents,
            "episode_limit": self.episode_limit,
            "agent_features": ally + types,
            "enemy_features": enemy + types,
        }

    def get_stats(self) -> dict[str, float]:
        """Battles played and won, time-outs, the share of battles that were won (0 before the first)."""
        return {
            "battles_won": self.battles_won,
            "battles_game": self.battles_game,
            "battles_draw": self.timeouts,
            "win_rate": self.battles_won / max(self.battles_game, 1),
            "timeouts": self.timeouts,
            "restarts": self.force_restarts,
        }

    def seed(self) -> int:
        """The seed of the battles."""
        return self._battle.env.seed

    def save_replay(self) -> Path:
        """Write the battle so far as a page for the browser, and return its path.

        In `replay_dir` (the folder `replays` by default); the name begins with `replay_prefix` or the map's
        name, and tells seed and battle.
        """
        env = self._battle.env
        name = f"{self.replay_prefix or self.map_name}_{env.seed}_{int(env.episodes[0])}.html"
        path = Path(self.replay_dir or "replays") / name.replace(":", "-").replace("/", "-")
        self._battle.save_page(path)
        return path

    def render(self, mode: str = "human") -> NoReturn:
        """Nothing can be shown while a battle runs: InputError that says so."""
        raise InputError(f"render({mode!r}): there is no window; save_replay() writes a page to watch")

    def close(self) -> None:
        """Release what the simulator holds; calling it twice is harmless."""
        self._battle.close()
