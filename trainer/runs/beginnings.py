"""What a new run begins with: the networks of another run's checkpoint, where `--init-from` names one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from envs.errors import InputError
from envs.kinds import CHECKPOINT, MODEL, RUN, WHENCE, kind_of, unlike
from envs.types import EnemyRows, EnvSpec
from trainer.config import ResolvedConfig
from trainer.marks import shown
from trainer.runs.config_file import RUN_NAME
from trainer.runs.marked_file import marked, parted

if TYPE_CHECKING:  # a plan is made, and refused, before torch is imported
    from trainer.learning.learner import Learner

SIZES = ("n_agents", "n_actions", "obs_dim", "state_dim")
"""The fields of an environment's spec by which networks are shaped."""
SETTINGS = frozenset({"algorithm", "network", "sharing", "value_input"})
"""The settings by which they are shaped."""
TYPES = "types of agents"
"""Which networks there are where --sharing type has one for each."""


def named_beginning(given: str) -> str:
    """The checkpoint as settings name it, PATH@DIGEST; a run's directory stands for its newest.

    InputError when there is no such file, or when it has changed.
    """
    if not given:
        raise InputError(f"--init-from is empty; name a checkpoint: {WHENCE[CHECKPOINT]}")
    path, _ = parted(given)
    if path.is_dir():
        if kind_of(path) != f"a {RUN}" and not (path / RUN_NAME).exists():
            raise InputError(f"--init-from {unlike(path, CHECKPOINT)}")
        path = path / RUN_NAME
        given = str(path)
    if not path.exists():
        raise InputError(f"--init-from {path}: no such checkpoint; {WHENCE[CHECKPOINT]}")
    if kind_of(path) == f"a {MODEL}":
        also = "a model file holds the deployed network alone, and training needs others as well"
        raise InputError(f"--init-from {unlike(path, CHECKPOINT)}; {also}")
    return marked("--init-from", given)


def begin_from(learner: Learner, config: ResolvedConfig, spec: EnvSpec) -> None:
    """Give a new learner the networks of the settings' checkpoint, if they name one.

    Optimiser, replay and clocks begin anew. InputError unless the networks are the same in kind and size.
    """
    if config.init_from is None:
        return
    from trainer.runs.checkpoint import load_checkpoint

    path, _ = parted(named_beginning(config.init_from))
    source = load_checkpoint(path)
    theirs = shape(source.config, source.spec, source.agent_types, source.enemies)
    ours = shape(vars(config), spec, learner.advantage.agent_types, learner.advantage.enemies)
    if others := [name for name in ours if theirs.get(name, ours[name]) != ours[name]]:
        said = ", ".join(f"its {name} is {shown(theirs[name])}, not {shown(ours[name])}" for name in others)
        then = advice(others, theirs, source.spec.name)
        raise InputError(f"--init-from {path} has other networks than this run: {said}; {then}")
    try:
        learner.begin_from(source.learner)
    except (KeyError, RuntimeError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"--init-from {path} is damaged: its networks do not fit its settings ({reason})"
        ) from None


def advice(others: Sequence[str], theirs: Mapping[str, object], made_for: str) -> str:
    """What to do where a checkpoint's networks differ in `others`, names of settings or of sizes."""
    others = [name for name in others if name != TYPES or "sharing" not in others]
    if set(others) <= SETTINGS:
        flags = [f"--{name.replace('_', '-')} {theirs[name]}" for name in others]
        return f"say {' '.join(flags)}"
    return f"it was made for {shown(made_for)}; name a checkpoint of this run's map, or of one as large"


def shape(
    config: Mapping[str, Any], spec: EnvSpec, agent_types: Sequence[str] | None, enemies: EnemyRows | None
) -> dict[str, object]:
    """What decides the kind and size of every network of a run, by name."""
    sizes = {
        "algorithm": config["algorithm"],
        "network": "flat" if enemies is None else "entity",
        "sharing": config["sharing"],
        "value_input": config.get("value_input", "all"),
        **{name: getattr(spec, name) for name in SIZES},
    }
    rows = {} if enemies is None else {"rows of enemies": tuple(enemies)}
    types = {} if agent_types is None else {TYPES: tuple(agent_types)}
    return sizes | rows | types
