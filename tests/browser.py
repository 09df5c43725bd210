"""A real browser for the tests of pages."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
LAPTOP, PHONE = (1366, 768), (390, 844)
SCREENS = (
    (320, 568), (344, 882), (360, 700), (375, 667), PHONE, (412, 915), (430, 932), (460, 900), (540, 720),
    (600, 1024), (667, 375), (768, 1024), (820, 1180), (844, 390), (932, 430), (1024, 768), (1180, 820),
    (1280, 800), LAPTOP, (1920, 1080),
)  # fmt: skip
"""Phones, tablets and computers, held upright and sideways."""
OVERFLOW = """
    const width = arguments[0], shown = (node) => node.getClientRects().length > 0;
    const row = [...document.querySelectorAll(".buttons > button, #clock")].filter(shown);
    const found = [];
    if (document.documentElement.scrollWidth > width) found.push("the page");
    for (const node of row) {
      const box = node.getBoundingClientRect(), name = node.id;
      if (box.left < 0 || box.right > width) found.push(`${name} leaves the page`);
      if (node.scrollWidth > node.clientWidth) found.push(`${name} is wider than its place`);
      for (const other of row) {
        const next = other.getBoundingClientRect();
        const apart = box.right <= next.left + 0.5 || next.right <= box.left + 0.5
          || box.bottom <= next.top + 0.5 || next.bottom <= box.top + 0.5;
        if (other !== node && !apart) found.push(`${name} lies on ${other.id}`);
      }
      if (node.tagName === "BUTTON" && (box.width < 36 || box.height < 36)) found.push(`${name} is small`);
    }
    return found;
"""
"""What on a battle's page of a given width does not fit where it is, as text."""

needs_browser = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None or importlib.util.find_spec("selenium") is None,
    reason="Chromium, its driver or selenium is not installed",
)


@contextlib.contextmanager
def new_browser() -> Iterator[Any]:
    """A browser without a window, which keeps its console for `get_log`."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(30)
    try:
        yield driver
    finally:
        driver.quit()


def resize(browser: Any, width: int, height: int) -> None:
    """The size of the page, in pixels; a narrow one is a phone's."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
