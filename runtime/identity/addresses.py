"""Addresses of agents, HOST:PORT, and whether only this machine can reach them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace

from envs.errors import InputError


@dataclass(frozen=True)
class Address:
    """A host name or IP address (IPv6 without brackets) and a TCP port; port 0 means any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def offset(self, ports: int) -> Address:
        """The same host, `ports` ports further; InputError past the last port there is."""
        if self.port + ports > 65_535:
            raise InputError(f"{self} and {ports} ports further is past the last port, 65535")
        return replace(self, port=self.port + ports)


def parse_address(text: str) -> Address:
    """`HOST:PORT` or `[IPV6]:PORT`; InputError otherwise."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise InputError(f"{text!r} is ambiguous: write an IPv6 address in brackets, such as [::1]:50051")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise InputError(f"{text!r} is no address: HOST:PORT is needed, such as 127.0.0.1:50051")
    return Address(host, int(port))


PORT_RANGE = re.compile(r"(.+:\d+)-(\d+)", re.ASCII)
MAX_PORTS = 1024


def parse_addresses(text: str) -> list[Address]:
    """Addresses and port ranges, `HOST:FIRST-LAST`, separated by commas, each once; InputError otherwise."""
    addresses: list[Address] = []
    for part in map(str.strip, text.split(",")):
        match = PORT_RANGE.fullmatch(part)
        first = parse_address(match[1] if match else part)
        count = int(match[2]) - first.port + 1 if match else 1
        if not 0 < count <= MAX_PORTS:
            raise InputError(f"{part!r} is no range of ports: write HOST:FIRST-LAST, at most {MAX_PORTS}")
        addresses += [first.offset(index) for index in range(count)]
    if twice := sorted({str(address) for address in addresses if addresses.count(address) > 1}):
        raise InputError(f"{', '.join(twice)} is named twice")
    return addresses


def parse_agent_ids(text: str) -> list[int]:
    """`0-5`, `3` or `0,2,4-6` as a list of agent ids in that order; InputError otherwise."""
    ids: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isascii() and first.isdigit()) or (dash and not (last.isascii() and last.isdigit())):
            raise InputError(f"{text!r} is no list of agent ids: write 0-5, or 0,2,4-6")
        span = range(int(first), int(last if dash else first) + 1)
        if not 0 < len(span) <= 1024:
            raise InputError(f"{part.strip()!r} is no range of agent ids: write first-last, at most 1024")
        ids += span
    if len(set(ids)) != len(ids):
        raise InputError(f"{text!r} names an agent twice")
    return ids
