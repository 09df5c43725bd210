"""`lan-status`: a table of the agents that answer, with their models."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envs.command import run_command
from envs.errors import InputError
from runtime.identity.addresses import Address, parse_address, parse_agent_ids
from runtime.identity.tls import HostTls, tls_files

if TYPE_CHECKING:
    from runtime.host.connection import Identity

DESCRIPTION = "Ask the agents of a team who they are, and print a table."
TIMEOUT_S = 2.0


@dataclass(frozen=True, kw_only=True)
class StatusConfig:
    """The flags of lan-status."""

    agents: str
    """Agent ids, such as 0-5 or 0,2,4; the first listens on the port of --listen, each further one above."""
    listen: str = "127.0.0.1:50051"
    """HOST:PORT of the first agent."""
    tls_cert: str | None = None
    """The host's certificate (PEM)."""
    tls_key: str | None = None
    """The certificate's private key (PEM)."""
    tls_ca: str | None = None
    """Certificate (PEM) of the authority that signed the agents' certificates."""


def show_status(config: StatusConfig) -> int:
    """Ask every agent who it is and print a table; 0 when all expected ones answer, else 1."""
    from rich.console import Console
    from rich.table import Table

    files = tls_files(config.tls_cert, config.tls_key, config.tls_ca)
    tls = None if files is None else HostTls(files)
    agent_ids = parse_agent_ids(config.agents)
    first = parse_address(config.listen)
    addresses = [first.offset(index) for index in range(len(agent_ids))]
    answers = asyncio.run(ask_all(addresses, tls))
    table = Table("agent", "address", "serves", "model", "version", "answers in")
    healthy = True
    for agent_id, address, answer in zip(agent_ids, addresses, answers, strict=True):
        if isinstance(answer, str):
            table.add_row(str(agent_id), str(address), answer, "", "", "")
            healthy = False
            continue
        identity, seconds = answer
        is_expected = identity.agent_id == agent_id
        healthy &= is_expected
        name = identity.spec.name
        serves = name if is_expected else f"agent {identity.agent_id} of {name}"
        model, latency = identity.model_sha256[:12], f"{1000 * seconds:.1f} ms"
        table.add_row(str(agent_id), str(address), serves, model, identity.server_version, latency)
    Console().print(table)
    return 0 if healthy else 1


async def ask_all(addresses: Sequence[Address], tls: HostTls | None) -> list[tuple[Identity, float] | str]:
    """What each address answers, with the seconds until then, connecting included; or why it does not."""
    return list(await asyncio.gather(*(ask(address, tls) for address in addresses)))


async def ask(address: Address, tls: HostTls | None) -> tuple[Identity, float] | str:
    """What one address answers; see `ask_all`."""
    from runtime.host.agent_link import AgentLink
    from runtime.host.team import identify

    start_s = time.perf_counter()
    try:
        async with AgentLink(address, tls) as link:
            return await identify(link, TIMEOUT_S), time.perf_counter() - start_s
    except InputError as error:
        return str(error).removeprefix(f"agent at {address} ").removeprefix("does not answer: ")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 all agents answer, 1 not all do, 2 bad input."""
    return run_command(StatusConfig, show_status, prog="lan-status", description=DESCRIPTION, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
