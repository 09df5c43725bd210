"""Listening on an address: on all that it stands for, or not at all."""

from __future__ import annotations

import contextlib
import errno
import socket
from dataclasses import replace
from typing import Any

from envs.errors import InputError
from runtime.identity.addresses import Address

WILDCARDS = ("0.0.0.0", "::")
"""gRPC takes either for every address of the machine, of both families."""
LOCALHOST = ("127.0.0.1", "::1")
"""What localhost means (RFC 6761), whatever a resolver says."""
ATTEMPTS = 10
NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def bind(server: Any, address: Address, credentials: Any, flag: str = "--listen") -> Address:
    """Have a gRPC server listen, and return the address with its real port; InputError when that cannot be.

    gRPC itself is content with a part of what a name means, while another process has the rest.
    """
    port = address.port
    for each in addresses_to_take(address, flag):
        try:
            if credentials is None:
                port = server.add_insecure_port(str(each))
            else:
                port = server.add_secure_port(str(each), credentials)
        except RuntimeError:
            port = 0
        if not port:
            raise InputError(f"cannot listen on {each}: another process may have it; choose another {flag}")
    return replace(address, port=port)


def addresses_to_take(address: Address, flag: str) -> list[Address]:
    """Numeric addresses that are free, and together mean `address`; a wildcard stays as it is.

    InputError when one is taken or not allowed, or none is this machine's. Port 0 becomes one that is free on
    all of them, but stays 0 where there is only one.
    """
    hosts = numeric_hosts(address, flag)
    for attempt in range(ATTEMPTS):
        try:
            port, here = probe(hosts, address.port)
            break
        except OSError as error:
            if address.port or attempt == ATTEMPTS - 1:
                where = "" if error.filename in (None, address.host) else f" ({error.filename})"
                why = f"{error.strerror}{where}"
                raise InputError(f"cannot listen on {address}: {why}; choose another {flag}") from None
    if address.host in WILDCARDS or len(here) == 1:
        return [Address(address.host if address.host in WILDCARDS else here[0], address.port)]
    return [Address(host, port) for host in here]


def numeric_hosts(address: Address, flag: str) -> list[str]:
    """The IP addresses that a host means; InputError when it is a name that does not resolve."""
    if address.host in WILDCARDS:
        return list(WILDCARDS)
    if address.host == "localhost":
        return list(LOCALHOST)
    if address.ip is not None:
        return [address.host]
    try:
        found = socket.getaddrinfo(address.host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        why = f"its name does not resolve: {error.strerror}"
        raise InputError(f"cannot listen on {address}: {why}; choose another {flag}") from None
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def probe(hosts: list[str], port: int) -> tuple[int, list[str]]:
    """A port that is free on all hosts of this machine, and these hosts; OSError when there is none."""
    here: list[str] = []
    missing = OSError()
    with contextlib.ExitStack() as stack:
        for host in hosts:
            try:
                family, *_, where = socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)[0]
                probing = stack.enter_context(socket.socket(family))
                probing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probing.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probing.bind(where)
            except OSError as error:
                missing = OSError(error.errno, error.strerror, host)
                if error.errno not in NOT_HERE:
                    raise missing from None
            else:
                port = probing.getsockname()[1]
                here.append(host)
    if not here:
        raise missing
    return port, here
