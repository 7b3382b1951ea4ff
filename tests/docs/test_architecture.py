"""docs/architecture.md names existing paths, and its glossary stays short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/architecture.md"
PATHS = sorted(
    {
        name
        for name in re.findall(r"`([\w./-]+)`", PAGE.read_text("utf-8"))
        if "/" in name or name.endswith((".py", ".md", ".toml"))
    }
)


def test_the_page_names_paths():
    assert len(PATHS) > 30
    assert "ops/pool.py" in PATHS


@pytest.mark.parametrize("name", PATHS)
def test_path_exists(name):
    assert (ROOT / name).exists() or (ROOT / "minicaffe" / name).exists()


def test_glossary_has_at_most_25_terms():
    glossary = PAGE.read_text("utf-8").partition("## Glossary")[2]
    rows = re.findall(r"^\| (?!term |---)(.*?) \|", glossary, re.MULTILINE)
    assert 10 <= len(rows) <= 25
    assert len(set(rows)) == len(rows)


def test_all_packages_and_modules_are_in_the_tables():
    tables = re.findall(r"^\| (`.*?) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    named = set(re.findall(r"`minicaffe/([\w.]+)/?`", " ".join(tables)))
    found = {
        path.name
        for path in (ROOT / "minicaffe").iterdir()
        if path.suffix == ".py" or (path.is_dir() and (path / "__init__.py").exists())
    }
    assert found - {"__init__.py"} == named
