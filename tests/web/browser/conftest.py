"""Headless Chromium, and a board of a folder in which LeNet trains.

Debian's Chromium is used; Playwright only drives it. Each page is watched: errors on its console,
which violations of the content security policy are too, fail the test.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from lenet import prepare_lenet, start_training
from processes import served

CHROMIUM = Path("/usr/bin/chromium")
TIMEOUT_MS = 60_000  # a machine with two cores trains and serves meanwhile


@pytest.fixture(scope="module")
def chromium():
    """A browser. A test module has its own, because Playwright keeps an event loop running."""
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        sync_playwright = None
    if sync_playwright is None or not CHROMIUM.exists():
        missing = f"{CHROMIUM} or the package playwright is missing"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """A function that opens an address: open_page(url, width=360, scheme="dark", locale="ko").

    A test that expects errors on the console clears `open_page.problems`.
    """
    problems = []
    with ExitStack() as stack:

        def opened(url, width=1280, height=900, scheme="light", locale="en-US"):
            context = chromium.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme, locale=locale
            )
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(TIMEOUT_MS)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda message: note(message, problems))
            page.goto(url)
            page.wait_for_selector("h1")
            return page

        opened.problems = problems
        yield opened
    assert problems == []


def note(message, problems):
    """Keep an error or a warning of the console."""
    if message.type in ("error", "warning"):
        problems.append(f"{message.location.get('url')}: {message.text}")


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """A board of a folder in which LeNet can train.

    It has `url`, `folder`, and `train(*flags)`, which starts a training and returns its process.
    Processes that still run at the end of the module are killed.
    """
    folder = tmp_path_factory.mktemp("board")
    prepare_lenet(folder)
    started = []

    def train(*flags):
        started.append(start_training(folder, *flags))
        return started[-1]

    with served("board", folder) as (process, url):
        yield SimpleNamespace(url=url, folder=folder, train=train, process=process)
        for training in started:
            training.kill()
            training.wait()
