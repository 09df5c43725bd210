"""Makes environments by name and backend; the one place that knows all of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, SupportsIndex

from envs.command import nearest_names
from envs.errors import InputError
from envs.files import expanded
from envs.plain import NO_MAPS, is_smac_map, make_plain
from envs.slots import whole_seed
from envs.smac.maps import ALL_NAMES, load_map
from envs.smac.own_maps import environment_name, find_own_map, is_own_map
from envs.smac.scenarios import EPO_NAMES, SCENARIO_NAMES
from envs.smac.settings import NO_FOG
from envs.text import one_line
from envs.types import RULES_VERSION, EnemyRows, EnvSpec, MultiAgentEnv

if TYPE_CHECKING:
    from envs.smac.smac_map import SmacMap

BACKEND_NAMES = {
    "sim": "the embedded simulator",
    "sc2": "the live game through pysc2",
    "smac": "the live game through the official SMAC package",
    "smacv2": "the live game through the official SMACv2 package",
}
BACKENDS = ("auto", *BACKEND_NAMES)
REWARDS = ("map", "smacv2")
"""Which reward battles have: the map's own, or SMACv2's, which pays nothing for what enemies regain."""
SHOWS_UNITS = ("sim", "sc2")
"""The backends whose battles can be recorded as a page and watched."""


def sc2_root() -> Path:
    """The folder of StarCraft II: `$SC2PATH`, else `~/StarCraftII`, as for pysc2; InputError without home."""
    return expanded(os.environ.get("SC2PATH") or "~/StarCraftII")


def has_sc2_game(root: Path) -> bool:
    """Whether `root` holds an executable game, `Versions/Base*/SC2_x64`."""
    try:
        return any(
            game.is_file() and os.access(game, os.X_OK) for game in root.glob("Versions/Base*/SC2_x64")
        )
    except OSError:  # no folder can have such a name, or nobody may look into it
        return False


def game_is_asked_for() -> bool:
    """Whether `$SC2PATH` names a game; says so, once, when it names a folder without one."""
    root = sc2_root() if os.environ.get("SC2PATH") else None
    if root is None or has_sc2_game(root):
        return root is not None
    say_no_game(root)
    return False


@cache
def say_no_game(root: Path) -> None:
    """Say on stderr that battles are simulated although `$SC2PATH` is set."""
    print(
        f"SC2PATH is {one_line(root)}, where no executable Versions/Base*/SC2_x64 lies: the simulator plays",
        file=sys.stderr,
        flush=True,
    )


def resolve_backend(backend: str, map_name: str = "") -> str:
    """The backend that `--env` stands for: `sim`, `sc2`, `smac` or `smacv2`.

    `auto` takes the live game where `$SC2PATH` names one, else the simulator; a `$SC2PATH` without a game is
    reported on stderr. Environments that are no SMAC maps are simulated whatever is installed, and so are
    SMACv2's scenarios, unless `smacv2` is asked for.
    """
    if backend not in BACKENDS:
        raise InputError(f"unknown environment backend {backend!r}: {nearest_names(backend, BACKENDS)}")
    if backend in ("smac", "smacv2") and is_without_fog(map_name):
        others = "--env sc2 plays the same game" if backend == "smac" else "--env sim plays"
        raise InputError(
            f"--env {backend} cannot play {map_name}: the official package shows nothing beyond its sight "
            f"range; {others} without fog"
        )
    if is_own_map(map_name):
        if backend not in ("auto", "sim"):
            raise InputError(f"--env {backend} cannot play {map_name}: maps of one's own are simulated")
        return "sim"
    if not is_smac_map(map_name):
        if backend not in ("auto", "sim"):
            raise InputError(f"--env {backend} cannot play {map_name}, which is no StarCraft II map")
        return "sim"
    if backend == "sim" or (backend == "auto" and is_scenario(map_name)):
        return "sim"
    if is_scenario(map_name) != (backend == "smacv2"):
        plays = "SMACv2's scenarios" if backend == "smacv2" else "SMAC's maps, with their own units"
        raise InputError(f"--env {backend} plays {plays}, and {map_name} is none; say --env sim or another")
    if backend == "auto":
        return "sc2" if game_is_asked_for() else "sim"
    if not has_sc2_game(sc2_root()):
        raise InputError(
            f"--env {backend} needs StarCraft II, and {sc2_root()} holds no Versions/Base*/SC2_x64 that "
            "can be run. Install Blizzard's Linux package there or set SC2PATH to where it is; "
            "--env sim plays on the embedded simulator and needs no game"
        )
    return backend


def rules_of(name: str, backend: str) -> int:
    """The version of the simulator's rules by which a backend plays an environment; 0 where it has others."""
    return RULES_VERSION if backend == "sim" and is_smac_map(name) else 0


def check_commanded(opponent: object, map_name: str, backend: str) -> None:
    """InputError where the enemies of an environment, if it has any, obey nobody here."""
    if not is_smac_map(map_name):
        raise InputError(f"--opponent {opponent}: {map_name} has no enemies to command; leave it out")
    if backend != "sim":
        raise InputError(
            f"--opponent {opponent}: only the simulator's enemies can be commanded, not those of {map_name} "
            f"on {backend}; say --env sim"
        )


def is_scenario(name: str) -> bool:
    """Whether a name is of a SMACv2 scenario, whose teams are drawn."""
    return name.removesuffix(NO_FOG) in (*SCENARIO_NAMES, *EPO_NAMES)


def is_code(name: str) -> bool:
    """Whether making the environment of that name imports a module that the name chooses.

    Such a name is taken from the user, never from a file alone.
    """
    return name.partition(":")[0] == "pettingzoo"


def is_without_fog(name: str) -> bool:
    """Whether a name is of a SMAC map whose agents see all of it, such as `corridor:no-fog`."""
    return name.endswith(NO_FOG) and is_smac_map(name)


def without_fog(name: str) -> str:
    """The name of a SMAC map's variant without fog; InputError for environments that are no SMAC maps."""
    if not is_smac_map(name):
        raise InputError(f"{name} has no fog that could be lifted: only SMAC's maps have")
    return name if is_without_fog(name) else name + NO_FOG


def agent_types(name: str) -> tuple[str, ...] | None:
    """[N] the type of each agent's unit on a SMAC map, such as `stalker`; None where agents have no types.

    () where every episode draws them.
    """
    if not is_smac_map(name):
        return None
    return tuple(kind.name.lower() for kind in find_map(name).ally_types)


def enemy_rows(name: str) -> EnemyRows | None:
    """Where a SMAC map's observations hold the enemies; None in environments that are no SMAC maps."""
    return find_map(name).enemy_rows if is_smac_map(name) else None


def env_spec(map_name: str | PathLike[str]) -> EnvSpec:
    """The spec of a map without making its environment; InputError with the nearest names when unknown."""
    map_name = environment_name(map_name)
    if (plain := make_plain(map_name, n_battles=1, seed=0)) is not None:
        plain.close()
        return plain.spec
    return find_map(map_name, NO_MAPS).spec


def find_map(name: str, others: Sequence[str] = ()) -> SmacMap:
    """The SMAC map of that name, or of that name without fog; InputError with the nearest of all names.

    others: names that are no maps of SMAC's, and that would do as well.
    """
    without_suffix = name.removesuffix(NO_FOG)
    if is_own_map(without_suffix):
        smac_map = find_own_map(without_suffix).smac_map
    elif without_suffix in ALL_NAMES:
        smac_map = load_map(without_suffix)
    else:
        known = (*ALL_NAMES, *others)
        if without_suffix.partition(":")[0] in ALL_NAMES:  # a suffix that there is not
            known = tuple(name + NO_FOG for name in ALL_NAMES)
        raise InputError(f"unknown map {name!r}: {nearest_names(without_suffix, known)}")
    settings = replace(smac_map.settings, fully_observable=is_without_fog(name))
    return replace(smac_map, settings=settings)


def battles_at_once(backend: str, wanted: int) -> int:
    """How many of `wanted` battles to play side by side: one on a live game, which takes gigabytes."""
    return wanted if backend == "sim" else 1


def make_env(
    map_name: str | PathLike[str],
    backend: str = "auto",
    *,
    n_battles: int = 1,
    seed: SupportsIndex = 0,
    reward: str = "map",
) -> MultiAgentEnv:
    """B = `n_battles` battles of one map, for a `with` block; InputError when map or backend is missing.

    map_name: also a map file, `NAME.json`. seed: 0 or more. reward: one of `REWARDS`; InputError where a
    map's cannot be another.
    """
    map_name, seed = environment_name(map_name), whole_seed(seed)
    backend = resolve_backend(backend, map_name)
    check_reward(reward, map_name, backend)
    if (plain := make_plain(map_name, n_battles=n_battles, seed=seed)) is not None:
        return plain
    smac_map = find_map(map_name, NO_MAPS)
    if reward == "smacv2":
        smac_map = replace(smac_map, settings=replace(smac_map.settings, reward_regeneration=False))
    return make_smac(smac_map, backend, n_battles=n_battles, seed=seed)


def check_reward(reward: str, map_name: str, backend: str) -> None:
    """InputError where an environment on a backend cannot have that reward, or has it anyway."""
    if reward not in REWARDS:
        raise InputError(f"unknown reward {reward!r}: {nearest_names(reward, REWARDS)}")
    if reward == "map":
        return
    if not is_smac_map(map_name):
        raise InputError(f"--reward {reward}: {map_name} has a reward of its own; leave it out")
    if not find_map(map_name).settings.reward_regeneration:
        raise InputError(f"--reward {reward} would change nothing: {map_name} has it; leave it out")
    if backend in ("smac", "smacv2"):
        raise InputError(
            f"--reward {reward}: the official package reckons its own; say --env sim or sc2, or leave it out"
        )


def reward_or_map(reward: str, map_name: str, backend: str) -> str:
    """That reward where an environment on a backend can have it, else `map`."""
    try:
        check_reward(reward, map_name, backend)
    except InputError:
        return "map"
    return reward


def prepare_for_games() -> None:
    """Set the environment variables by which pysc2 and SMAC find the game that we found, and reach it."""
    if "SC2PATH" in os.environ:
        os.environ["SC2PATH"] = str(sc2_root())
    names = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(",")
    here = [name for name in ("127.0.0.1", "localhost", "::1") if name not in names]
    direct = ",".join([name for name in names if name] + here)
    os.environ |= {"no_proxy": direct, "NO_PROXY": direct}  # a game on this machine is behind no proxy


def make_smac(smac_map: SmacMap, backend: str, *, n_battles: int, seed: int) -> MultiAgentEnv:
    """A SMAC map on one of the backends."""
    if backend != "sim":
        prepare_for_games()
    if backend == "sc2":
        from envs.sc2.env import Sc2Env

        return Sc2Env(smac_map, n_battles=n_battles, seed=seed)
    if backend == "smac":
        from envs.sc2.official import OfficialEnv

        return OfficialEnv(smac_map, n_battles=n_battles, seed=seed)
    if backend == "smacv2":
        from envs.sc2.official_v2 import OfficialV2Env

        return OfficialV2Env(smac_map, n_battles=n_battles, seed=seed)
    from envs.battle.env import BattleEnv

    return BattleEnv(smac_map, n_battles=n_battles, seed=seed)
