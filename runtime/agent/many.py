"""`lan-agents`: several agents on one machine, one process each."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runtime.agent.cli import ServingConfig, check_config, prepare_process, run_agent, serving_command
from runtime.agent.supervisor import Child, Supervisor
from runtime.identity.addresses import Address, parse_agent_ids

DESCRIPTION = (
    "Serve several agents of a team on consecutive ports, one process each. Every agent has its own port, "
    "identity and memory; the processes are forked from one that has loaded the code once, and "
    "started again when they die."
)
READY_TIMEOUT_S = 30.0

log = logging.getLogger("lan.agents")


@dataclass(frozen=True, kw_only=True)
class AgentsConfig(ServingConfig):
    """The flags of lan-agents."""

    agents: str
    """Agent ids, such as 0-5 or 0,2,4; the first listens on the port of --listen, each further one above."""


def preload() -> None:
    """Import what every child needs, once, before any of it has started threads."""
    import runtime.agent.server

    del runtime


def agents(config: AgentsConfig) -> int:
    """Start the agents, say which are up, and stay until a signal says stop."""
    prepare_process(config)
    from envs.errors import ModelError
    from runtime.agent.policy import check_agent_id
    from runtime.model_file.loader import load_model_bytes, read_model_file

    address = check_config(config)
    agent_ids = parse_agent_ids(config.agents)
    model_bytes = read_model_file(config.model)
    model = load_model_bytes(model_bytes, str(config.model), config.model_sha256)
    for agent_id in agent_ids:
        check_agent_id(agent_id, model.spec.n_agents)
    children = [Child(agent_id, address.offset(index)) for index, agent_id in enumerate(agent_ids)]
    preload()
    gc.collect()
    gc.freeze()  # keeps the collector from touching, and so copying, the pages that are shared

    def read_model_again() -> bool:
        nonlocal model_bytes
        try:
            data = read_model_file(config.model)
            load_model_bytes(data, str(config.model), config.model_sha256)
        except ModelError as error:
            log.error("the model stays as it is: %s", error)
            return False
        model_bytes = data
        return True

    def run_child(agent_id: int, listen: Address, on_ready: Callable[[str], None]) -> None:
        index = agent_ids.index(agent_id)
        run_agent(config, agent_id, listen, model_bytes, lambda bound, digest: on_ready(str(bound)), index)

    supervisor = Supervisor(children, run_child, config.grace_s, read_model_again)
    supervisor.start(READY_TIMEOUT_S)
    for child in filter(lambda child: child.is_ready, children):
        print(f"agent {child.agent_id} {child.text} (process {child.pid})")
    print(
        f"{sum(child.is_ready for child in children)} agents serve {config.model} ({model.digest[:12]})",
        flush=True,
    )
    return supervisor.run()


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 stopped by a signal, 1 agents had to be killed, 2 bad input."""
    return serving_command(AgentsConfig, agents, prog="lan-agents", description=DESCRIPTION, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
