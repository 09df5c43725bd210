"""Values that a person, a script or an attacker may give to a flag, by the type of the flag."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

WHOLE = [
    "0", "-1", "1", "3", "255", "65536", "4294967296", "9223372036854775808", "18446744073709551616",
    "-9223372036854775809", "9" * 30, "9" * 5000, "1_0", "٣", " 7", "+7", "0x10", "1e3", "2.0", "",
]  # fmt: skip
REAL = [
    "0", "-0.0", "-1", "0.5", "1", "2", "nan", "inf", "-inf", "1e400", "1e-320", "1e300", "1_0.5", "",
    "9" * 400,
]  # fmt: skip
PLACES = [
    "", ".", "/", "/dev/null", "/dev/full", "/dev/zero", "/proc/self/mem", "/proc/nothing",
    "/nosuch/deep/file.html", "nosuch", "a.file", "a.file/below", "a.folder", "a.fifo", "a.loop",
    "a.dangling", "x" * 300, "x/" * 2500 + "y", "with\nnewline", "esc\x1b[2J", "-", "~", "~nobody/x",
    "$HOME", "🐌.html", "s.svg", ".", "..", "a.folder/",
]  # fmt: skip
WORDS = [
    "", " ", "nosuch", "3m", "3M", "../3m", "/etc/passwd", "a\nb", "\x1b[2J", "x" * 5000, "🐌", "%s%n",
    "{}", "{0.x}", "pettingzoo:", "pettingzoo:nosuch", "pettingzoo:os", "pettingzoo:a?b",
    "pettingzoo:json?x=1", "spread:0", "spread:-1", "spread:99999999999", "spread:x", "spread:",
    "3m:no-fog:no-fog", ":no-fog", "3m:", "--help", "auto", "sim", "sc2", "smac", "adam", "cuda", "mps",
    "meta", "cuda:9", "cpu:0", "lan", "None", "[]", "{",
]  # fmt: skip
ADDRESSES = [
    "", ":", "localhost", "127.0.0.1", "127.0.0.1:", ":50051", "127.0.0.1:-1", "127.0.0.1:65536",
    "127.0.0.1:x", "127.0.0.1:5٣", "127.0.0.1:" + "9" * 5000, "[::1]", "[::1]:x", "[::1", "::1:50051",
    "[fe80::1%nosuch]:50051", "unix:/tmp/x", "unix:1", "dns:///x:1", "nosuch.invalid:1", "a..b:1",
    "x" * 300 + ":1", "127.0.0.1:1-0", "127.0.0.1:1-99999999999", "127.0.0.1:9-11,127.0.0.1:10", ",",
    "127.0.0.1:9,,", "256.1.1.1:9", "\x1b[2J:9",
]  # fmt: skip
LISTS = [
    "", ",", "0", "0-2", "2-0", "-1", "0-", "-", "0,0", "0-99999999999999999999", "9" * 5000, "x",
    "0,1-x", "٣", "1 2",
]  # fmt: skip


def values_for(name: str, hint: Any) -> list[str]:
    """Hostile values for a flag of this name and type, as words of a command line."""
    if name in ("listen", "metrics", "health", "host", "ray_address"):
        return ADDRESSES
    if name == "agents" and hint is str:
        return [*ADDRESSES, *LISTS]
    if name.startswith("tls_"):
        return PLACES
    if get_origin(hint) is Annotated:
        return values_for(name, get_args(hint)[0])
    if get_origin(hint) is Literal:
        return [*map(str, get_args(hint)), *WORDS]
    if get_origin(hint) in (tuple,):
        return values_for(name, get_args(hint)[0])
    found: list[str] = []
    for kind in get_args(hint) if get_origin(hint) is not None else (hint,):
        found += {int: WHOLE, float: REAL, Path: PLACES, str: WORDS, bool: []}.get(kind, [])
    return list(dict.fromkeys(found))


def flags_of(config: type) -> dict[str, list[str]]:
    """Every flag that is made from a config class, with the values to try."""
    hints = get_type_hints(config, include_extras=True)
    found: dict[str, list[str]] = {}
    for field in fields(config):
        hint = hints[field.name]
        bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
        if is_dataclass(bare):
            found |= flags_of(bare)  # type: ignore[arg-type]
        else:
            found[field.name] = values_for(field.name, hint)
    return found
