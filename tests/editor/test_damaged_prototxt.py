"""Prototxt as it is while someone types: cut off, with missing and surplus characters."""

import random
from pathlib import Path

import pytest

from minicaffe.editor.completion import complete_at
from minicaffe.editor.diagnostics import diagnose
from minicaffe.editor.documentation import explain_at
from minicaffe.editor.navigation import definitions_at, symbols_of
from minicaffe.editor.outline import PrototxtOutline

MODELS = Path(__file__).parents[2] / "models"
FILES = (
    "lenet/lenet_train_test.prototxt",
    "lenet/lenet_solver.prototxt",
    "siamese/deploy.prototxt",
)
INSERTED = ('"', "{", "}", ":", "layer {", "[", "]", "#", "\\", "type: ", "-", "<", "\r\n", "그😀")


def damaged(text, rng):
    """Return a text with a random change, and the place of it."""
    at = rng.randrange(len(text))
    inserted = rng.choice(("", *INSERTED))
    removed = rng.choice((0, rng.randrange(30), len(text)))
    return text[:at] + inserted + text[at + removed :], at + len(inserted)


@pytest.mark.parametrize("name", FILES)
def test_every_answer_is_inside_of_the_text(name):
    rng = random.Random(name)
    original = (MODELS / name).read_text()
    for _ in range(60):
        text, at = damaged(original, rng)
        outline = PrototxtOutline(text, name)
        found = complete_at(outline, at)
        assert 0 <= found.start <= at <= found.end <= len(text)
        assert "\n" not in text[found.start : found.end], "a text edit has one line"
        explained = explain_at(outline, at)
        assert explained is None or explained.start <= at <= explained.end
        assert all(0 <= start <= end <= len(text) for start, end in definitions_at(outline, at))
        for one in symbols_of(outline):
            assert 0 <= one.start <= one.name_start <= one.name_end <= one.end <= len(text)
        assert all(0 <= d.start <= d.end <= len(text) for d in diagnose(text, name))
