"""`lan-agents --status`: a table of who answers where."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from envs.errors import InputError
from runtime.identity.addresses import Address, parse_address, parse_agent_ids

TIMEOUT_S = 2.0


@dataclass(frozen=True, kw_only=True)
class StatusConfig:
    """The flags of lan-agents --status."""

    status: bool = True
    """Show who answers, instead of starting anybody."""
    agents: str
    """Agent ids, such as 0-5 or 0,2,4; the first listens on the port of --listen, each further one above."""
    listen: str = "127.0.0.1:50051"
    """HOST:PORT of the first agent."""
    tls_cert: str | None = None
    """The host's certificate (PEM)."""
    tls_key: str | None = None
    """The certificate's private key (PEM)."""
    tls_ca: str | None = None
    """Certificate (PEM) of the authority that the agents' certificates are from."""


def show_status(config: StatusConfig) -> int:
    """Ask every agent who it is and print a table; 0 when all expected ones answer, else 1."""
    from rich.console import Console
    from rich.table import Table

    from runtime.identity.tls import HostTls, tls_files

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
        reply, seconds = answer
        is_expected = reply.agent_id == agent_id
        healthy &= is_expected
        serves = reply.environment if is_expected else f"agent {reply.agent_id} of {reply.environment}"
        latency = f"{1000 * seconds:.1f} ms"
        table.add_row(
            str(agent_id), str(address), serves, reply.model_sha256[:12], reply.server_version, latency
        )
    Console().print(table)
    return 0 if healthy else 1


async def ask_all(addresses: Sequence[Address], tls: Any) -> list[Any]:
    """What each address says: (its Describe, seconds), or in words why there is none."""
    return list(await asyncio.gather(*(ask(address, tls) for address in addresses)))


async def ask(address: Address, tls: Any) -> Any:
    """What one address says; see `ask_all`."""
    from protos import policy_pb2
    from runtime.host.agent_link import AgentLink
    from runtime.host.game import identify

    link = AgentLink(address, tls)
    try:
        await identify(link, TIMEOUT_S)
        start_s = time.perf_counter()
        reply = await link.stub.Describe(policy_pb2.DescribeRequest(), timeout=TIMEOUT_S)
        return reply, time.perf_counter() - start_s
    except InputError as error:
        return str(error).removeprefix(f"agent at {address} ").removeprefix("does not answer: ")
    finally:
        await link.close()
