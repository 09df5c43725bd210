"""Finding the agents of a team, and checking that they are one whole team."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import grpc

from envs.errors import InputError
from envs.types import EnvSpec
from runtime.host.agent_link import AgentLink
from runtime.host.connection import AgentError, Identity
from runtime.identity.addresses import Address
from runtime.identity.tls import HostTls


async def connect_team(
    addresses: Sequence[Address], spec: EnvSpec, timeout_s: float, tls: HostTls | None = None
) -> list[AgentLink]:
    """Open links to the agents of `spec`'s team, in the order of their ids; the caller closes them.

    InputError naming the address when an agent does not answer, has another model or environment, or is there
    twice; and when one is missing.
    """
    async with contextlib.AsyncExitStack() as stack:
        links = [await stack.enter_async_context(AgentLink(address, tls)) for address in addresses]
        identities = await asyncio.gather(*(identify(link, timeout_s) for link in links))
        check_team(addresses, identities, spec)
        stack.pop_all()  # they stay open: the caller closes them
    by_id = sorted(zip(identities, links, strict=True), key=lambda pair: pair[0].agent_id)
    return [link for _, link in by_id]


async def identify(link: AgentLink, timeout_s: float) -> Identity:
    """Connect the link and return who answers; InputError when no agent does."""
    try:
        return await link.connect(timeout_s)
    except TimeoutError:
        raise InputError(f"agent at {link.address} does not answer within {timeout_s:g} s") from None
    except AgentError as error:
        raise InputError(f"agent at {link.address}: {error}") from None
    except OSError as error:
        raise InputError(f"agent at {link.address} does not answer: {error.strerror or error}") from None
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            raise InputError(f"agent at {link.address} does not answer: is there one running?") from None
        why = f"{error.code().name}, {error.details()}"
        raise InputError(f"agent at {link.address} does not answer: {why}") from None


def check_team(addresses: Sequence[Address], identities: Sequence[Identity], spec: EnvSpec) -> None:
    """InputError unless the agents are the whole team of one model, each once, trained for `spec`."""
    first_at: dict[int, Address] = {}
    for address, identity in zip(addresses, identities, strict=True):
        if differences := spec.differences(identity.spec):
            raise InputError(
                f"agent at {address} was trained for another environment than {spec.name!r} here: "
                + "; ".join(differences)
            )
        if identity.model_sha256 != identities[0].model_sha256:
            raise InputError(
                f"agents at {addresses[0]} and {address} serve different models "
                f"({identities[0].model_sha256[:12]} and {identity.model_sha256[:12]})"
            )
        if identity.agent_id in first_at:
            raise InputError(
                f"agents at {first_at[identity.agent_id]} and {address} both say that they are agent "
                f"{identity.agent_id}"
            )
        first_at[identity.agent_id] = address
    if missing := sorted(set(range(spec.n_agents)) - set(first_at)):
        raise InputError(f"{spec.name} is played by {spec.n_agents} agents; nobody serves agent {missing}")
