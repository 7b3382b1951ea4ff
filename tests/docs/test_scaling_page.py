"""docs/scaling.md: its programs are Python, and its Korean twin names the same commands."""

import re
from pathlib import Path

import pytest

from minicaffe.cli.program.ranks import TIMEOUT

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "scaling.md").read_text("utf-8")
KOREAN = (DOCS / "ko" / "scaling.md").read_text("utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)


@pytest.mark.parametrize("number", range(2))
def test_programs_are_python(number):
    compile(PROGRAMS[number], f"program {number}", "exec")


def test_both_languages_show_the_same_commands():
    assert len(PROGRAMS) == 2
    for page in (PAGE, KOREAN):
        assert TIMEOUT in page
    found, wanted = (
        [
            line.partition(" #")[0].rstrip()
            for block in re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S)
            for line in block.splitlines()
        ]
        for page in (KOREAN, PAGE)
    )
    assert found == wanted
    assert len(wanted) > 12
