"""Foreign text on one line."""

import os
import subprocess

import pytest

from envs.text import one_line, shell_word


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("corridor, Zürich, 日本", "corridor, Zürich, 日本"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[2J\x07\x9b", r"\x1b[2J\x07\x9b"),
        ("gnp.\u202eexe", r"gnp.\u202eexe"),
        ("line\u2028break", r"line\u2028break"),
        ("\udcff", r"\udcff"),
    ],
)
def test_nothing_that_a_terminal_obeys_or_hides_is_left(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_long_text_is_cut_and_marked() -> None:
    assert one_line("x" * 50, limit=10) == "xxxxxxx..."
    assert one_line("x" * 10, limit=10) == "x" * 10


def test_a_word_for_a_shell_is_one_line_and_is_read_as_it_was() -> None:
    texts = ["plain", "a b", "it's", "a\nb'c\\d", "\x1b[2J$HOME", "line\u2028break", "\udcff7"]
    words = [shell_word(text) for text in texts]
    assert words[:3] == ["plain", "'a b'", "'it'\"'\"'s'"]
    assert all(word.isprintable() for word in words)
    line = f"printf '%s\\0' {' '.join(words)}"
    read = subprocess.run(["bash", "-c", line], capture_output=True, timeout=30, check=True).stdout
    assert os.fsdecode(read).split("\0")[:-1] == texts
