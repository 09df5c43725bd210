"""What --watch tells its viewers: the whole battle, whenever they come, and how each agent is reached."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.battle.recorded import ROWS, RecordedBattle
from envs.battle.teams import TEAMS
from envs.smac.maps import load_map
from runtime.host import live_view
from runtime.host.agent_link import AgentLink
from runtime.host.game import EpisodeResult
from runtime.host.live_view import LiveView, Seen, link_data
from runtime.identity.addresses import parse_address

RESULT = EpisodeResult(0, True, 20.0, 5, 0, [1.0], np.zeros((1, 1), np.int64))


@pytest.fixture(autouse=True)
def every_look_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks that are shorter than any two calls are apart."""
    monkeypatch.setattr(live_view, "TICK_S", 1e-7)
    monkeypatch.setattr(live_view, "TEAM_S", 1e-7)


@pytest.fixture
def env() -> Iterator[BattleEnv]:
    with BattleEnv(load_map("3m"), seed=3) as env:
        yield env


def play(env: BattleEnv, view: LiveView, battles: int = 1) -> Iterator[int]:
    """Battles of the team `nearest`, which stop after every step."""
    team, rng = TEAMS["nearest"](env, 0), np.random.default_rng(0)
    for _ in range(battles):
        step = env.reset()
        view.begin(step)
        yield 0
        while not step.done.all():
            actions = team(step)
            step = env.step(actions)
            view.step(step, actions, rng.normal(size=step.avail_actions.shape).astype(np.float32))
            yield int(env.steps[0])
        view.note(RESULT)


def events(data: bytes) -> list[tuple[str, dict[str, Any]]]:
    """The events in a stream, by name."""
    parts = [part.split("\n") for part in data.decode().split("\n\n") if part]
    return [(name.removeprefix("event: "), json.loads(text.removeprefix("data: "))) for name, text in parts]


def numbers(data: dict[str, Any]) -> dict[str, bytes]:
    """The arrays of a battle, or of some of its steps."""
    found = {name: base64.b64decode(data[name]) for name in (*ROWS, "actions", "avail")}
    if "advantages" in data:
        scaled = np.frombuffer(base64.b64decode(data["advantages"]), "<i2") * data["advantage_scale"]
        found["advantages"] = scaled.astype(np.float64).tobytes()
    return found


class Page:
    """A viewer: the battle as the page puts it together."""

    def __init__(self, view: LiveView) -> None:
        self.view, self.seen = view, Seen()
        self.battle: dict[str, Any] = {}
        self.numbers: dict[str, bytes] = {}
        self.team: dict[str, Any] = {}

    def ask(self) -> None:
        data, self.seen = self.view.news(self.seen)
        for name, told in events(data):
            if name == "battle":
                self.battle, self.numbers = told, numbers(told)
            elif name == "news":
                assert told["from"] == self.battle["steps"]
                for row, more in numbers(told).items():
                    self.numbers[row] = self.numbers.get(row, b"") + more
                self.battle |= {"steps": told["steps"], "end": told["end"]}
                self.battle["rewards"] += told["rewards"]
            elif name == "team":
                self.team = told


@pytest.mark.parametrize("every", [1, 3, 7, 1000])
def test_a_page_has_the_whole_battle_however_often_it_asks(every: int, env: BattleEnv) -> None:
    view = LiveView(episodes=1)
    view.join(env, [], [])
    page, late = Page(view), Page(view)
    for step in play(env, view):
        if step % every == 0:
            page.ask()
    page.ask()
    late.ask()
    assert page.battle["end"] in ("won", "lost")
    assert page.battle["steps"] == int(env.steps[0]) > 5
    assert page.battle["rewards"] == late.battle["rewards"]
    assert {name: late.battle[name] for name in ("episode", "seed", "end", "units")} == {
        name: page.battle[name] for name in ("episode", "seed", "end", "units")
    }
    for name, row in late.numbers.items():
        if name == "advantages":  # each part has a scale of its own
            close = np.frombuffer(page.numbers[name]), np.frombuffer(row)
            np.testing.assert_allclose(*close, atol=1e-3)
        else:
            assert page.numbers[name] == row, name


def test_an_end_that_comes_after_its_step_is_told_too(env: BattleEnv) -> None:
    view = LiveView(episodes=1)
    view.join(env, [], [])
    page = Page(view)
    for _ in play(env, view):
        pass
    battle = view._current[1]
    assert battle is not None
    end, battle.end = battle.end, "running"
    page.ask()
    assert page.battle["end"] == "running"
    battle.end = end
    page.ask()
    assert page.battle["end"] == end
    assert len(page.battle["rewards"]) == page.battle["steps"]


def test_another_battle_is_told_from_its_start(env: BattleEnv) -> None:
    view = LiveView(episodes=2)
    view.join(env, [], [])
    page = Page(view)
    assert view.news(Seen())[1].battle == 0
    seen = []
    for step in play(env, view, battles=2):
        if step % 4 == 0:
            page.ask()
            seen.append(page.battle["episode"])
    assert sorted(set(seen)) == [0, 1]
    assert (page.team["played"], page.team["wanted"], page.team["over"]) == (1, 2, False)
    view.is_over = True
    page.ask()
    assert (page.team["played"], page.team["won"], page.team["over"]) == (2, 2, True)


def test_viewers_of_one_moment_share_what_they_are_told(
    env: BattleEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    view, worded = LiveView(episodes=1), []
    view.join(env, [], [])
    for _ in play(env, view):
        pass
    monkeypatch.setattr(live_view, "TICK_S", 3600.0)
    data = RecordedBattle.data
    monkeypatch.setattr(RecordedBattle, "data", lambda *args: worded.append(args) or data(*args))
    told = {view.news(Seen())[0] for _ in range(5)}
    assert len(told) == len(worded) == 1
    assert events(told.pop())[0] == ("game", {"game": view.game})


def test_a_battle_is_read_while_it_is_played(env: BattleEnv) -> None:
    """From another thread, as often as it can; what it is told always fits together."""
    view = LiveView(episodes=30)
    view.join(env, [], [])
    page, is_over, errors = Page(view), threading.Event(), []

    def watch() -> None:
        try:
            while not is_over.is_set():
                page.ask()
                if page.battle:
                    steps = page.battle["steps"]
                    assert len(page.battle["rewards"]) == steps
                    assert len(page.numbers["x"]) == 2 * 6 * (steps + 1)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    for _ in play(env, view, battles=30):
        pass
    is_over.set()
    thread.join(30)
    assert not errors
    assert page.battle["episode"] > 0


def test_how_an_agent_is_reached_is_said() -> None:
    link = AgentLink(parse_address("127.0.0.1:50051"))
    now_s = time.monotonic()
    said = link_data(link, now_s)
    assert said["address"] == "127.0.0.1:50051"
    assert (said["lost"], said["waits_s"], said["latency_ms"]) == (None, 0.0, None)
    link.latency_ms, link.asked_s = 1.2345, now_s - 0.5
    assert (link_data(link, now_s)["latency_ms"], link_data(link, now_s)["waits_s"]) == (1.23, 0.5)
    link.is_lost, link.why_lost = True, "it was killed"
    assert link_data(link, now_s)["lost"] == "it was killed"
