"""README.md and README.ko.md show every image of docs/images."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_every_image_is_shown(name):
    images = {f"docs/images/{path.name}" for path in (ROOT / "docs" / "images").iterdir()}
    shown = set(re.findall(r"docs/images/\w+\.\w+", (ROOT / name).read_text("utf-8")))
    assert images - shown <= {"docs/images/lenet.svg"}  # lenet_deploy.png is shown
