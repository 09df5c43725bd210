"""`lan-agents`: several agents on one machine, one process each."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envs.text import one_line
from runtime.agent.child import Child
from runtime.agent.cli import (
    ServingConfig,
    check_config,
    prepare_process,
    run_agent,
    serving_command,
    side_addresses,
)
from runtime.agent.lifeline import Lifeline
from runtime.agent.signals import SignalInbox
from runtime.agent.supervisor import SIGNALS, Supervisor
from runtime.identity.addresses import Address, check_distinct, parse_agent_ids

if TYPE_CHECKING:
    from runtime.agent.episodes import EpisodeTable

DESCRIPTION = (
    "Serve several agents of a team on consecutive ports, one process each. Every agent has its own port, "
    "identity and memory; the processes are forked from one that has loaded the code once, and "
    "started again when they die."
)
READY_TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class AgentsConfig(ServingConfig):
    """The flags of lan-agents."""

    agents: str
    """Agent ids, such as 0-5 or 0,2,4; the first listens on the port of --listen, each further one above.
    With port 0, each takes a free one."""


def preload() -> None:
    """Import what every child needs, once, before any of it has started threads."""
    import runtime.agent.server

    del runtime


def places(config: AgentsConfig, first: Address, agent_ids: Sequence[int]) -> list[Child]:
    """The agents with their addresses; InputError when a port is past the last one, or wanted twice."""
    children = [Child(agent_id, first.offset(index)) for index, agent_id in enumerate(agent_ids)]
    wanted = [(f"agent {child.agent_id}", child.address) for child in children]
    for index, child in enumerate(children):
        for flag, address in side_addresses(config, index).items():
            wanted.append((f"{flag} of agent {child.agent_id}", address))
    check_distinct(wanted)
    return children


def agents(config: AgentsConfig) -> int:
    """Start the agents, say which are up, and stay until a signal says stop."""
    with SignalInbox(SIGNALS) as signals:  # before the work: process 1 loses signals that nobody handles
        return supervise(config, signals)


def supervise(config: AgentsConfig, signals: SignalInbox) -> int:
    """`agents`, while the signals are kept."""
    prepare_process(config)
    from runtime.agent.shared_model import SharedModel

    address = check_config(config)
    agent_ids = parse_agent_ids(config.agents)
    children = places(config, address, agent_ids)
    shared = SharedModel(config, agent_ids)
    digest = shared.digest
    preload()
    gc.collect()
    gc.freeze()  # keeps the collector from touching, and so copying, the pages that are shared

    def run_child(agent_id: int, listen: Address, line: Lifeline) -> None:
        def follow(table: EpisodeTable, stop: Callable[[], None]) -> None:
            loop = asyncio.get_running_loop()

            def hear() -> None:
                with contextlib.suppress(BlockingIOError):
                    message = line.receive()
                    if message is None:  # the parent has ended
                        loop.remove_reader(line)
                        stop()
                    elif shared.take(table, message[1]):
                        line.send("took", message[1])

            loop.add_reader(line, hear)

        def on_ready(bound: Address, digest: str) -> None:
            line.send("ready", str(bound))

        index = agent_ids.index(agent_id)
        run_agent(config, agent_id, listen, shared.data, on_ready, index, follow)

    supervisor = Supervisor(children, run_child, config.grace_s, signals, shared.read_again)
    supervisor.start(READY_TIMEOUT_S)
    if all(child.is_ready for child in children):
        for child in children:
            print(f"agent {child.agent_id} {child.address} (process {child.pid})", flush=True)
        print(f"{len(children)} agents serve {one_line(config.model)} ({digest[:12]})", flush=True)
    return supervisor.run()


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 stopped by a signal, 1 agents had to be killed, 2 bad input."""
    return serving_command(AgentsConfig, agents, prog="lan-agents", description=DESCRIPTION, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
