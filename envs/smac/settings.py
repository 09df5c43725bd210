"""The settings of SMAC that people change, under SMAC's own names: observation, state, reward.

Sources: the arguments of SMAC's and SMACv2's `StarCraft2Env`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Final

from envs.errors import InputError

NO_FOG: Final = ":no-fog"
"""Suffix of the name of an environment whose observations have no sight limit."""


@dataclass(frozen=True, kw_only=True)
class SmacSettings:
    """What observations, state and reward of a SMAC map are made of; the defaults are what SMAC's users use.

    InputError when a value cannot be used. Differences to SMAC: `state_last_action` is False, since learners
    here append the last actions themselves; `obs_timestep_number` adds one number as in SMACv2, not two.
    """

    obs_all_health: bool = True
    """Rows of other units show health (and shields)."""
    obs_own_health: bool = True
    """An agent sees its own health (and shields); always so with `obs_all_health`."""
    obs_last_action: bool = False
    """Rows of team mates show their last action."""
    obs_pathing_grid: bool = False
    """Observations show whether eight cells around can be walked on."""
    obs_terrain_height: bool = False
    """Observations show the height of these eight cells and of the agent's own."""
    obs_timestep_number: bool = False
    """Observations end with the share of the time that has passed."""
    obs_own_pos: bool = False
    """Observations show the agent's own position (SMACv2)."""
    obs_instead_of_state: bool = False
    """The state is all observations, one after the other."""
    state_last_action: bool = False
    """The state shows the last actions after the units (SMAC's default is True)."""
    state_timestep_number: bool = False
    """The state ends with the share of the time that has passed."""
    fully_observable: bool = False
    """Observations reach across the whole map; distances stay in units of the sight range (SMACv2)."""
    use_unit_ranges: bool = False
    """Sight and reach are those of the agent's unit type, instead of 9 and 6 cells for all (SMACv2)."""
    min_attack_range: float = 2.0
    """The least reach with `use_unit_ranges`, cells."""
    prob_obs_enemy: float | None = None
    """None: an agent sees the enemies in its sight, as in SMAC. A number: SMACv2's rule, see `sightings`."""
    action_mask: bool = True
    """Only what is in reach can be chosen; else all that lives, and beyond reach the last order stays."""
    conic_fov: bool = False
    """SMACv2's field of view; only False can be played."""
    reward_sparse: bool = False
    """The reward is 1 for a win, -1 for a loss, and 0 otherwise."""
    reward_only_positive: bool = True
    """What happens to agents costs nothing."""
    reward_regeneration: bool = True
    """With `reward_only_positive`, enemies that regain more than they lose pay that (SMAC), or 0 (SMACv2)."""
    reward_death_value: float = 10.0
    """The reward for an enemy's death."""
    reward_win: float = 200.0
    reward_defeat: float = 0.0
    reward_negative_scale: float = 0.5
    """How much losses of agents weigh, without `reward_only_positive`."""
    reward_scale: bool = True
    """Rewards are divided so that killing all enemies and winning returns `reward_scale_rate`."""
    reward_scale_rate: float = 20.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.type == "bool":
                if type(value) is not bool:
                    raise InputError(f"{each.name} must be True or False, not {value!r}")
            elif each.name != "prob_obs_enemy" or value is not None:
                _check_number(each.name, value)
        if self.conic_fov:
            raise InputError("conic_fov cannot be played: units of the simulator look all around")
        if self.prob_obs_enemy is not None and not 0 <= self.prob_obs_enemy <= 1:
            raise InputError(f"prob_obs_enemy must be from 0 to 1, not {self.prob_obs_enemy!r}")
        if self.min_attack_range < 0:
            raise InputError(f"min_attack_range must be at least 0, not {self.min_attack_range!r}")
        if self.reward_scale and self.reward_scale_rate <= 0:
            raise InputError(f"reward_scale_rate must be above 0, not {self.reward_scale_rate!r}")

    @property
    def shows_own_health(self) -> bool:
        """Whether an agent sees its own health."""
        return self.obs_all_health or self.obs_own_health


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{name} must be a finite number, not {value!r}")


SMAC_V2: Final = SmacSettings(
    obs_own_pos=True, use_unit_ranges=True, prob_obs_enemy=1.0, reward_regeneration=False
)
"""The settings of SMACv2's published scenarios."""

SMAC_V2_EPO: Final = replace(SMAC_V2, prob_obs_enemy=0.0, action_mask=False)
"""Those with "extended partial observability": an enemy is shown to the agent alone that found it first."""
