"""Foreign text on one line."""

import pytest

from envs.text import one_line


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
