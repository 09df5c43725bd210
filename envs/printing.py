"""Results on stdout, which must not be lost when nobody reads there any more."""

from __future__ import annotations

import contextlib
import os
import sys


def print_result(text: str, *, prog: str) -> bool:
    """Print a result on stdout; where that does not take it, on stderr, and return False."""
    try:
        if sys.stdout is None:
            raise OSError("it is closed")
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        with contextlib.suppress(OSError):
            why = error.strerror or error
            print(f"{prog}: error: stdout cannot be written: {why}; it misses this:\n{text}", file=sys.stderr)
        if sys.stdout is not None:  # what it still holds must not fail again at the end of the process
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
