"""The recorded page in a real browser: it loads, plays, steps, shows what an agent sees, never complains."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.battle.record import Recorder
from envs.battle.teams import TEAMS
from envs.smac.maps import load_map
from tests.browser import LAPTOP, OVERFLOW, PHONE, SCREENS, needs_browser, new_browser, resize
from tests.envs.support.recorded import recorded

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

DEADLINE_S = 10.0

pytestmark = needs_browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two battles of corridor, with made-up advantages in which the chosen action is the highest."""
    env = BattleEnv(load_map("corridor"), n_battles=1, seed=4)
    team = TEAMS["nearest"](env, 0)
    recorder = Recorder("team nearest, seed 4")
    rng = np.random.default_rng(0)
    for _ in range(2):
        step = env.reset()
        recorder.begin(env, step)
        while not step.done.all():
            actions = team(step)
            advantages = rng.uniform(-1, -0.5, step.avail_actions.shape)
            np.put_along_axis(advantages, actions[..., None], 0.25, axis=2)
            step = env.step(actions)
            recorder.step(env, step, actions, advantages)
    env.close()
    path = tmp_path_factory.mktemp("record") / "battle.html"
    recorder.write(path)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with new_browser() as browser:
        yield browser


@pytest.fixture
def still_camera(browser: Any) -> Iterator[None]:
    """The reader's system asks for little motion: the camera is at once where it is going."""
    calm = {"name": "prefers-reduced-motion", "value": "reduce"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [calm]})
    yield
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.fixture
def shown(browser: Any, page: Path) -> Iterator[Any]:
    """The page, freshly loaded on a laptop; afterwards the console must be empty."""
    resize(browser, *LAPTOP)
    browser.get(page.as_uri())
    wait_for(lambda: browser.execute_script("return window.battlePage !== undefined"))
    yield browser
    assert browser.get_log("browser") == []


def wait_for(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "the page did not get there in time"
        time.sleep(0.02)


def press(browser: Any, *keys: str) -> None:
    ActionChains(browser).send_keys(*keys).perform()


def text(browser: Any, selector: str) -> str:
    """What the page says there now, read at once: parts of it are replaced from step to step."""
    return str(browser.execute_script("return document.querySelector(arguments[0]).innerText", selector))


def step_shown(browser: Any) -> int:
    return int(text(browser, "#clock b"))


def picture(browser: Any) -> str:
    """What is on the field, as the text of a PNG file."""
    return str(browser.execute_script("return document.getElementById('field').toDataURL()"))


def state(browser: Any, name: str) -> Any:
    return browser.execute_script("return window.battlePage.state[arguments[0]]", name)


def test_it_says_who_fights_whom_and_how_it_ended(shown: Any) -> None:
    assert text(shown, "h1") == "corridor"
    assert text(shown, "#subtitle") == "6 zealots against 24 zerglings · team nearest, seed 4"
    assert text(shown, "#hud-sides") == "6 agents · 24 enemies"
    steps = len(state(shown, "battle")["rewards"])
    assert f"{steps} steps" in text(shown, "#outcome")
    assert len(shown.find_elements(By.CSS_SELECTOR, "#roster button")) == 6
    assert "zergling" in text(shown, "#roster").lower() or "north" in text(shown, "#roster")


def test_play_moves_the_battle_to_its_end_and_pause_holds_it(shown: Any) -> None:
    before = picture(shown)
    shown.find_element(By.ID, "big-play").click()
    wait_for(lambda: step_shown(shown) >= 2)
    assert not shown.find_element(By.ID, "big-play").is_displayed()
    assert picture(shown) != before
    press(shown, Keys.SPACE)
    held = float(state(shown, "time"))
    assert held % 1 != 0 or held > 0
    time.sleep(0.2)
    assert float(state(shown, "time")) == held
    press(shown, Keys.END)
    wait_for(lambda: step_shown(shown) == len(state(shown, "battle")["rewards"]))
    press(shown, Keys.SPACE)  # from the end, playing starts over
    wait_for(lambda: 0 < float(state(shown, "time")) < 5)
    press(shown, Keys.SPACE)


def test_keys_and_buttons_step_through_time(shown: Any) -> None:
    press(shown, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    wait_for(lambda: step_shown(shown) == 3)
    shown.find_element(By.ID, "back").click()
    wait_for(lambda: step_shown(shown) == 2)
    shown.find_element(By.ID, "forward").click()
    wait_for(lambda: step_shown(shown) == 3)
    press(shown, Keys.HOME)
    wait_for(lambda: step_shown(shown) == 0)
    press(shown, Keys.ARROW_LEFT)
    wait_for(lambda: step_shown(shown) == 0)


def test_the_time_bar_goes_anywhere(shown: Any) -> None:
    bar = shown.find_element(By.ID, "time")
    ActionChains(shown).move_to_element(bar).click().perform()  # its middle
    steps = len(state(shown, "battle")["rewards"])
    wait_for(lambda: abs(float(state(shown, "time")) - steps / 2) < 1)
    assert bar.get_attribute("aria-valuetext") == f"step {step_shown(shown)} of {steps}"


def test_selecting_an_agent_shows_its_choice_and_dims_what_it_does_not_see(shown: Any) -> None:
    press(shown, Keys.ARROW_RIGHT, "z")
    time.sleep(0.6)  # the camera comes to rest
    bright = picture(shown)
    shown.find_element(By.CSS_SELECTOR, '#roster button[data-agent="2"]').click()
    wait_for(lambda: "Agent 2: Zealot" in text(shown, "#agent"))
    time.sleep(0.1)
    assert picture(shown) != bright
    assert "Health" in text(shown, "#agent")
    taken = shown.find_elements(By.CSS_SELECTOR, ".actions li.taken")
    assert len(taken) == 1
    assert "0.250" in taken[0].text
    action = int(taken[0].get_attribute("data-action"))
    raw = shown.execute_script("const s = window.battlePage.state; return s.battle.actions[1 * 6 + 2]")
    assert action == raw
    assert taken[0].text.splitlines()[0] in text(shown, ".chosen")
    press(shown, Keys.ESCAPE)
    wait_for(lambda: "No agent selected" in text(shown, "#agent"))


@pytest.mark.parametrize("size", [LAPTOP, PHONE])
def test_the_chosen_action_is_in_view_however_long_the_list(shown: Any, size: tuple[int, int]) -> None:
    resize(shown, *size)
    shown.find_element(By.CSS_SELECTOR, '#roster button[data-agent="1"]').click()
    seen = """
        const list = document.querySelector(".actions"), taken = list?.querySelector(".taken");
        if (!taken || list.scrollHeight <= list.clientHeight) return null;
        const outer = list.getBoundingClientRect(), inner = taken.getBoundingClientRect();
        return inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;
    """
    found = []
    for step in range(1, 21):
        press(shown, Keys.ARROW_RIGHT)
        wait_for(lambda step=step: step_shown(shown) == step)
        found.append(shown.execute_script(seen))
    assert found.count(True) > 5  # steps in which the list is longer than its place
    assert False not in found


def test_an_agent_is_selected_on_the_field_and_by_arrow_keys(shown: Any) -> None:
    time.sleep(0.2)
    x, y = shown.execute_script("return window.battlePage.place(4)")
    ActionChains(shown).move_by_offset(0, 0).perform()
    shown.execute_cdp_cmd(
        "Input.dispatchMouseEvent",
        {"type": "mousePressed", "x": x, "y": y, "button": "left", "clickCount": 1},
    )
    shown.execute_cdp_cmd(
        "Input.dispatchMouseEvent",
        {"type": "mouseReleased", "x": x, "y": y, "button": "left", "clickCount": 1},
    )
    wait_for(lambda: "Agent 4" in text(shown, "#agent"))
    press(shown, Keys.ARROW_DOWN)
    wait_for(lambda: "Agent 5" in text(shown, "#agent"))
    press(shown, Keys.ARROW_DOWN)
    wait_for(lambda: "Agent 0" in text(shown, "#agent"))


def test_a_fallen_agent_sees_nothing(shown: Any) -> None:
    press(shown, Keys.END)
    alive = """
        const {battle} = window.battlePage.state, last = battle.steps * 30;
        return [0, 1, 2, 3, 4, 5].filter((i) => battle.health[last + i] === 0);
    """
    fallen = shown.execute_script(alive)
    assert fallen, "the recording should hold a fallen agent"
    shown.find_element(By.CSS_SELECTOR, f'#roster button[data-agent="{fallen[0]}"]').click()
    wait_for(lambda: "Fallen" in text(shown, "#agent"))


BUTTONS = ("#play", "#back", "#forward", "#orders", "#follow", "#speed", "#agent .close")
ROSTER = '#roster button[data-agent="2"]'


@pytest.mark.parametrize("size", [LAPTOP, PHONE])
def test_a_press_counts_though_the_page_is_drawn_anew_during_it(shown: Any, size: tuple[int, int]) -> None:
    """Another battle begins between pressing and letting go, as it does on a page that follows battles."""
    resize(shown, *size)
    shown.execute_script("""
        window.pressed = [];
        document.addEventListener("click", (event) => window.pressed.push(event.target.closest("button")));
    """)
    another_battle = """
        const chooser = document.getElementById("battle");
        chooser.selectedIndex = 1 - chooser.selectedIndex;
        chooser.dispatchEvent(new Event("change"));
        document.getElementById("big-play").click();
    """
    press(shown, Keys.SPACE)
    shown.find_element(By.CSS_SELECTOR, ROSTER).click()
    for selector in (*BUTTONS, ROSTER, "#help-button"):
        button = shown.find_element(By.CSS_SELECTOR, selector)
        ActionChains(shown).click_and_hold(button).perform()
        shown.execute_script(another_battle)
        wait_for(lambda: step_shown(shown) >= 2)
        ActionChains(shown).release().perform()
        assert shown.execute_script("return window.pressed.at(-1)") == button, selector


def test_the_action_under_the_pointer_is_marked_while_it_is_there(still_camera: None, shown: Any) -> None:
    shown.find_element(By.CSS_SELECTOR, ROSTER).click()
    ActionChains(shown).move_to_element(shown.find_element(By.TAG_NAME, "h1")).perform()
    press(shown, Keys.END)
    time.sleep(0.2)
    end, steps = picture(shown), step_shown(shown)
    press(shown, Keys.HOME)
    attack = '.actions li:not([data-target="-1"])'

    def can_attack() -> bool:
        press(shown, Keys.ARROW_RIGHT)
        time.sleep(0.1)
        return bool(shown.find_elements(By.CSS_SELECTOR, attack))

    wait_for(can_attack)
    bare = picture(shown)
    ActionChains(shown).move_to_element(shown.find_element(By.CSS_SELECTOR, attack)).perform()
    wait_for(lambda: picture(shown) != bare)
    press(shown, Keys.END)  # no list of actions is there, under a pointer that stands still
    wait_for(lambda: step_shown(shown) == steps)
    wait_for(lambda: picture(shown) == end)


def test_another_battle_can_be_chosen(shown: Any) -> None:
    press(shown, Keys.END)
    chooser = shown.find_element(By.ID, "battle")
    options = chooser.find_elements(By.TAG_NAME, "option")
    assert len(options) == 2
    options[1].click()
    wait_for(lambda: step_shown(shown) == 0)
    assert state(shown, "battle")["episode"] == 1


def test_help_opens_and_keys_rest_while_it_is_open(shown: Any) -> None:
    press(shown, "?")
    wait_for(lambda: shown.find_element(By.ID, "help").is_displayed())
    press(shown, Keys.ARROW_RIGHT)
    press(shown, Keys.ESCAPE)
    wait_for(lambda: not shown.find_element(By.ID, "help").is_displayed())
    assert step_shown(shown) == 0


@pytest.mark.parametrize("size", [LAPTOP, PHONE, (360, 700), (1920, 1080)])
def test_nothing_is_cut_off_on_any_screen(shown: Any, size: tuple[int, int]) -> None:
    resize(shown, *size)
    press(shown, Keys.END)  # where the clock is widest
    shown.find_element(By.CSS_SELECTOR, '#roster button[data-agent="0"]').click()
    wait_for(lambda: "Agent 0" in text(shown, "#agent"))
    width = shown.execute_script("return document.documentElement.scrollWidth")
    assert width <= size[0]
    for button in shown.find_elements(By.CSS_SELECTOR, ".buttons button:not([hidden])"):
        box = button.rect
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size[0]
        assert box["height"] >= 38
    field = shown.find_element(By.ID, "field").rect
    assert field["width"] >= min(size[0], 600)
    assert field["height"] >= 300


def test_the_buttons_fit_on_every_screen(shown: Any) -> None:
    press(shown, Keys.END)
    found = {}
    for size in SCREENS:
        resize(shown, *size)
        found[size] = shown.execute_script(OVERFLOW, size[0])
    assert {size: what for size, what in found.items() if what} == {}


def test_the_animated_picture_moves_inside_an_image(browser: Any, tmp_path: Path) -> None:
    """As in a README: no script, and the picture is an `img`."""
    recorded("3m").write(tmp_path / "battle.svg")
    (tmp_path / "page.html").write_text("<img src=battle.svg width=400>")
    browser.get((tmp_path / "page.html").as_uri())
    image = browser.find_element(By.TAG_NAME, "img")
    wait_for(lambda: image.get_property("naturalWidth") > 0)
    seen = {image.screenshot_as_png}
    give_up_s = time.monotonic() + DEADLINE_S
    while len(seen) < 3 and time.monotonic() < give_up_s:
        time.sleep(0.3)
        seen.add(image.screenshot_as_png)
    assert len(seen) >= 3
