"""What a person sees on a terminal while a run learns."""

import io

import pytest
from rich.console import Console

from trainer.config import TrainConfig
from trainer.runs.clocks import Clocks
from trainer.runs.display import LiveReporter, format_duration


@pytest.mark.parametrize("width", [60, 80, 160])
def test_the_live_display_shows_every_number_at_any_width(width: int) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, height=20, color_system=None)
    clocks = Clocks(env_steps=3_668, episodes=128, loss=0.0132, win_rate=0.25)
    with LiveReporter(console, TrainConfig(map="3m", steps=2_000_000), 0) as reporter:
        reporter.progress(clocks, 0.93)
        reporter.live.refresh()
        shown = " ".join(screen.getvalue().split())
    for part in (
        "steps 3,668 / 2,000,000",
        "episodes 128",
        "loss 0.0132",
        "epsilon 0.93",
        "win rate 25%",
        "left",
    ):
        assert part in shown


def test_durations_are_read_at_a_glance() -> None:
    shown = [format_duration(seconds) for seconds in (0.2, 59.4, 60, 725, 3_600, 11_040)]
    assert shown == ["0 s", "59 s", "1 min 0 s", "12 min 5 s", "1 h 0 min", "3 h 4 min"]
