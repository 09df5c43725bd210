"""An agent listens on all that its address means, or on nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from envs.errors import InputError
from runtime.agent.listening import addresses_to_take, bind
from runtime.identity.addresses import Address, parse_address
from tests.runtime.support.processes import free_ports


class Recorder:
    """In the place of a gRPC server: it records what it is to listen on, and refuses what is in `taken`."""

    def __init__(self, *taken: str) -> None:
        self.taken = taken
        self.asked: list[str] = []

    def add_insecure_port(self, address: str) -> int:
        self.asked.append(address)
        if address in self.taken:
            raise RuntimeError("no")
        return int(address.rpartition(":")[2]) or 4321


@pytest.fixture
def port() -> int:
    return free_ports(1)


@pytest.fixture(params=["127.0.0.1", "::1"])
def half(request: pytest.FixtureRequest, port: int) -> Iterator[str]:
    """One family's loopback address, on which somebody else listens at `port`."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((request.param, port))
        taken.listen()
        yield request.param


def test_localhost_means_both_families_whatever_a_resolver_says(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def numeric_only(host: str, *more: object, **named: object) -> object:
        assert named.get("flags", 0) & socket.AI_NUMERICHOST, host  # type: ignore[operator]
        return real(host, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", numeric_only)
    server = Recorder()
    assert bind(server, Address("localhost", port), None) == Address("localhost", port)
    assert server.asked == [f"127.0.0.1:{port}", f"[::1]:{port}"]


@pytest.mark.parametrize("host", ["localhost", "::", "0.0.0.0"])
def test_an_address_of_which_a_part_is_taken_is_refused(half: str, port: int, host: str) -> None:
    server = Recorder()
    with pytest.raises(InputError, match=f"cannot listen on .*:{port}: Address already in use.*--health"):
        bind(server, Address(host, port), None, "--health")
    assert not server.asked


def test_port_0_is_the_same_port_on_all() -> None:
    first, second = addresses_to_take(Address("localhost", 0), "--listen")
    assert first.port == second.port != 0
    assert addresses_to_take(Address("127.0.0.1", 0), "--listen") == [Address("127.0.0.1", 0)]
    server = Recorder()
    assert bind(server, Address("::1", 0), None) == Address("::1", 4321)


def test_a_family_that_this_machine_lacks_is_left_out(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoIpv6(socket.socket):
        def __init__(self, family: int) -> None:
            if family == socket.AF_INET6:
                raise OSError(97, "Address family not supported by protocol")
            super().__init__(family)

    monkeypatch.setattr(socket, "socket", NoIpv6)
    assert addresses_to_take(Address("localhost", port), "--listen") == [Address("127.0.0.1", port)]
    assert addresses_to_take(Address("::", port), "--listen") == [Address("::", port)]
    with pytest.raises(InputError, match="Address family not supported"):
        addresses_to_take(Address("::1", port), "--listen")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("192.0.2.1:50051", "Cannot assign requested address"),
        ("nosuch.invalid:50051", "its name does not resolve"),
        ("unix:50051", "its name does not resolve"),
        ("[fe80::1%nosuch0]:50051", "cannot listen"),
    ],
)
def test_an_address_that_is_not_here_is_refused_in_one_sentence(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        addresses_to_take(parse_address(text), "--listen")


def test_somebody_who_takes_the_port_at_the_last_moment_is_noticed(port: int) -> None:
    with pytest.raises(InputError, match=rf"cannot listen on \[::1\]:{port}"):
        bind(Recorder(f"[::1]:{port}"), Address("localhost", port), None)
