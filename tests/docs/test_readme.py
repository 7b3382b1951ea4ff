"""What README.md and README.ko.md link to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGET = re.compile(r'\]\(([^)#]+)[^)]*\)|src="([^"]+)"')


def targets(name: str) -> set[str]:
    found = {link or image for link, image in TARGET.findall((ROOT / name).read_text("utf-8"))}
    return {target for target in found if "://" not in target}


@pytest.mark.parametrize("name", ["README.md", "README.ko.md", "docs/pictures.md"])
def test_links_lead_somewhere(name):
    found = targets(name)
    assert len(found) > 5
    missing = {target for target in found if not (ROOT / name).parent.joinpath(target).exists()}
    assert not missing


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_every_picture_is_shown(name):
    pictures = {f"docs/images/{path.name}" for path in (ROOT / "docs" / "images").iterdir()}
    assert pictures - targets(name) <= {"docs/images/lenet.svg"}  # lenet_deploy.png is shown
