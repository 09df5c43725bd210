from __future__ import annotations

import pytest

from envs.errors import InputError
from runtime.identity.addresses import Address, parse_address, parse_addresses, parse_agent_ids


def test_addresses_are_read_and_written() -> None:
    for text in ("127.0.0.1:50051", "[::1]:1", "agent-0.lan:65535", "localhost:0"):
        assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    "text", ["", "127.0.0.1", ":50051", "host:", "host:x", "host:70000", "::1:50051", "host:-1", "host:²"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_address(text)


def test_an_address_named_twice_is_refused() -> None:
    with pytest.raises(InputError, match=r"127\.0\.0\.1:1 is named twice"):
        parse_addresses("127.0.0.1:1,127.0.0.1:2, 127.0.0.1:1")


def test_ports_may_be_a_range() -> None:
    found = parse_addresses("[::1]:7,a:9-11")
    assert list(map(str, found)) == ["[::1]:7", "a:9", "a:10", "a:11"]
    for text, why in (
        ("a:9-8", "no range of ports"), ("a:1-9999", "no range of ports"), ("a:9-11,a:10", "named twice"),
        ("a:65535-65536", "past the last port"), ("a:9-", "no address"), ("a-b:9-x", "no address"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=why):
            parse_addresses(text)


def test_only_this_machines_addresses_are_loopback() -> None:
    assert [Address(host, 1).is_loopback for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost")] == [
        True
    ] * 4
    assert not any(Address(host, 1).is_loopback for host in ("0.0.0.0", "::", "10.0.0.1", "example", ""))


def test_ports_end_at_65535() -> None:
    assert Address("h", 65_530).offset(5).port == 65_535
    with pytest.raises(InputError, match="past the last port"):
        Address("h", 65_530).offset(6)


def test_agent_ids_are_ranges_and_lists() -> None:
    assert parse_agent_ids("0-5") == [0, 1, 2, 3, 4, 5]
    assert parse_agent_ids("4,0,1-2") == [4, 0, 1, 2]


@pytest.mark.parametrize("text", ["", "x", "3-1", "0,0", "0-2,1", "-1", "1-", "0-99999999999"])
def test_what_is_no_list_of_agent_ids_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_agent_ids(text)
