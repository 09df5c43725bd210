"""`lan-status`: a table of the agents that answer, with their models."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envs.command import run_command
from envs.errors import InputError
from envs.stopping import cut_if_longer
from envs.text import one_line
from runtime.identity.addresses import Address, parse_addresses
from runtime.identity.tls import HostTls, load_grpc, tls_files

if TYPE_CHECKING:
    from runtime.host.connection import Identity

DESCRIPTION = "Ask the agents of a team who they are, and print a table."
TIMEOUT_S = 2.0
CLOSE_TIMEOUT_S = 1.0
MARGIN_S = 60.0
"""Beyond what the agents have, for names that are being looked up; when it is over, a library hangs."""
MOST_AT_ONCE = 64
"""Addresses that are asked at the same time, each over a connection with descriptors of its own."""
SHOWN_CHARS = 200
"""How much of an answer's text the table shows."""


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
    from rich.text import Text

    files = tls_files(config.tls_cert, config.tls_key, config.tls_ca)
    tls = None if files is None else HostTls(files)
    addresses = parse_addresses(config.agents)
    load_grpc(with_tls=tls is not None)
    rounds = math.ceil(len(addresses) / MOST_AT_ONCE)
    with cut_if_longer(rounds * (TIMEOUT_S + CLOSE_TIMEOUT_S) + MARGIN_S):
        answers = asyncio.run(ask_all(addresses, tls))
    table = Table("address", "agent", "serves", "model", "version", "answers in")
    table.columns[0].no_wrap = True
    teams, ids = set(), []
    for address, answer in zip(addresses, answers, strict=True):
        if isinstance(answer, str):
            table.add_row(Text(str(address)), "-", Text(f"no answer: {one_line(answer, SHOWN_CHARS)}"))
            continue
        identity, seconds = answer
        teams.add((identity.spec, identity.model_sha256))
        ids.append(identity.agent_id)
        texts = (identity.spec.name, identity.model_sha256[:12], identity.server_version)
        shown = (Text(one_line(text, SHOWN_CHARS)) for text in texts)  # as texts: markup would be obeyed
        table.add_row(Text(str(address)), str(identity.agent_id), *shown, f"{1000 * seconds:.1f} ms")
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
    places = asyncio.Semaphore(MOST_AT_ONCE)

    async def ask_in_turn(address: Address) -> tuple[Identity, float] | str:
        async with places:
            return await ask(address, tls)

    return list(await asyncio.gather(*map(ask_in_turn, addresses)))


async def ask(address: Address, tls: HostTls | None) -> tuple[Identity, float] | str:
    """What one address answers; see `ask_all`."""
    from runtime.host.agent_link import AgentLink
    from runtime.host.team import identify

    start_s = time.perf_counter()
    try:
        async with asyncio.timeout(TIMEOUT_S + CLOSE_TIMEOUT_S), AgentLink(address, tls) as link:
            return await identify(link, TIMEOUT_S), time.perf_counter() - start_s
    except InputError as error:
        text = str(error).removeprefix(f"agent at {address}")
        return text.removeprefix(" ").removeprefix(": ").removeprefix("does not answer: ")
    except TimeoutError:
        return f"nothing within {TIMEOUT_S + CLOSE_TIMEOUT_S:g} s"
    except Exception as error:  # whatever one of them answers, the others are shown
        return f"it answers as no agent does ({type(error).__name__})"


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 one team answers, 1 it does not, 2 bad input."""
    return run_command(
        StatusConfig, show_status, prog="lan-status", description=DESCRIPTION, argv=argv, listing=True
    )


if __name__ == "__main__":
    sys.exit(main())
