"""Texts of the board in all its languages."""

import json
import re
from pathlib import Path

import pytest

import minicaffe.web.board

STATIC = Path(minicaffe.web.board.__file__).parent / "static"
SCRIPTS = [path for path in STATIC.rglob("*.js") if path.parent.name != "uplot"]
# Texts are the first argument of t; titles of tabs are in a table.
_TEXT = re.compile(r'(?<![\w.])t\(\s*("(?:[^"\\]|\\.)*")')
_TAB = re.compile(r'^  \w+: \[("[^"]+"), show\w+\],$', re.MULTILINE)
_PLACE = re.compile(r"\{\w+\}")


def texts():
    """Return all texts of the scripts."""
    found = set()
    for path in SCRIPTS:
        script = path.read_text(encoding="utf-8")
        found.update(json.loads(text) for text in (*_TEXT.findall(script), *_TAB.findall(script)))
    return found


def translations(language):
    return json.loads((STATIC / f"{language}.json").read_text(encoding="utf-8"))


def test_texts_are_found():
    assert {"Runs", "Curves", "{time} left"} <= texts()


@pytest.mark.parametrize("language", ["ko"])
def test_translations_are_complete(language):
    known = set(translations(language))
    assert texts() - known == set()
    assert known - texts() == set()


@pytest.mark.parametrize("language", ["ko"])
def test_translations_have_the_same_places(language):
    for text, translation in translations(language).items():
        assert sorted(_PLACE.findall(text)) == sorted(_PLACE.findall(translation)), text
        assert translation.strip(), text


def test_texts_are_constants():
    """A text that is put together at run time has no translation."""
    for path in SCRIPTS:
        calls = re.findall(r"(?<![\w.])t\(\s*([^\"\s][^,)]*)", path.read_text(encoding="utf-8"))
        assert set(calls) <= {"text", "title"}, path


@pytest.mark.parametrize("path", [STATIC / "index.html", *SCRIPTS], ids=lambda path: path.name)
def test_no_script_or_style_is_inline(path):
    """The content security policy would refuse it."""
    text = path.read_text(encoding="utf-8")
    assert "innerHTML" not in text
    assert not re.search(
        r"""<style|\sstyle=|setAttribute\("style|https?://(?!www\.w3\.org)""", text
    )


def test_pages_have_the_addresses_of_the_server():
    script = (STATIC / "main.js").read_text(encoding="utf-8")
    pages = set(re.findall(r'"(/\w*)": show', script))
    site = (STATIC.parent / "site.py").read_text(encoding="utf-8")
    served = set(json.loads(f"[{re.search(r'_PAGES = [(](.*)[)]', site)[1]}]"))
    assert pages <= served
