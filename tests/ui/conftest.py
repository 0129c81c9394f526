"""Chromium, driven by Playwright, on the Prefect UI of `rapport serve`."""

import os
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.ui.prefect_ui import PrefectUi
from tests.waiting import WAIT_SECONDS

SCREENSHOTS = Path(__file__).parents[2] / "test-output" / "ui"
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program, installed where it is missing and may be."""
    if not shutil.which("chromium"):
        if os.geteuid() != 0:
            pytest.skip("there is no Chromium, and only root may install it: apt-get install chromium")
        for command in ("update", "install --yes --no-install-recommends chromium"):
            done = subprocess.run(["apt-get", *command.split()], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"there is no Chromium, and apt-get cannot install it: {done.stderr.strip()[-300:]}")
    return str(shutil.which("chromium"))


@pytest.fixture(scope="module")
def page(chromium, tmp_path_factory) -> Generator[Page]:
    """The one page of a browser, closed after its tests: what moves on it keeps a processor busy."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("chromium"),
            executable_path=chromium,
            headless=True,
            viewport={"width": 1400, "height": 1400},
            args=QUIET,
        )
        page = browser.pages[0]
        page.set_default_timeout(1000 * WAIT_SECONDS)
        yield page
        browser.close()


@pytest.fixture
def ui(served, page) -> PrefectUi:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return PrefectUi(page, served.address, SCREENSHOTS)
