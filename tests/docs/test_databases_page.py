"""docs/databases.md names every flag of `minicaffe db`; its first commands give its output."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
from PIL import Image

from minicaffe.cli.commands._db_flags import ACTIONS, DbFlags
from minicaffe.cli.gflags import FlagParser
from minicaffe.cli.main import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "databases.md").read_text("utf-8")


def test_every_action_and_flag_is_described():
    parser = FlagParser(add_help=False)
    DbFlags.add_to(parser)
    flags = {option for action in parser._actions for option in action.option_strings}
    assert flags <= set(re.findall(r"(?<!\w)--?\w+", PAGE))
    assert all(f"minicaffe db {action} " in PAGE for action in ACTIONS)


def test_the_commands_of_the_page(tmp_path, monkeypatch, capsys):
    for name in ("data", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    commands, output, show = re.findall(r"^```\n(.*?)^```", PAGE, re.M | re.S)
    for line in (commands + show).replace("\\\n", "").splitlines():
        assert main(shlex.split(line)[1:]) == 0
    assert capsys.readouterr().out == output
    drawn, shown = (Image.open(path) for path in ("database.png", "docs/images/database.png"))
    # Fonts differ between machines, and the heights of labels with them.
    np.testing.assert_allclose(drawn.size, shown.size, rtol=0.02)
    small = [np.asarray(image.convert("L").resize((150, 96)), float) for image in (drawn, shown)]
    assert np.corrcoef(small[0].ravel(), small[1].ravel())[0, 1] > 0.9
