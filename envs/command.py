"""Shared by every `lan-*` command: flags made from a dataclass, errors in one sentence, exit codes."""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from envs.errors import InputError
from envs.flags import flag_rules
from envs.stopping import StopWish, stop_wish
from envs.streams import hold_standard_streams, remember_failures
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
    listing: bool = False,
    stop: StopWish | None = None,
) -> int:
    """Read the flags of `config_type` from `argv`, run, and return the exit code.

    `default()` may return a config whose values replace the class's defaults. `listing`: printing is the last
    thing that the command does, so that a reader who goes away (head, less) has seen what he wanted. `stop`
    hears signals where `run` answers them in its own way.

    0 done (or what `run` returns), 1 the machine failed (full disk, no memory, output that nobody can read),
    2 bad input, 128 and its number after a signal; each with one line on stderr.
    """
    with stop_wish() if stop is None else contextlib.nullcontext(stop) as stop:

        def read_flags() -> Config:
            import tyro  # here, since it takes a while in which Ctrl-C is answered below

            given = default()
            fallback = tyro.MISSING_NONPROP if given is None else given
            return tyro.cli(
                config_type, prog=prog, description=description, args=argv, default=fallback,
                registry=flag_rules(sys.argv[1:] if argv is None else argv),
            )  # fmt: skip

        try:
            stop.listen()
            code = printed(lambda: attempt(read_flags, run, prog, stop), prog, listing)
            stop.settle()
            return code
        except KeyboardInterrupt:  # while the last text is written
            return interrupted(prog, stop)


def printed(command: Callable[[], int], prog: str, listing: bool = True) -> int:
    """Run a command that prints; returns its exit code, 1 where not all of its output could be written.

    `listing`: as for `run_command`.
    """
    prepare_streams()
    try:
        code = command()
    except SystemExit as end:  # tyro's, after help and after an error; rich's 1 for a reader who is gone
        if isinstance(end.code, str):
            raise
        code = 0 if listing and end.code == 1 else end.code or 0
        if code == 0 and getattr(sys.stdout, "is_lossy", False):  # a stream that never fails
            code = 1
    except OSError as error:
        if listing and isinstance(error, BrokenPipeError):
            code = 0
        elif error is getattr(sys.stdout, "failure", None):
            code = complain(prog, unwritten_words(error), 1)
        else:
            code = complain(prog, f"error: {one_line(error)}", 1)
    unwritten = settle(sys.stdout)
    settle(sys.stderr)
    if unwritten is not None and code == 0 and not (listing and isinstance(unwritten, BrokenPipeError)):
        return complain(prog, unwritten_words(unwritten), 1)
    return code


def unwritten_words(error: OSError) -> str:
    """What to say where stdout takes no more."""
    return f"error: its output could not be written: {one_line(error)}"


def attempt(
    read_flags: Callable[[], Config], run: Callable[[Config], int | None], prog: str, stop: StopWish
) -> int:
    """Read the flags and run; every error that needs no look at the code is one line."""
    try:
        try:
            config = read_flags()
        except BrokenPipeError:  # a reader who has seen enough of the help
            return 0
        return run(config) or 0
    except InputError as error:
        return complain(prog, f"error: {one_line(error)}", 2)
    except KeyboardInterrupt:
        return interrupted(prog, stop)
    except Exception as error:
        if stop.raised:  # a library that was interrupted may raise an error of its own
            return interrupted(prog, stop)
        if not isinstance(error, MemoryError):
            raise
        return complain(prog, f"error: not enough memory: {one_line(error) or 'no more is to be had'}", 1)


def interrupted(prog: str, stop: StopWish) -> int:
    """Say that a signal ended the command; returns the exit code."""
    return complain(prog, "interrupted", stop.exit_code(130))


def complain(prog: str, text: str, code: int) -> int:
    """Print one line on stderr, if anybody can read it; returns the exit code."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(f"{prog}: {text}", file=sys.stderr, flush=True)
    return code


def no_subcommand(prog: str, usage: str, known: str, given: str) -> int:
    """Say how a command of several is used, asked or because none of the `known` was given; the exit code."""
    if given in ("-h", "--help"):
        print(usage)
        return 0
    problem = f"unknown command {given!r}: say {known}" if given else f"say {known}"
    return complain(prog, f"error: {problem}\n{usage}", 2)


def prepare_streams() -> None:
    """Make printing safe: every letter in every locale, and no file in the place of a closed stream."""
    hold_standard_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    remember_failures()


def settle(stream: io.TextIOBase | object) -> OSError | None:
    """Write what a stream still holds; where that fails, drop it, or Python would complain at its end."""
    try:
        stream.flush()  # type: ignore[union-attr]
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):
            descriptor = os.open(os.devnull, os.O_WRONLY)
            os.dup2(descriptor, stream.fileno())  # type: ignore[union-attr]
            os.close(descriptor)
            stream.flush()  # type: ignore[union-attr]
        return error
    except (AttributeError, ValueError):  # no stream, or a closed one
        return None
    return None


def is_said(name: str, words: Sequence[str]) -> bool:
    """Whether the flag of a field is among the words of a command line, at its default or not."""
    flag = "--" + name.replace("_", "-")
    return any(word.partition("=")[0].replace("_", "-") == flag for word in words)


def nearest_names(name: str, known: Iterable[str], count: int = 3) -> str:
    """The known names closest to `name`, as text for an error: `did you mean 'a', 'b'?`, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=count, cutoff=0.4)
    if not close:  # perhaps in other letters, as FAST
        spelt = {each.lower(): each for each in reversed(names)}
        close = [spelt[each] for each in difflib.get_close_matches(name.lower(), spelt, n=count, cutoff=0.4)]
    if close:
        return f"did you mean {', '.join(repr(c) for c in close)}?"
    return f"known are {', '.join(names)}"
