"""The commands of the tutorial run, and both languages have the same commands."""

import re
import runpy
import subprocess
import sys
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
    assert "accuracy" in Path(tmp_path, "lab/lenet.log").read_text()
    for image in ("first", "runs", "net", "retrieval", "filters", "activations", "rates"):
        assert Path(tmp_path, f"lab/{image}.png").stat().st_size > 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_korean_page_has_the_same_blocks(page):
    def console(path):
        return re.findall(r"^```console\n.*?^```", path.read_text(), re.DOTALL | re.MULTILINE)

    assert console(page)
    assert console(TUTORIAL / "ko" / page.name) == console(page)


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
