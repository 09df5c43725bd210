"""Playing: policy servers, one process per agent, and the game host. Never torch.

From Python, `load_policy` makes a model file an agent that acts in this process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.agent.policy import AgentPolicy, Memory, load_policy

__all__ = ["AgentPolicy", "Memory", "load_policy"]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that importing the package stays cheap (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from runtime.agent import policy

    return getattr(policy, name)
