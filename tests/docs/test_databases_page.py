"""docs/databases.md names every flag of `minicaffe db`; its first commands give its output."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from PIL import Image, ImageChops

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
    drawn, shown = Image.open("database.png"), Image.open("docs/images/database.png")
    assert drawn.size == shown.size
    # Fonts differ between machines; most pixels are those of images.
    assert sum(ImageChops.difference(drawn, shown).convert("L").histogram()[64:]) < (
        0.05 * drawn.width * drawn.height
    )
