"""Battles whose enemies obey a team instead of the map's order: a scripted one, or any other."""

from __future__ import annotations

from abc import abstractmethod
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
from envs.slots import WrappedEnv, check_actions
from envs.smac.maps import MAP_SCRIPT
from envs.smac.smac_map import SmacMap
from envs.types import BoolArray, EnvSpec, IntArray, MultiAgentEnv, Team, TimeStep

SCRIPTED: Final = (*TEAMS, HEURISTIC)
"""The scripted teams that can command the enemies."""

_SEED_OFFSET: Final = 7_368_787
"""Tells the draws of a random opponent from those of a random team of the same seed."""


def check_opponent(name: str) -> None:
    """InputError unless `name` is the map's order or a scripted opponent."""
    if name not in (MAP_SCRIPT, *SCRIPTED):
        raise InputError(f"--opponent {name}: no such team; {nearest_names(name, (MAP_SCRIPT, *SCRIPTED))}")


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
    return OpponentEnv(env, make_team, turn=trained_side(battle_env(env).smac_map, name, spec))


def trained_side(smac_map: SmacMap, name: str, spec: EnvSpec) -> Turn:
    """The turn after which a team trained for `spec` can be a map's enemies; InputError where it cannot.

    `name`: the team's, for the error.
    """
    check_commandable(smac_map)
    if different := smac_map.spec.differences(spec):
        raise InputError(f"--opponent {name} was made for another environment: {'; '.join(different)}")
    try:
        return turn_of(smac_map)
    except InputError as error:
        raise InputError(f"--opponent {name} learned the other side: {error}") from None


class CommandedEnv(WrappedEnv):
    """A `BattleEnv`, or one around it, whose enemies are commanded as agents are; a subclass says by whom.

    They do what they are told, and choose no target by themselves; those that are told nothing go on. The
    environment is changed for good. `turn`: see `mirror.turn_of`. `attacks_anywhere`: as `AttackAnywhere`.
    """

    def __init__(self, env: MultiAgentEnv, turn: Turn = UNTURNED, *, attacks_anywhere: bool = False) -> None:
        super().__init__(env)
        battles = battle_env(env)
        self._battle_env = battles
        battles._worlds.t[:, fields.ACQUIRES, env.spec.n_agents :] = 0
        battles._worlds = battles._worlds._replace(enemy_order=fields.STOP)
        self.mirror = Mirror(battles, turn)
        self._attacks_anywhere = attacks_anywhere
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
        self._begun(step, slots)
        return step

    def step(self, actions: IntArray) -> TimeStep:
        """As `BattleEnv.step`."""
        self._command()
        step = self._env.step(actions)
        self._played(step, ~step.done)
        return step

    def step_orders(self, order: IntArray, *args: Any, **kwargs: Any) -> TimeStep:
        """As `BattleEnv.step_orders`."""
        self._command()
        step = self._battle_env.step_orders(order, *args, **kwargs)
        self._played(step, ~step.done)
        return step

    @abstractmethod
    def _begun(self, step: TimeStep, slots: BoolArray) -> None:
        """Battles have begun in `slots` [B]; `step` is of all."""

    @abstractmethod
    def _played(self, step: TimeStep, live: BoolArray) -> None:
        """A step was played; the battles that go on are `live` [B]."""

    def _command(self) -> None:
        """Give the enemies their orders; a second time changes nothing."""
        env = self._battle_env
        command(env._battles, env._worlds, self.mirror.commanded.copy(), self._orders)

    def _look(self, step: TimeStep) -> TimeStep:
        """What the enemies see after `step`."""
        ours = self._battle_env.units.alive[:, : self.spec.n_agents] > 0
        return self.mirror.look(step.terminated & ~step.won & ~ours.any(axis=1))

    def _take(self, actions: IntArray, asked: BoolArray) -> None:
        """Keep the enemies' actions [B, E] in the slots `asked` [B] as their next orders."""
        self.mirror.remember(actions, asked)
        orders = self.mirror.orders(actions, keeps_orders=self._attacks_anywhere)
        for kept, new in zip(self._orders, orders, strict=True):
            kept[asked] = new[asked]


class OpponentEnv(CommandedEnv):
    """One whose enemies act by a team that sees the battle from their side.

    `make_team` is called with the enemies' side, as with an environment, at every reset; the new team plays
    the battles that begin then.
    """

    def __init__(
        self,
        env: MultiAgentEnv,
        make_team: Callable[[Side], Team],
        *,
        turn: Turn = UNTURNED,
        attacks_anywhere: bool = False,
    ) -> None:
        super().__init__(env, turn, attacks_anywhere=attacks_anywhere)
        self._make_team = make_team
        self._teams: list[tuple[Team, BoolArray]] = []  # and the slots [B] that each one plays

    def _begun(self, step: TimeStep, slots: BoolArray) -> None:
        old = [(team, played & ~slots & ~step.done) for team, played in self._teams]
        self._teams = [(team, played) for team, played in old if played.any()]
        self._teams.append((self._make_team(self.mirror), slots))
        self._played(step, slots & ~step.done)

    def _played(self, step: TimeStep, live: BoolArray) -> None:
        """Ask the teams for their next actions."""
        if not live.any():
            return
        seen = self._look(step)
        actions = np.zeros((self.n_battles, self.mirror.spec.n_agents), np.int64)
        for team, slots in self._teams:
            if (slots & live).any():
                actions[slots] = team(seen)[slots]
        self._take(actions, live)


class TwoSidedEnv(CommandedEnv):
    """One whose enemies are commanded from outside, before every step: `envs.types.TwoSided`."""

    _seen: TimeStep | None = None

    def seen_by_enemies(self) -> TimeStep:
        """What the enemies see now, as agents of the same environment; ValueError before the first reset."""
        if self._seen is None:
            raise ValueError("no battle has begun")
        return self._seen

    def command_enemies(self, actions: IntArray) -> None:
        """Take the actions [B, E] of the enemies for the next step; ValueError where one is not available."""
        seen = self.seen_by_enemies()
        self._take(check_actions(actions, seen.avail_actions, ~seen.done), ~seen.done)

    def _begun(self, step: TimeStep, slots: BoolArray) -> None:
        self._seen = self._look(step)

    def _played(self, step: TimeStep, live: BoolArray) -> None:
        self._seen = self._look(step)


def battle_env(env: MultiAgentEnv) -> BattleEnv:
    """The simulator inside an environment; InputError where there is none whose enemies can be commanded."""
    while isinstance(env, WrappedEnv):
        env = env._env
    if not isinstance(env, BattleEnv):
        raise InputError(f"{env.spec.name}: only the simulator's enemies can be commanded")
    check_commandable(env.smac_map)
    return env


def check_commandable(smac_map: SmacMap) -> None:
    """InputError where nobody can command a map's enemies."""
    if smac_map.draw is not None:
        raise InputError(
            f"{smac_map.name}: nobody can command enemies that every episode draws anew; leave --opponent out"
        )
    if smac_map.settings.prob_obs_enemy is not None:
        raise InputError(f"{smac_map.name}: nobody can command enemies where prob_obs_enemy is set")
