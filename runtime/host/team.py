"""Finding the agents of a team, and checking that they are one whole team."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
from collections.abc import Sequence

import grpc

from envs.errors import InputError
from envs.text import one_line
from envs.types import OLD_BATTLEFIELD, EnvSpec
from runtime.backoff import growing_pauses
from runtime.host.agent_link import MODEL_CHANGE_TIMEOUT_S, AgentLink
from runtime.host.connection import NOT_THERE, SHOWN_CHARACTERS, AgentError, Identity, said
from runtime.identity.addresses import Address
from runtime.identity.tls import HostTls

FIRST_ATTEMPT_S = 1.0
"""An address that stays silent for this long is tried anew; the time doubles with each attempt."""
NOTICE_S = 2.0
"""After this time the host says whom it waits for, and then again ever less often."""
NOTICE_PAUSE_S = 30.0
SHOWN_AGENTS = 8

DEFINITE_CODES = {
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INVALID_ARGUMENT,
}
"""Refusals that time does not change."""
PASSING_VERIFY_CODES = {9, 10}
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and _HAS_EXPIRED: the agent's files may be renewed any moment."""

log = logging.getLogger("lan.play")


async def connect_team(
    addresses: Sequence[Address],
    spec: EnvSpec,
    timeout_s: float,
    tls: HostTls | None = None,
    *,
    called: str = "agent",
) -> list[AgentLink]:
    """Open links to the agents of `spec`'s team, in the order of their ids; the caller closes them.

    `called`: what an agent is in messages.

    It waits until `timeout_s` for agents that are not there yet: connections refused, names that nobody
    knows, certificates not valid yet. InputError then names every address that is still silent; and at once
    when an agent has another environment or identity, when the agents have several models, or when one is
    missing or there twice.
    """
    async with contextlib.AsyncExitStack() as stack:
        links = [
            await stack.enter_async_context(AgentLink(address, tls, called=called)) for address in addresses
        ]
        identities = await find_all(links, spec, timeout_s)
        check_team(addresses, identities, spec)
        stack.pop_all()  # they stay open: the caller closes them
    by_id = sorted(zip(identities, links, strict=True), key=lambda pair: pair[0].agent_id)
    return [link for _, link in by_id]


async def find_all(links: Sequence[AgentLink], spec: EnvSpec, timeout_s: float) -> list[Identity]:
    """The agents at the links' addresses, waited for until the time is over; InputError as `connect_team`."""
    missing = {link.address: "it has not answered yet" for link in links}
    try:
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
            notices = group.create_task(announce(missing, len(links)))
            searches = [group.create_task(find(link, spec, missing)) for link in links]
            await asyncio.gather(*searches)
            notices.cancel()
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    except TimeoutError:
        raise InputError(f"{listed(missing, len(missing))} (waited {timeout_s:g} s)") from None
    give_up_s = asyncio.get_running_loop().time() + MODEL_CHANGE_TIMEOUT_S
    while len({link.model_sha256 for link in links}) > 1 and asyncio.get_running_loop().time() < give_up_s:
        await asyncio.sleep(0.1)  # they may be in the middle of changing it
        await asyncio.gather(*(link.refresh() for link in links))
    return [identity for link in links if (identity := link.identity) is not None]


async def find(link: AgentLink, spec: EnvSpec, missing: dict[Address, str]) -> None:
    """Try until the agent answers, and take it out of `missing`, which says why until then."""
    attempt_s, pauses = FIRST_ATTEMPT_S, growing_pauses(0.05, 1.0)
    while True:
        try:
            identity = await link.connect(attempt_s)
        except (AgentError, *NOT_THERE) as error:
            if is_definite(error):
                raise refusal(link.address, error) from None
            missing[link.address] = why(error)
        else:
            check_environment(link.address, identity, spec)
            del missing[link.address]
            return
        attempt_s *= 2
        await asyncio.sleep(next(pauses))


async def announce(missing: dict[Address, str], n_agents: int) -> None:
    """Say now and then whom the host still waits for."""
    for pause_s in growing_pauses(NOTICE_S, NOTICE_PAUSE_S):
        await asyncio.sleep(pause_s)
        log.warning("waiting for %d of %d: %s", len(missing), n_agents, listed(missing, SHOWN_AGENTS))


def listed(missing: dict[Address, str], most: int) -> str:
    """Who does not answer and why, the first `most` of them."""
    texts = [f"agent at {address} does not answer: {reason}" for address, reason in missing.items()]
    return "; ".join(texts[:most]) + (f"; and {len(texts) - most} more" if len(texts) > most else "")


async def identify(link: AgentLink, timeout_s: float) -> Identity:
    """Connect the link and return who answers; InputError when no agent does."""
    try:
        return await link.connect(timeout_s)
    except TimeoutError:
        raise InputError(f"agent at {link.address} does not answer within {timeout_s:g} s") from None
    except (AgentError, *NOT_THERE) as error:
        raise refusal(link.address, error) from None


def refusal(address: Address, error: Exception) -> InputError:
    """The error of an agent that cannot be played with."""
    answers = "" if isinstance(error, AgentError) else " does not answer"
    return InputError(f"agent at {address}{answers}: {why(error)}")


def is_definite(error: Exception) -> bool:
    """Whether an attempt to connect failed in a way that waiting does not change."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_code not in PASSING_VERIFY_CODES
    if isinstance(error, ssl.SSLError):
        return not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    if isinstance(error, grpc.aio.AioRpcError):
        return error.code() in DEFINITE_CODES
    return isinstance(error, AgentError)


def why(error: Exception) -> str:
    """Why an attempt to connect failed, on one line."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, grpc.aio.AioRpcError):
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            return said(error)
        cause = (
            str(error.details()).rpartition(": ")[2].rstrip("]")
        )  # gRPC puts what it did before what was wrong
        return f"is there one running? ({one_line(cause, SHOWN_CHARACTERS)})"
    if isinstance(error, ssl.SSLCertVerificationError):
        cause = f"{error.verify_message} ({error.reason})"
        return f"its certificate is not accepted under --tls-ca: {one_line(cause, SHOWN_CHARACTERS)}"
    if getattr(error, "reason", "") == "WRONG_VERSION_NUMBER":  # OpenSSL's; errors made by us have none
        return "it speaks no TLS; with --tls-cert, --tls-key and --tls-ca it would"
    if isinstance(error, ConnectionError) and error.errno:
        return f"is there one running? ({os.strerror(error.errno)})"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return one_line(text, SHOWN_CHARACTERS)


def check_environment(address: Address, identity: Identity, spec: EnvSpec) -> None:
    """InputError unless the agent was trained for `spec`."""
    if identity.spec.contract_version == 1:
        raise InputError(f"agent at {address} serves a model of {OLD_BATTLEFIELD}")
    if differences := spec.differences(identity.spec):
        text = one_line("; ".join(differences), 2 * SHOWN_CHARACTERS)
        raise InputError(
            f"agent at {address} was trained for another environment than {spec.name!r} here: {text}"
        )


def check_team(addresses: Sequence[Address], identities: Sequence[Identity], spec: EnvSpec) -> None:
    """InputError unless the agents are the whole team of one model, each once, trained for `spec`."""
    first_at: dict[int, Address] = {}
    for address, identity in zip(addresses, identities, strict=True):
        check_environment(address, identity, spec)
        if identity.model_sha256 != identities[0].model_sha256:
            raise InputError(
                f"agents at {addresses[0]} and {address} serve different models "
                f"({one_line(identities[0].model_sha256[:12])} and {one_line(identity.model_sha256[:12])})"
            )
        if identity.agent_id in first_at:
            raise InputError(
                f"agents at {first_at[identity.agent_id]} and {address} both say that they are agent "
                f"{identity.agent_id}"
            )
        first_at[identity.agent_id] = address
    if missing := sorted(set(range(spec.n_agents)) - set(first_at)):
        raise InputError(
            f"{spec.name} is played by {spec.n_agents} agents; nobody serves agent {missing}: start what is "
            "missing, and name the addresses of all in --agents"
        )
