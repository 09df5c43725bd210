"""Playing: policy servers, one process per agent, and the game host. Never torch.

From Python, `load_policy` makes a model file an agent that acts in this process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from envs.lazy import lazy_names

if TYPE_CHECKING:
    from runtime.agent.policy import AgentPolicy, Memory, load_policy

__all__ = ["AgentPolicy", "Memory", "load_policy"]

__getattr__, __dir__ = lazy_names(__name__, dict.fromkeys(__all__, "runtime.agent.policy"))
