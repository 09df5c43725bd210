"""A recorded battle of a scripted team."""

from __future__ import annotations

from envs.battle.env import BattleEnv
from envs.battle.record import Recorder
from envs.battle.teams import TEAMS
from envs.make import find_map


def recorded(name: str, player: str = "nearest") -> Recorder:
    """The recorder of one battle on a map, played to its end by the team `nearest`."""
    with BattleEnv(find_map(name), seed=4) as env:
        team, recorder, step = TEAMS["nearest"](env, 0), Recorder(player), env.reset()
        recorder.begin(env, step)
        while not step.done.all():
            actions = team(step)
            step = env.step(actions)
            recorder.step(env, step, actions)
        return recorder
