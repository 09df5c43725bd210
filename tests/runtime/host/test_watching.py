"""`lan-play --watch` as people use it: a page in a real browser follows battles of separate processes."""

import contextlib
import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from envs.errors import InputError
from runtime.host.flags import PlayConfig, resolve
from tests.browser import LAPTOP, OVERFLOW, PHONE, SCREENS, needs_browser, new_browser, resize
from tests.paths import ROOT
from tests.runtime.support.processes import command, environment, free_ports, run, started

MODEL = ROOT / "zoo" / "3m.onnx"
DEADLINE_S = 120.0
"""For what takes as long as the machine is busy: starting, compiling."""


@dataclass
class Host:
    """A `lan-play` that is being watched."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return next(
            match[1] for line in self.said if (match := re.match(r"watch at (http://\S+/)", line)) is not None
        )


@contextlib.contextmanager
def watched(*flags: object) -> Iterator[Host]:
    """`lan-play --watch` with more flags, once it shows its page."""
    where = () if "--watch" in flags else ("--watch", "127.0.0.1:0")
    words = command("play", "--env", "sim", *where, *flags)
    process = subprocess.Popen(
        words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment()
    )
    assert process.stderr is not None
    host = Host(process)
    for line in process.stderr:
        host.said.append(line)
        if line.startswith("watch at"):
            break
    rest = threading.Thread(target=host.said.extend, args=(process.stderr,), daemon=True)
    rest.start()
    try:
        yield host
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with new_browser() as browser:
        yield browser


def wait_for(condition: Callable[[], object], within_s: float = DEADLINE_S) -> float:
    """Wait until it holds, and return the seconds that it took."""
    begin_s = time.monotonic()
    while not condition():
        assert time.monotonic() - begin_s < within_s
        time.sleep(0.02)
    return time.monotonic() - begin_s


def state(browser: Any, name: str) -> Any:
    return browser.execute_script(f"return window.battlePage.state.{name}")


def text(browser: Any, selector: str) -> str:
    return str(browser.execute_script("return document.querySelector(arguments[0]).innerText", selector))


def opened(browser: Any, url: str) -> None:
    """Open the page, and wait until it shows a battle."""
    browser.get_log("browser")
    browser.get(url)
    wait_for(lambda: browser.execute_script("return window.battlePage !== undefined"))
    wait_for(lambda: "ms" in text(browser, '#roster button[data-agent="0"] .link'))


@needs_browser
def test_the_page_follows_the_battle_and_an_agent_that_dies_and_comes_back(browser: Any) -> None:
    port = free_ports(3)
    agents = [
        ("agent", "--model", MODEL, "--agent-id", i, "--listen", f"127.0.0.1:{port + i}") for i in range(3)
    ]
    with contextlib.ExitStack() as stack:
        team = [stack.enter_context(started(*words, until="serves")) for words in agents]
        flags = ("--agents", f"127.0.0.1:{port}-{port + 2}", "--map", "3m", "--realtime", "--episodes", 500)
        host = stack.enter_context(watched(*flags))
        resize(browser, *LAPTOP)
        opened(browser, host.url)
        link = '#roster button[data-agent="1"] .link'
        before = state(browser, "battle.steps")
        wait_for(lambda: state(browser, "battle.steps") != before)
        assert state(browser, "live") is True
        team[1].process.send_signal(signal.SIGKILL)
        assert wait_for(lambda: "lost" in text(browser, link), within_s=2.0) < 2.0
        assert "lost" not in text(browser, '#roster button[data-agent="0"] .link')
        browser.find_element("css selector", '#roster button[data-agent="1"]').click()
        wait_for(lambda: f"127.0.0.1:{port + 1}" in text(browser, "#agent"))
        stack.enter_context(started(*agents[1], until="serves"))
        assert wait_for(lambda: "ms" in text(browser, link), within_s=2.0) < 2.0
        assert "missed" in text(browser, link)
        assert browser.get_log("browser") == []


@needs_browser
@pytest.mark.parametrize("size", [LAPTOP, PHONE])
def test_the_reader_takes_the_time_in_hand_and_gives_it_back(browser: Any, size: tuple[int, int]) -> None:
    """Battles as fast as they can be played: the page shows them at a pace that people can follow."""
    with watched("--model", MODEL, "--opponent", MODEL, "--episodes", 100_000) as host:
        resize(browser, *size)
        opened(browser, host.url)
        assert len(browser.find_elements("css selector", "#enemy-links li")) == 3
        wait_for(lambda: "played" in text(browser, "#tally"))
        wait_for(lambda: state(browser, "time") > 3)
        browser.find_element("css selector", "#play").click()
        held, episode = state(browser, "time"), state(browser, "battle.episode")
        assert text(browser, "#outcome").startswith(f"Battle {episode} ")
        time.sleep(1.0)
        assert (state(browser, "time"), state(browser, "battle.episode")) == (held, episode)
        assert text(browser, "#live").strip() in ("Live", "")
        browser.find_element("css selector", "#live").click()
        wait_for(lambda: state(browser, "battle.episode") > episode)
        wait_for(lambda: state(browser, "time") > 0)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
        assert browser.get_log("browser") == []


@needs_browser
@pytest.mark.parametrize("size", [LAPTOP, PHONE, (360, 700)])
def test_buttons_stay_in_their_places_from_battle_to_battle(browser: Any, size: tuple[int, int]) -> None:
    """A finger is on its way to a button: the texts above it grow and shrink, and must not move it."""
    places = """
        const of = (node) => [node.id, node.getBoundingClientRect().left, node.getBoundingClientRect().top];
        return [...document.querySelectorAll(".buttons > button:not([hidden]), #time")].map(of).join();
    """
    with watched("--model", MODEL, "--episodes", 100_000) as host:
        resize(browser, *size)
        opened(browser, host.url)
        seen, battles = set(), set()

        def has_seen_three() -> bool:
            seen.add(browser.execute_script(places))
            battles.add(state(browser, "battle.episode"))
            return len(battles) == 3

        wait_for(has_seen_three)
        assert len(seen) == 1, seen


@needs_browser
def test_the_buttons_fit_on_every_screen(browser: Any) -> None:
    with watched("--model", MODEL, "--episodes", 100_000) as host:
        opened(browser, host.url)
        wait_for(lambda: "played" in text(browser, "#tally"))
        wait_for(lambda: state(browser, "time") > 10)  # two digits
        found = {}
        for size in SCREENS:
            resize(browser, *size)
            found[size] = browser.execute_script(OVERFLOW, size[0])
    assert {size: what for size, what in found.items() if what} == {}


@needs_browser
def test_a_page_turns_to_another_game_at_its_port(browser: Any) -> None:
    """Of another map, after the host was killed; meanwhile the page knows nothing of the agents."""
    port = free_ports(1)
    flags = ("--realtime", "--episodes", 500, "--watch", f"127.0.0.1:{port}")
    with watched("--model", MODEL, *flags) as host:
        resize(browser, *LAPTOP)
        opened(browser, host.url)
        host.process.kill()
        wait_for(lambda: text(browser, "#tally") == "The host does not answer; trying again")
        assert "not known" in text(browser, '#roster button[data-agent="0"] .link')
        assert "3 marines" in text(browser, "#subtitle")
    with watched("--model", ROOT / "zoo" / "2s3z.onnx", *flags):
        wait_for(lambda: text(browser, "h1") == "2s3z")
        wait_for(lambda: len(browser.find_elements("css selector", "#roster button")) == 5)
    browser.get_log("browser")  # of connections that were refused


@needs_browser
def test_a_battle_that_is_broken_off_is_called_so(browser: Any) -> None:
    with watched("--model", MODEL, "--realtime", "--episodes", 500) as host:
        resize(browser, *LAPTOP)
        opened(browser, host.url)
        browser.find_element("css selector", '#roster button[data-agent="0"]').click()
        host.process.send_signal(signal.SIGINT)
        begin_s = time.monotonic()
        host.process.wait(60)
        assert time.monotonic() - begin_s < 10
        wait_for(lambda: text(browser, "#tally").startswith("Over: "))
        wait_for(lambda: "Broken off" in text(browser, "#outcome") or "Won" in text(browser, "#outcome"))
        wait_for(lambda: state(browser, "playing") is False)
        assert "ended" in text(browser, '#roster button[data-agent="0"] .link')
        assert "The battle is over." not in text(browser, "#agent")
        assert not browser.find_element("css selector", "#live").is_displayed()
        assert browser.get_log("browser") == []


@needs_browser
def test_the_page_says_when_all_is_over(browser: Any) -> None:
    with watched("--model", MODEL, "--realtime", "--episodes", 1) as host:
        resize(browser, *LAPTOP)
        opened(browser, host.url)
        output, _ = host.process.communicate(timeout=DEADLINE_S)
        assert "battles won" in output
        wait_for(lambda: text(browser, "#tally").startswith("Over: "))
        wait_for(lambda: text(browser, "#outcome").split()[3] in ("Won", "Lost", "Drawn:", "Out"))
        assert browser.get_log("browser") == []


def test_what_is_watched_is_what_is_played(tmp_path: Path) -> None:
    """With and without viewers the same battles."""
    flags = ("--model", MODEL, "--env", "sim", "--episodes", 2, "--deadline-ms", 60000, "--record")
    plain, shown = tmp_path / "plain.jsonl", tmp_path / "shown.jsonl"
    assert run("play", *flags, plain).returncode == 0
    done = run("play", *flags, shown, "--watch", "127.0.0.1:0")
    assert done.returncode == 0
    assert "--realtime plays at the game's own speed" in done.stderr
    assert [json.loads(line) for line in shown.read_text().splitlines()] == [
        json.loads(line) for line in plain.read_text().splitlines()
    ]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--map", "3m", "--watch", "0.0.0.0:0"), "say --insecure"),
        (("--map", "3m", "--watch", "nowhere"), "is no address"),
        (("--map", "3m", "--watch", "http://127.0.0.1:80/"), "say HOST:PORT, such as"),
        (("--map", "spread:3", "--watch", "127.0.0.1:0"), "spread:3 has none"),
    ],
)
def test_what_cannot_be_watched_is_refused_in_a_sentence(flags: tuple[str, ...], said: str) -> None:
    done = run("play", "--agents", "127.0.0.1:1", *flags)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("lan-play: error: ")
    assert said in line


@pytest.mark.parametrize("flags", [{"watch": "127.0.0.1:0"}, {"record": Path("battle.html")}])
def test_games_whose_units_are_not_shown_are_refused(
    flags: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envs.make.resolve_backend", lambda *names: "smac")
    with pytest.raises(InputError, match="--env smac shows no units; --env sim and sc2 do"):
        resolve(PlayConfig(map="3m", agents="127.0.0.1:1", **flags))


def test_a_taken_port_is_refused_before_any_agent_starts() -> None:
    with watched("--model", MODEL, "--realtime") as host:
        taken = host.url.removeprefix("http://").removesuffix("/")
        done = run("play", "--model", MODEL, "--env", "sim", "--watch", taken)
    assert done.returncode == 2
    reason = "cannot be listened on: Address already in use; choose another one"
    assert done.stderr == f"lan-play: error: --watch {taken} {reason}\n"
