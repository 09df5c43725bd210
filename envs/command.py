"""Shared by every `lan-*` command: flags made from a dataclass, errors in one sentence, exit codes."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from envs.errors import InputError
from envs.flags import flag_rules
from envs.text import one_line

Config = TypeVar("Config")


def run_command(
    config_type: type[Config],
    run: Callable[[Config], int | None],
    *,
    prog: str,
    description: str,
    argv: Sequence[str] | None = None,
    default: Callable[[], Config | None] = lambda: None,
) -> int:
    """Read the flags of `config_type` from `argv`, run, and return the exit code.

    `default()` may return a config whose values replace the class's defaults.

    0 done (or what `run` returns), 2 bad input (one line on stderr, no traceback), 130 interrupted.
    """
    import tyro

    try:
        given = default()
        fallback = tyro.MISSING_NONPROP if given is None else given
        config = tyro.cli(
            config_type, prog=prog, description=description, args=argv, default=fallback,
            registry=flag_rules(),
        )  # fmt: skip
        return run(config) or 0
    except InputError as error:
        print(f"{prog}: error: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe (head, less) went away, which is no failure.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def nearest_names(name: str, known: Iterable[str], count: int = 3) -> str:
    """The known names closest to `name`, as text for an error: `did you mean 'a', 'b'?`, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=count, cutoff=0.4)
    if close:
        return f"did you mean {', '.join(repr(c) for c in close)}?"
    return f"known are {', '.join(names)}"
