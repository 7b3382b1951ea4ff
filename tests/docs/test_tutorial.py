"""The commands of the tutorial run, and both languages have the same commands."""

import re
import runpy
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs/tutorial"
PAGES = sorted(TUTORIAL.glob("0*.md"))


@pytest.mark.slow
def test_every_command_runs(tmp_path):
    process = subprocess.run(
        [sys.executable, TUTORIAL / "run.py", tmp_path, "--small"],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    drawn = {path.name for path in tmp_path.rglob("*.png")}
    assert {path.name for path in (TUTORIAL / "pictures").glob("*.png")} <= drawn


def test_every_picture_is_shown():
    shown = [re.findall(r"\(pictures/([^)]+)\)", page.read_text()) for page in PAGES]
    assert {name for names in shown for name in names} == {
        path.name for path in (TUTORIAL / "pictures").glob("*.png")
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_korean_page_has_the_same_blocks(page):
    def console(path):
        return re.findall(r"^```console\n.*?^```", path.read_text(), re.DOTALL | re.MULTILINE)

    assert console(page)
    assert console(TUTORIAL / "ko" / page.name) == console(page)


PRINTED = ["Training LeNet", "      500  0.4183  0.8385*", "", "boot 0.9963, bag 0.0016"]


@pytest.mark.parametrize(
    ("command", "shown", "is_printed"),
    [
        ("minicaffe train x", ["...", " 250 1.3 0.5*", "...", "coat 0.5, boot 0.4"], True),
        ("minicaffe train x", ["boot 0.5, bag 0.1", "Training LeNet"], False),
        ("minicaffe train x", ["Training AlexNet"], False),
        ("minicaffe db info x", ["500 0.4183 0.8385*"], True),
        ("minicaffe db info x", ["500 0.4183 0.8386*"], False),
    ],
)
def test_lines_of_a_page_are_compared_with_the_output(command, shown, is_printed):
    check = runpy.run_path(str(TUTORIAL / "run.py"))["check"]
    with nullcontext() if is_printed else pytest.raises(RuntimeError, match="printed no line"):
        check(command, shown, PRINTED)


def test_numbers_of_iterations_shrink_and_others_stay():
    fewer = runpy.run_path(str(TUTORIAL / "run.py"))["fewer_iterations"]
    assert fewer("max_iter: 1000 a_iter_500.caffemodel 0000.png 0.00390625 28 100") == (
        "max_iter: 8 a_iter_4.caffemodel 0000.png 0.00390625 28 100"
    )


def test_korean_readme_has_the_same_code():
    def code(path):
        blocks = re.findall(r"^```\n.*?^```", path.read_text(), re.DOTALL | re.MULTILINE)
        return [re.sub(r" +# .*", "", block) for block in blocks]

    assert code(ROOT / "README.ko.md") == code(ROOT / "README.md")
