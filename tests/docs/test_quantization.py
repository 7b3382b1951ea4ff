"""docs/quantization.md names every flag of the command; the Korean page has the same figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from minicaffe.cli.commands.quantize import QuantizeFlags
from minicaffe.cli.gflags import FlagParser
from minicaffe.cli.options.backend import BackendFlags
from minicaffe.cli.options.net_state import NetStateFlags

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "quantization.md", DOCS / "ko" / "quantization.md"]


def flags_of(*kinds: type) -> set[str]:
    parser = FlagParser(add_help=False)
    for kind in kinds:
        kind.add_to(parser)
    return {option for action in parser._actions for option in action.option_strings}


@pytest.mark.parametrize("page", PAGES, ids=["en", "ko"])
def test_every_flag_is_described(page):
    own = flags_of(QuantizeFlags) - flags_of(BackendFlags, NetStateFlags)
    assert len(own) > 10
    named = set(re.findall(r"--\w+", page.read_text("utf-8")))
    assert own <= named


def test_both_pages_have_the_same_figures():
    english, korean = (
        re.findall(r"(?<![\d.])0\.\d{4}|(?<!\d)\d{3},\d{3}", page.read_text("utf-8"))
        for page in PAGES
    )
    assert len(english) > 80
    assert english == korean
