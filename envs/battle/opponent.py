"""Battles whose enemies obey a team instead of the map's order: a scripted one, or any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from envs.battle import fields
from envs.battle.commands import command
from envs.battle.env import BattleEnv
from envs.battle.heuristic import HEURISTIC, HeuristicTeam
from envs.battle.mirror import UNTURNED, Mirror, Turn, turn_of
from envs.battle.teams import TEAMS
from envs.battle.views import Side, Units
from envs.battle.world import Orders
from envs.command import nearest_names
from envs.compiled import announce
from envs.errors import InputError
from envs.slots import WrappedEnv
from envs.smac.maps import MAP_SCRIPT
from envs.smac.smac_map import SmacMap
from envs.types import BoolArray, EnvSpec, IntArray, MultiAgentEnv, Team, TimeStep

SCRIPTED: Final = (*TEAMS, HEURISTIC)
"""The scripted teams that can command the enemies."""

_SEED_OFFSET: Final = 7_368_787
"""Tells the draws of a random opponent from those of a random team of the same seed."""


def check_opponent(name: str, map_name: str, backend: str) -> None:
    """InputError unless `name` is a scripted opponent, and battles on that map can have one."""
    if name == MAP_SCRIPT:
        return
    if name not in SCRIPTED:
        raise InputError(f"--opponent {name}: no such team; {nearest_names(name, (MAP_SCRIPT, *SCRIPTED))}")
    if backend != "sim":
        raise InputError(
            f"--opponent {name}: only the simulator's enemies can be commanded, not those of {map_name} on "
            f"{backend}; say --env sim"
        )


def with_scripted_opponent(env: MultiAgentEnv, name: str, seed: int) -> MultiAgentEnv:
    """The environment with a scripted team in command of the enemies; itself where the map's order is."""
    if name == MAP_SCRIPT:
        return env
    if name == HEURISTIC:
        return OpponentEnv(env, lambda side: HeuristicTeam(side, seed), attacks_anywhere=True)
    return OpponentEnv(env, lambda side: TEAMS[name](side, seed + _SEED_OFFSET))


def with_trained_opponent(
    env: MultiAgentEnv, name: str, spec: EnvSpec, make_team: Callable[[Side], Team]
) -> MultiAgentEnv:
    """The environment with a team trained for `spec` in command of the enemies, who must be as agents are.

    `make_team` gives a new team at each call, as for `OpponentEnv`. InputError where it does not fit.
    """
    if different := env.spec.differences(spec):
        raise InputError(f"--opponent {name} was made for another environment: {'; '.join(different)}")
    try:
        turn = turn_of(battle_env(env).smac_map)
    except InputError as error:
        raise InputError(f"--opponent {name} learned the other side: {error}") from None
    return OpponentEnv(env, make_team, turn=turn)


class OpponentEnv(WrappedEnv):
    """A `BattleEnv`, or one around it, whose enemies act by a team that sees the battle from their side.

    Like agents they do what they are told, and choose no target by themselves. `make_team` is called with the
    enemies' side, as with an environment, at every reset; the new team plays the battles that begin then. The
    environment is changed for good. `turn`: see `mirror.turn_of`. `attacks_anywhere`: as `AttackAnywhere`.
    """

    def __init__(
        self,
        env: MultiAgentEnv,
        make_team: Callable[[Side], Team],
        *,
        turn: Turn = UNTURNED,
        attacks_anywhere: bool = False,
    ) -> None:
        super().__init__(env)
        battles = battle_env(env)
        self._battle_env = battles
        battles._worlds.t[:, fields.ACQUIRES, env.spec.n_agents :] = 0
        battles._worlds = battles._worlds._replace(enemy_order=fields.STOP)
        self.mirror = Mirror(battles, turn)
        self._make_team, self._attacks_anywhere = make_team, attacks_anywhere
        self._teams: list[tuple[Team, BoolArray]] = []  # and the slots [B] that each one plays
        shape = self.n_battles, self.mirror.spec.n_agents
        self._orders = Orders(np.full(shape, -1), np.full(shape, -1), np.zeros((*shape, 2)))
        announce("the battle simulator", command)

    @property
    def units(self) -> Units:
        """As `BattleEnv.units`."""
        return self._battle_env.units

    @property
    def episodes(self) -> IntArray:
        """As `BattleEnv.episodes`."""
        return self._battle_env.episodes

    @property
    def smac_map(self) -> SmacMap:
        """The map of the battles."""
        return self._battle_env.smac_map

    def reset(self, mask: BoolArray | None = None) -> TimeStep:
        """As `BattleEnv.reset`."""
        step = self._env.reset(mask)
        slots = np.ones(self.n_battles, np.bool_) if mask is None else np.asarray(mask).copy()
        self.mirror.begin(slots)
        old = [(team, played & ~slots & ~step.done) for team, played in self._teams]
        self._teams = [(team, played) for team, played in old if played.any()]
        self._teams.append((self._make_team(self.mirror), slots))
        self._decide(step, slots)
        return step

    def step(self, actions: IntArray) -> TimeStep:
        """As `BattleEnv.step`."""
        self._command()
        return self._decide(self._env.step(actions))

    def step_orders(self, order: IntArray, *args: Any, **kwargs: Any) -> TimeStep:
        """As `BattleEnv.step_orders`."""
        self._command()
        return self._decide(self._battle_env.step_orders(order, *args, **kwargs))

    def _command(self) -> None:
        """Give the enemies their orders; a second time changes nothing."""
        env = self._battle_env
        command(env._battles, env._worlds, self.mirror.commanded.copy(), self._orders)

    def _decide(self, step: TimeStep, asked: BoolArray | None = None) -> TimeStep:
        """Ask the teams for their next orders in the slots `asked` [B], all when None; returns `step`."""
        asked = ~step.done if asked is None else asked & ~step.done
        if not asked.any():
            return step
        ours = self._battle_env.units.alive[:, : self.spec.n_agents] > 0
        seen = self.mirror.look(step.terminated & ~step.won & ~ours.any(axis=1))
        actions = np.zeros((self.n_battles, self.mirror.spec.n_agents), np.int64)
        for team, slots in self._teams:
            if (slots & asked).any():
                actions[slots] = team(seen)[slots]
        self.mirror.remember(actions, asked)
        orders = self.mirror.orders(actions, keeps_orders=self._attacks_anywhere)
        for kept, new in zip(self._orders, orders, strict=True):
            kept[asked] = new[asked]
        return step


def battle_env(env: MultiAgentEnv) -> BattleEnv:
    """The simulator inside an environment; InputError where there is none whose enemies can be commanded."""
    while isinstance(env, WrappedEnv):
        env = env._env
    if not isinstance(env, BattleEnv):
        raise InputError(f"{env.spec.name}: only the simulator's enemies can be commanded")
    if env.smac_map.draw is not None:
        raise InputError(
            f"{env.spec.name}: nobody can command enemies that every episode draws anew; leave --opponent out"
        )
    if env.smac_map.settings.prob_obs_enemy is not None:
        raise InputError(f"{env.spec.name}: nobody can command enemies where prob_obs_enemy is set")
    return env
