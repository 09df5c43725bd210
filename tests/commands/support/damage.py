"""Damage to files: what a full disk, an editor, another version, a stranger or a hostile hand leaves."""

from __future__ import annotations

import json
import os
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Damage = Callable[[Path], None]

JSON_VALUES: list[Any] = [
    None, True, 0, -1, 1.5, 2**70, 10**400, float("nan"), float("inf"), -0.0, "", "x", "3m", "../..",
    "\x1b[2J\n", "\ud800", "x" * 10_000, [], [1], ["a", "b"], {}, {"a": 1}, [[[[]]]],
]  # fmt: skip
PER_KEY = 5
"""How many of these values stand for each key in turn."""


def whole(path: Path) -> Iterator[tuple[str, Damage]]:
    """What may stand where any file stood."""
    content = path.read_bytes()
    texts = {
        "empty": b"",
        "half": content[: len(content) // 2],
        "first byte": content[:1],
        "zeros": bytes(len(content)),
        "text": b"not what it was\n",
        "other text": "größer\n".encode("latin-1"),
        "mark": b"\xef\xbb\xbf" + content,
        "utf-16": b"\xff\xfe" + content[:2000].decode("latin-1").encode("utf-16-le"),
        "page": b"<html><title>404</title></html>",
        "deep": b"[" * 100_000,
        "number": b"7",
        "long number": b"9" * 10_000,
        "null": b"null",
        "list": b"[]",
        "twice": content + content,
        "tail": content + b"\0" * 512,
        "pickle": b"\x80\x04cos\nsystem\n(S'touch executed'\ntR.",
    }
    for name, text in texts.items():
        yield name, replace_by(text)
    draw = random.Random(len(content))
    for _ in range(12):
        at, value = draw.randrange(len(content)), draw.randrange(256)
        yield f"byte {at}", replace_by(content[:at] + bytes([value]) + content[at + 1 :])
    yield "missing", lambda path: path.unlink()
    yield "folder", in_its_place(lambda path: path.mkdir())
    yield "pipe", in_its_place(lambda path: os.mkfifo(path))
    yield "loop", in_its_place(lambda path: path.symlink_to(path.name))
    yield "device", in_its_place(lambda path: path.symlink_to("/dev/zero"))
    yield "nothing", in_its_place(lambda path: path.symlink_to("/dev/null"))


def json_object(path: Path) -> Iterator[tuple[str, Damage]]:
    """Values replaced, each key left out, one added: in an object and in the objects within."""
    for keys in list(places(json.loads(path.read_text()))):
        for value in random.Random(".".join(keys)).sample(JSON_VALUES, PER_KEY):
            yield f"{'.'.join(keys)} = {str(value)[:20]!r}", changed(keys, value)
        yield f"{'.'.join(keys)} left out", changed(keys, ...)
    yield "unknown key", changed(("unknown",), 1)


def json_lines(path: Path) -> Iterator[tuple[str, Damage]]:
    """The same in the last line of a file of JSON lines; and whole lines that do not belong there."""
    *before, last = path.read_text().splitlines()
    for key in json.loads(last):
        for value in random.Random(key).sample(JSON_VALUES, PER_KEY):
            line = json.dumps(json.loads(last) | {key: value})
            yield f"{key} = {str(value)[:20]!r}", replace_by("\n".join([*before, line, ""]).encode())
        less = json.dumps({name: value for name, value in json.loads(last).items() if name != key})
        yield f"{key} left out", replace_by("\n".join([*before, less, ""]).encode())
    for name, lines in {
        "torn": [*before, last[: len(last) // 2]],
        "torn in the middle": [*before, last[:20], last],
        "blank": [*before, "", last],
        "not ours": ["[]", *before, last],
        "backwards": [last, *before],
    }.items():
        yield name, replace_by("\n".join([*lines, ""]).encode())


def archive(path: Path) -> Iterator[tuple[str, Damage]]:
    """A zip whose members are renamed, left out, emptied, or grown."""
    with zipfile.ZipFile(path) as file:
        members = {info.filename: file.read(info) for info in file.infolist()}
    yield "no members", replace_by_zip({})
    yield "path above", replace_by_zip({f"../{name}": data for name, data in members.items()})
    for name, data in list(members.items())[:12]:
        rest = {other: content for other, content in members.items() if other != name}
        yield f"{name} left out", replace_by_zip(rest)
        yield f"{name} empty", replace_by_zip({**rest, name: b""})
        yield f"{name} cut", replace_by_zip({**rest, name: data[: len(data) // 2]})
        yield f"{name} of text", replace_by_zip({**rest, name: b"text"})
    name = next(iter(members))
    yield "bomb", replace_by_zip({**members, name: bytes(200_000_000)})


def replace_by(content: bytes) -> Damage:
    def damage(path: Path) -> None:
        path.write_bytes(content)

    return damage


def replace_by_zip(members: dict[str, bytes]) -> Damage:
    def damage(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            for name, data in members.items():
                file.writestr(name, data)

    return damage


def in_its_place(make: Damage) -> Damage:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def places(data: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for key, value in data.items():
        yield (key,)
        if isinstance(value, dict):
            yield from ((key, *below) for below in places(value))


def changed(keys: tuple[str, ...], value: Any) -> Damage:
    def damage(path: Path) -> None:
        data = json.loads(path.read_text())
        inner = data
        for key in keys[:-1]:
            inner = inner[key]
        if value is ...:
            inner.pop(keys[-1], None)
        else:
            inner[keys[-1]] = value
        path.write_text(json.dumps(data))

    return damage
