"""The one model of the agents that a command serves, and how it is changed in all of them."""

from __future__ import annotations

import logging
import mmap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runtime.agent.model_change import STAYS, change_model, check_model, in_words
from runtime.model_file.metadata import MAX_MODEL_BYTES, read_model_file

if TYPE_CHECKING:
    from runtime.agent.cli import ServingConfig
    from runtime.agent.episodes import EpisodeTable

log = logging.getLogger("lan.agents")


class SharedModel:
    """The model that all agents of the command serve; the parent alone changes it, by the agents' own check.

    An agent that is forked later has its bytes. The others are offered it, by its digest and length, and find
    the bytes in memory that all share; so no agent ever reads another file than the parent checked.
    """

    def __init__(self, config: ServingConfig, agent_ids: Sequence[int]) -> None:
        """Read the model file; ModelError or InputError when the agents cannot serve it."""
        self._config, self._agent_ids = config, agent_ids
        self.data = read_model_file(config.model)
        model = check_model(self.data, str(config.model), config.model_sha256, agent_ids)
        self._spec, self.digest = model.spec, model.digest
        self._shared = mmap.mmap(-1, MAX_MODEL_BYTES)

    def read_again(self) -> str:
        """Read the file again and return the offer of a new model; "" when the model stays, logged."""
        path, config = str(self._config.model), self._config
        try:
            data = read_model_file(config.model)
            model = check_model(data, path, config.model_sha256, self._agent_ids, self._spec)
        except Exception as error:  # whatever fails here ends no agent; see `change_model`
            log.error(STAYS, self.digest[:12], in_words(error))
            return ""
        if model.digest == self.digest:
            log.warning("the model stays as it is: %s still holds %s", path, self.digest[:12])
            return ""
        self._shared[: len(data)] = data
        self.data, self.digest = data, model.digest
        log.warning("the agents are offered %s (%s)", path, self.digest[:12])
        return f"{self.digest} {len(data)}"

    def take(self, table: EpisodeTable, offer: str) -> bool:
        """In an agent: change to the model that is offered; False when that fails, which is logged."""
        digest, _, length = offer.partition(" ")
        return change_model(table, lambda: self._shared[: int(length)], str(self._config.model), digest)
