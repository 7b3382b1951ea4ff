"""Draw the pictures of docs/board.md: LeNet is trained, and its pages are opened in Chromium.

    python docs/generate_board.py

Needs the packages of the extra "dev" and Debian's chromium. The last training still runs while the
pictures are taken.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.board import CHROMIUM, board, prepare_lenet  # noqa: E402
from minicaffe.runs.progress import RunProgress  # noqa: E402

IMAGES = ROOT / "docs" / "images"
COLOURS = 64
N_TESTS = 4  # that the running training has made
ITERATIONS = 400
# Runs in the folder: their flags.
RUNS = {
    "lenet-1": ["--keep_best=accuracy"],
    "lenet-2": ["--set", "base_lr=0.003"],
    "lenet-3": ["--batch_size=32", "--max_iter=20000"],
}
# File -> address, width and height of the window, colours, language.
PICTURES = {
    "board_runs": ("/", 1100, 460, "light", "en"),
    "board_curves": ("/run?run=runs/lenet-3&with=runs/lenet-1", 1100, 1000, "light", "en"),
    "board_compare": ("/compare?run=runs/lenet-1&run=runs/lenet-2", 1100, 900, "dark", "en"),
    "board_phone": ("/run?run=runs/lenet-3", 390, 844, "dark", "ko"),
}


def train(folder: Path, name: str) -> subprocess.Popen[bytes]:
    """Start a training."""
    command = [sys.executable, "-m", "minicaffe", "train", "solver.prototxt", *RUNS[name]]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (folder / "output.txt").open("ab") as output:
        return subprocess.Popen(
            [*command, f"--run=runs/{name}"],
            cwd=folder,
            env=variables,
            stdout=output,
            stderr=output,
        )


def wait_for_tests(run: Path) -> None:
    """Wait until a run has made some tests."""
    progress = RunProgress(run, {"output": "accuracy", "net": 0, "best": "max"}, "tests")
    while len(progress.scores) < N_TESTS:
        time.sleep(0.5)
        progress.update()


def take(browser: Browser, url: str, name: str) -> None:
    """Write a picture of a page, in few colours."""
    address, width, height, scheme, locale = PICTURES[name]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, locale=locale
    )
    page: Page = context.new_page()
    page.goto(url + address)
    page.wait_for_selector(
        "table.runs tbody tr" if address == "/" else ".chart:nth-child(4) canvas"
    )
    if address != "/":
        page.get_by_role("slider").fill("0.7")
        page.get_by_role("slider").blur()
    page.wait_for_timeout(3000)  # until the stream has brought some rows
    with Image.open(io.BytesIO(page.screenshot())) as image:
        few = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        few.save(IMAGES / f"{name}.png", optimize=True)
    context.close()


def main() -> None:
    """Train, open the pages, write the pictures."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        prepare_lenet(folder, ITERATIONS)
        for run in list(RUNS)[:-1]:
            train(folder, run).wait()
        running = train(folder, list(RUNS)[-1])
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        with board(folder) as (_, url):
            wait_for_tests(folder / "runs" / list(RUNS)[-1])
            for picture in PICTURES:
                take(browser, url, picture)
        running.terminate()
        running.wait()
        browser.close()


if __name__ == "__main__":
    main()
