"""The one rule by which a model file takes the place of another, for an agent and for the parent of several.

A refusal or a failure leaves everything as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from envs.errors import ModelError
from runtime.agent.policy import AgentPolicy, check_agent_id
from runtime.model_file.loader import load_model_bytes

if TYPE_CHECKING:
    from envs.types import EnvSpec
    from runtime.agent.episodes import EpisodeTable
    from runtime.model_file.loader import Model

STAYS = "the model stays as it is, %s (SIGHUP tries again): %s"

log = logging.getLogger("lan.agent")


def check_model(
    data: bytes, source: str, sha256: str | None, agent_ids: Iterable[int], spec: EnvSpec | None = None
) -> Model:
    """The model in `data`, which agents `agent_ids` can serve; ModelError or InputError saying why not.

    `source` names the file in errors; `sha256` is the digest that it must have. `spec` is the environment
    that it must be for; None at the start, when any will do.
    """
    model = load_model_bytes(data, source, sha256)
    if spec is not None and (differences := model.spec.differences(spec)):
        raise ModelError(f"model file {source} is for another environment: {'; '.join(differences)}")
    for agent_id in agent_ids:
        check_agent_id(agent_id, model.spec.n_agents)
    return model


def change_model(table: EpisodeTable, read: Callable[[], bytes], source: str, sha256: str | None) -> bool:
    """Play new episodes by the model that `read` gives; running ones keep theirs.

    Returns whether that was possible. Both are logged, with the digest of the model that is served.
    """
    policy = table.policy
    try:
        model = check_model(read(), source, sha256, [policy.agent_id], policy.spec)
        new = AgentPolicy(model, policy.agent_id)
    except Exception as error:  # onnxruntime's have no common base; memory and disks may fail too
        log.error(STAYS, policy.digest[:12], in_words(error))
        return False
    if new.digest == policy.digest:
        log.warning("the model stays as it is: %s still holds %s", source, policy.digest[:12])
        return True
    table.policy = new
    log.warning("new episodes are played by %s (%s)", source, new.digest[:12])
    return True


def in_words(error: Exception) -> str:
    """What an exception says, or its kind when it says nothing, as MemoryError does."""
    return str(error) or type(error).__name__
