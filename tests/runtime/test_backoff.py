"""Whatever keeps failing is tried ever more slowly, but never more slowly than its limit."""

from __future__ import annotations

from itertools import islice

from runtime.agent.child import restart_pauses
from runtime.backoff import growing_pauses
from runtime.host.agent_link import reconnect_pauses


def test_pauses_double_up_to_the_limit_and_stay_there() -> None:
    assert list(islice(growing_pauses(1.0, 5.0), 5)) == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_an_agent_is_restarted_after_20_ms_and_at_the_latest_after_5_s() -> None:
    pauses = list(islice(restart_pauses(), 10))
    assert pauses == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.0, 5.0]


def test_an_agent_is_looked_for_after_5_ms_and_at_least_every_half_second() -> None:
    pauses = list(islice(reconnect_pauses(), 9))
    assert pauses == [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.5, 0.5]
