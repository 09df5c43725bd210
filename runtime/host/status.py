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
from runtime.identity.addresses import Address, parse_addresses
from runtime.identity.tls import HostTls, tls_files

if TYPE_CHECKING:
    from runtime.host.connection import Identity

DESCRIPTION = "Ask the agents of a team who they are, and print a table."
TIMEOUT_S = 2.0


@dataclass(frozen=True, kw_only=True)
class StatusConfig:
    """The flags of lan-status."""

    agents: str
    """Where the agents listen, in any order: HOST:PORT,HOST:PORT,... or HOST:FIRST-LAST."""
    tls_cert: str | None = None
    """The host's certificate (PEM)."""
    tls_key: str | None = None
    """The certificate's private key (PEM)."""
    tls_ca: str | None = None
    """Certificate (PEM) of the authority that signed the agents' certificates."""


def show_status(config: StatusConfig) -> int:
    """Ask every agent who it is and print a table; 0 when all answer and belong to one team, else 1."""
    from rich.console import Console
    from rich.table import Table

    files = tls_files(config.tls_cert, config.tls_key, config.tls_ca)
    tls = None if files is None else HostTls(files)
    addresses = parse_addresses(config.agents)
    answers = asyncio.run(ask_all(addresses, tls))
    table = Table("address", "agent", "serves", "model", "version", "answers in")
    table.columns[0].no_wrap = True
    teams, ids = set(), []
    for address, answer in zip(addresses, answers, strict=True):
        if isinstance(answer, str):
            table.add_row(str(address), "-", f"no answer: {answer}")
            continue
        identity, seconds = answer
        teams.add((identity.spec, identity.model_sha256))
        ids.append(identity.agent_id)
        model, latency = identity.model_sha256[:12], f"{1000 * seconds:.1f} ms"
        row = (str(identity.agent_id), identity.spec.name, model, identity.server_version, latency)
        table.add_row(str(address), *row)
    console = Console()
    console.print(table)
    twice = sorted({agent_id for agent_id in ids if ids.count(agent_id) > 1})
    problems = [f"{len(answers) - len(ids)} of {len(answers)} do not answer"] * (len(ids) < len(answers))
    problems += ["they have different models or environments"] * (len(teams) > 1)
    problems += [f"agent {agent_id} is there twice" for agent_id in twice]
    console.print("; ".join(problems) or f"{len(ids)} agents answer, all of one team", highlight=False)
    return 1 if problems else 0


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
    """The command; returns its exit code: 0 one team answers, 1 it does not, 2 bad input."""
    return run_command(
        StatusConfig, show_status, prog="lan-status", description=DESCRIPTION, argv=argv, listing=True
    )


if __name__ == "__main__":
    sys.exit(main())
