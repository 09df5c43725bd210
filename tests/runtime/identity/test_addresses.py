from __future__ import annotations

import ipaddress
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from envs.errors import InputError
from runtime.identity.addresses import (
    MAX_AGENTS,
    Address,
    check_distinct,
    parse_address,
    parse_addresses,
    parse_agent_ids,
)

ODD = "0123456789:-,.[]%/@ \t\n\0+_abcfxX²٣é\ud800"
WORDS = (
    "localhost",
    "unix",
    "[::1]",
    "127.0.0.1",
    "fe80::1%eth0",
    "0x7f",
    "50051",
    "65536",
    "0-5",
    "9" * 5000,
)
INPUTS = st.one_of(st.text(), st.text(ODD), st.lists(st.sampled_from([*WORDS, *ODD])).map("".join))
LABELS = st.from_regex(r"[a-zA-Z_]([a-zA-Z0-9_-]{0,20}[a-zA-Z0-9])?", fullmatch=True)
HOSTS = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda ip: f"[{ip}]"),
    st.ip_addresses(v=6).map(lambda ip: f"[{ip.exploded.upper()}%eth0]"),
    st.lists(LABELS, min_size=1, max_size=5).map(".".join),
    st.sampled_from(["localhost", "LocalHost.", "agent-0.lan."]),
)
PORTS = st.integers(0, 65_535)

FIXED = settings(max_examples=300, deadline=None, derandomize=True)


@pytest.mark.parametrize("parse", [parse_address, parse_addresses, parse_agent_ids])
@FIXED
@given(text=INPUTS)
@example(text="9" * 5000)
@example(text="h:" + "9" * 5000)
@example(text="h:1-" + "9" * 5000)
@example(text="0-99999999999999999999")
@example(text="a:1," * 100_000)
def test_whatever_is_given_is_read_or_refused_in_one_short_line(
    parse: Callable[[str], object], text: str
) -> None:
    why = ""
    try:
        parse(text)
    except InputError as error:
        why = str(error)
    assert why.isprintable()
    assert len(why) < 300


@FIXED
@given(host=HOSTS, port=PORTS)
def test_an_address_has_one_spelling(host: str, port: int) -> None:
    address = parse_address(f"{host}:{port}")
    assert parse_address(str(address)) == address
    assert str(address) == str(address).lower().replace("%ETH0", "%eth0")


@FIXED
@given(text=INPUTS)
def test_an_address_that_is_read_is_read_again_as_itself(text: str) -> None:
    try:
        address = parse_address(text)
    except InputError:
        return
    assert parse_address(str(address)) == address
    assert address.is_loopback in (True, False)


@FIXED
@given(host=HOSTS, first=st.integers(1, 65_000), count=st.integers(1, 50))
def test_a_range_is_its_ports_one_by_one(host: str, first: int, count: int) -> None:
    ports = range(first, first + count)
    listed = parse_addresses(",".join(f"{host}:{port}" for port in ports))
    assert parse_addresses(f"{host}:{first}-{first + count - 1}") == listed
    assert [address.port for address in listed] == list(ports)


@FIXED
@given(ids=st.lists(st.integers(0, 10**9 - 1), min_size=1, max_size=40, unique=True))
def test_agent_ids_are_read_as_they_are_written(ids: list[int]) -> None:
    assert parse_agent_ids(",".join(map(str, ids))) == ids


@FIXED
@given(ip=st.ip_addresses())
def test_loopback_is_what_the_standard_library_says(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    assert Address(str(ip), 1).is_loopback == (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("127.0.0.1:50051", "127.0.0.1:50051"),
        ("[::1]:1", "[::1]:1"),
        ("[0:0:0:0:0:0:0:1]:1", "[::1]:1"),
        ("[FE80::1%eth0]:1", "[fe80::1%eth0]:1"),
        ("LOCALHOST:0", "localhost:0"),
        ("localhost.:1", "localhost:1"),
        ("Agent-0.LAN:65535", "agent-0.lan:65535"),
        ("agent-0.lan.:1", "agent-0.lan.:1"),
        ("agent_0:1", "agent_0:1"),
        ("unix:1", "unix:1"),
    ],
)
def test_addresses_are_read_and_written(text: str, spelling: str) -> None:
    assert str(parse_address(text)) == spelling


NOT_ADDRESSES = {
    "HOST:PORT is needed, with a port of 0 to 65535": [
        *("", "127.0.0.1", ":50051", "host:", "host:x", "host:65536", "host:-1", "host:+1", "host:1_0"),
        *("host:²", "host:٣", "host:080", "host: 1", "host:1 "),
    ],
    "is ambiguous": ["::1:50051", "fe80::1%eth0:1"],
    "four numbers": ["127.1:1", "127.0.0.01:1", "0:1", "0x7f000001:1", "256.0.0.1:1", "1.2.3.4.5:1"],
    "no IPv6 address": ["[127.0.0.1]:1", "[localhost]:1", "[]:1"],
    "stands in brackets": ["[::1:1", "[::1%]:1", "[::1%a/b]:1"],
    "made of letters": [
        *("a%b:1", "a..b:1", "-a:1", "a b:1", "é:1", "a\n:1", "a/b:1", ".:1"),
        *("a" * 64 + ":1", "a." * 130 + ":1"),
    ],
}


@pytest.mark.parametrize("why", NOT_ADDRESSES)
def test_what_is_no_address_is_refused(why: str) -> None:
    for text in NOT_ADDRESSES[why]:
        with pytest.raises(InputError, match=why):
            parse_address(text)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("unix:1", "dns:///unix:1"),
        ("localhost:1", "dns:///localhost:1"),
        ("127.0.0.1:1", "ipv4:127.0.0.1:1"),
        ("[fe80::1%eth0]:1", "ipv6:[fe80::1%25eth0]:1"),
    ],
)
def test_grpc_is_told_what_kind_of_address_it_gets(text: str, target: str) -> None:
    assert parse_address(text).target == target


@pytest.mark.parametrize(
    ("text", "twice"),
    [
        ("127.0.0.1:1,b:2, 127.0.0.1:1", "127.0.0.1:1 is"), ("A:1,a:1", "a:1 is"), ("a.:1,a:1", "a:1 is"),
        ("[::1]:1,[0::1]:1", r"\[::1\]:1 is"), ("a:9-11,a:10-12", "a:10, a:11 is"),
    ],
)  # fmt: skip
def test_an_address_named_twice_is_refused_however_it_is_written(text: str, twice: str) -> None:
    with pytest.raises(InputError, match=f"^{twice} named twice"):
        parse_addresses(text)


def test_ports_may_be_a_range() -> None:
    found = parse_addresses("[::1]:7,a:9-11")
    assert list(map(str, found)) == ["[::1]:7", "a:9", "a:10", "a:11"]
    for text, why in (
        ("a:9-8", "no range of ports"), ("a:1-9999", "no range of ports"), ("a:0-3", "names no agent"),
        ("a:0", "names no agent"), ("a:65535-65536", "past the last port"), ("a:9-", "no address"),
        ("a:9--10", "no address"), ("a-b:9-x", "no address"), ("a:1,,b:1", "no address"),
        (f"a:1-{MAX_AGENTS},b:1", "more than 1024"), ("a:1," * 2000, "more than 1024"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=why):
            parse_addresses(text)


def test_only_this_machines_addresses_are_loopback() -> None:
    here = ("127.0.0.1", "127.8.8.8", "::1", "::1%lo", "::ffff:127.0.0.1", "localhost")
    assert all(Address(host, 1).is_loopback for host in here)
    elsewhere = (
        "0.0.0.0",
        "::",
        "10.0.0.1",
        "example",
        "",
        "a.localhost",
        "::ffff:10.0.0.1",
        "localhost.lan",
    )
    assert not any(Address(host, 1).is_loopback for host in elsewhere)


def test_ports_end_at_65535_and_any_free_port_has_no_next() -> None:
    assert Address("h", 65_530).offset(5).port == 65_535
    with pytest.raises(InputError, match="past the last port"):
        Address("h", 65_530).offset(6)
    assert Address("h", 0).offset(6) == Address("h", 0)


def test_two_that_need_one_port_are_named() -> None:
    check_distinct(
        [("a", Address("h", 1)), ("b", Address("h", 2)), ("c", Address("h", 0)), ("d", Address("h", 0))]
    )
    with pytest.raises(InputError, match=r"^a and c both need h:1"):
        check_distinct([("a", Address("h", 1)), ("b", Address("h", 2)), ("c", Address("h", 1))])


def test_agent_ids_are_ranges_and_lists() -> None:
    assert parse_agent_ids("0-5") == [0, 1, 2, 3, 4, 5]
    assert parse_agent_ids("4,0, 1-2") == [4, 0, 1, 2]


NOT_IDS = {
    "no list": ["", "x", "-1", "1-", "0--1", "0-1-2", "00", "+1", "1_0", "²", "0-99999999999999999999"],
    "no range": ["3-1", "0-1024"],
    "more than 1024": ["0-1023,2000"],
    "names an agent twice": ["0,0", "0-2,1"],
}


@pytest.mark.parametrize("why", NOT_IDS)
def test_what_is_no_list_of_agent_ids_is_refused(why: str) -> None:
    for text in NOT_IDS[why]:
        with pytest.raises(InputError, match=why):
            parse_agent_ids(text)
