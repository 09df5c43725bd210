"""Text that somebody else wrote, made safe for one line of a terminal or a log."""

from __future__ import annotations

import os
import shlex


def one_line(text: object, limit: int | None = None) -> str:
    """`text` on one line: escapes stand for line breaks and for all that a terminal would obey or hide.

    Letters of every language stay as they are. `limit` cuts in characters and marks the cut with `...`.
    """
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return plain if limit is None or len(plain) <= limit else plain[: limit - 3] + "..."


def shell_word(text: object) -> str:
    """`text` as one word of a command line on one line, to be pasted into bash."""
    plain = str(text)
    if plain.isprintable():
        return shlex.quote(plain)
    return f"$'{''.join(map(_in_bash, plain))}'"


def _in_bash(char: str) -> str:
    """A character within bash's $'…'; what is not printable by its bytes, as those of a file's name."""
    if char.isprintable():
        return f"\\{char}" if char in "\\'" else char
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(char))
