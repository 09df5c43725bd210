"""Addresses of agents, HOST:PORT, and whether only this machine can reach them.

An address has one spelling: names are lower case, IP addresses as the standard library writes them. So equal
addresses are equal text, and nothing reaches a resolver that it would read in a way of its own (`127.1`).
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from envs.errors import InputError
from envs.text import one_line

LAST_PORT = 65_535
MAX_AGENTS = 1024
"""Addresses or ids that a list may name; no team is nearly that large."""
MAX_SHOWN_CHARS = 100
MAX_NAME_CHARS = 253
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
NUMBER_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A name's last label that looks like this makes resolvers read the whole name as an IPv4 address."""
ZONE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
"""A network interface, in an IPv6 address such as fe80::1%eth0."""
NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")

Item = TypeVar("Item", int, str)


@dataclass(frozen=True)
class Address:
    """A host name or IP address (IPv6 without brackets) and a TCP port; port 0 means any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The host as an IP address; None when it is a name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @property
    def target(self) -> str:
        """What a gRPC channel connects to.

        It names its scheme, because gRPC would take a host called `unix`, `dns` or `xds` for one.
        """
        ip = self.ip
        return f"dns:///{self}" if ip is None else f"ipv{ip.version}:{str(self).replace('%', '%25')}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        ip = self.ip
        return (
            self.host == "localhost" if ip is None else (getattr(ip, "ipv4_mapped", None) or ip).is_loopback
        )

    def offset(self, ports: int) -> Address:
        """The same host, `ports` ports further, or any free port after port 0; InputError past the last."""
        if self.port == 0:
            return self
        if self.port + ports > LAST_PORT:
            raise InputError(f"{self} and {ports} ports further is past the last port, {LAST_PORT}")
        return replace(self, port=self.port + ports)


def parse_address(text: str) -> Address:
    """`HOST:PORT` or `[IPV6]:PORT`; InputError otherwise."""
    host, _, port = text.rpartition(":")
    if ":" in host and not host.startswith("["):
        raise InputError(
            f"{shown(text)} is ambiguous: write an IPv6 address in brackets, such as [::1]:50051"
        )
    number = parse_number(port)
    if not host or number is None or number > LAST_PORT:
        need = f"HOST:PORT is needed, with a port of 0 to {LAST_PORT}, such as 127.0.0.1:50051"
        raise InputError(f"{shown(text)} is no address: {need}")
    try:
        return Address(parse_host(host), number)
    except ValueError as error:
        raise InputError(f"{shown(text)} is no address: {error}") from None


def parse_host(text: str) -> str:
    """The one spelling of a host name or of an IP address, IPv6 in brackets; ValueError saying why not."""
    if text.startswith("["):
        ip, percent, zone = text[1:].removesuffix("]").partition("%")
        if not text.endswith("]") or (percent and not ZONE.fullmatch(zone)):
            raise ValueError("an IPv6 address stands in brackets, such as [::1] or [fe80::1%eth0]")
        try:
            return f"{ipaddress.IPv6Address(ip)}{percent}{zone}"
        except ValueError:
            raise ValueError("what stands in brackets is no IPv6 address") from None
    name = text.lower() if text.isascii() else ""
    labels = name.removesuffix(".").split(".")
    if NUMBER_LABEL.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(text))
        except ValueError:
            raise ValueError(
                "an IPv4 address has four numbers of 0 to 255 without leading zeros, such as 127.0.0.1"
            ) from None
    if len(name) > MAX_NAME_CHARS or not all(map(LABEL.fullmatch, labels)):
        raise ValueError("a host name is made of letters a-z, digits, - and _, with dots between its parts")
    return "localhost" if name == "localhost." else name


def parse_addresses(text: str) -> list[Address]:
    """Addresses and port ranges, `HOST:FIRST-LAST`, separated by commas, each once; InputError otherwise."""
    addresses: list[Address] = []
    for part in map(str.strip, split(text)):
        host, colon, ports = part.rpartition(":")
        first, dash, last = ports.partition("-")
        end = parse_number(last)
        address = parse_address(f"{host}{colon}{first}" if dash and end is not None else part)
        if address.port == 0:
            raise InputError(f"{shown(part)} names no agent: nobody can be reached at port 0")
        count = 1 if end is None else end - address.port + 1
        if not 0 < count <= MAX_AGENTS:
            raise InputError(
                f"{shown(part)} is no range of ports: write HOST:FIRST-LAST, at most {MAX_AGENTS}"
            )
        addresses += [address.offset(index) for index in range(count)]
    check_count(text, addresses)
    if twice := repeated(str(replace(each, host=each.host.removesuffix("."))) for each in addresses):
        raise InputError(f"{one_line(', '.join(twice), MAX_SHOWN_CHARS)} is named twice")
    return addresses


def parse_agent_ids(text: str) -> list[int]:
    """`0-5`, `3` or `0,2,4-6` as a list of agent ids in that order; InputError otherwise."""
    ids: list[int] = []
    for part in map(str.strip, split(text)):
        first_text, dash, last_text = part.partition("-")
        first, last = parse_number(first_text), parse_number(last_text if dash else first_text)
        if first is None or last is None:
            raise InputError(f"{shown(text)} is no list of agent ids: write 0-5, or 0,2,4-6")
        if not 0 < last - first + 1 <= MAX_AGENTS:
            raise InputError(
                f"{shown(part)} is no range of agent ids: write first-last, at most {MAX_AGENTS}"
            )
        ids += range(first, last + 1)
    check_count(text, ids)
    if repeated(ids):
        raise InputError(f"{shown(text)} names an agent twice")
    return ids


def parse_number(text: str) -> int | None:
    """A number of at most nine digits in its one spelling: no sign, no leading zero; None otherwise."""
    return int(text) if NUMBER.fullmatch(text) else None


def split(text: str) -> list[str]:
    """The parts between commas; InputError when there are more than any list may have."""
    parts = text.split(",", MAX_AGENTS)
    check_count(text, parts)
    return parts


def check_count(text: str, items: list[int] | list[str] | list[Address]) -> None:
    """InputError when a list names more than `MAX_AGENTS`."""
    if len(items) > MAX_AGENTS:
        raise InputError(f"{shown(text)} names more than {MAX_AGENTS} agents")


def repeated(items: Iterable[Item]) -> list[Item]:
    """The items that are there more than once, sorted."""
    return sorted(item for item, count in Counter(items).items() if count > 1)


def check_distinct(named: Iterable[tuple[str, Address]]) -> None:
    """InputError when two flags or agents, given with their addresses, want the same port of one host."""
    owners: dict[Address, str] = {}
    for owner, address in named:
        if address.port and (other := owners.setdefault(address, owner)) != owner:
            raise InputError(f"{other} and {owner} both need {address}: give them ports of their own")


def shown(text: str) -> str:
    """Somebody's input for an error: quoted, on one line, and cut."""
    return one_line(repr(text), MAX_SHOWN_CHARS)
