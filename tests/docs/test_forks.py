"""The tables of docs/forks.md are what docs/generate_forks.py writes."""

import importlib.util
from pathlib import Path

import pytest

from minicaffe.schema.fork_names import FORKS, types_of

GENERATOR = Path(__file__).parents[2] / "docs" / "generate_forks.py"


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("generate_forks", GENERATOR)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_up_to_date(generator):
    text = generator.PAGE.read_text(encoding="utf-8")
    assert generator.page(text) == text, "run: python docs/generate_forks.py"


def test_a_stale_table_is_replaced(generator):
    stale = "a\n<!-- layers -->\nold\n<!-- end -->\nb\n"
    fresh = generator.page(stale)
    assert fresh.startswith("a\n<!-- layers -->\n| fork |")
    assert fresh.endswith(" |\n<!-- end -->\nb\n")


def test_forks_and_their_types():
    assert "PriorBox" in types_of("SSD")
    assert "FcRistretto" in types_of("Ristretto")
    assert [fork for fork in FORKS if not types_of(fork)] == []
