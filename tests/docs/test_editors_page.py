"""The settings in docs/editors.md have a valid form and start the command that exists."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from minicaffe.cli.overview import COMMANDS

PAGE = Path(__file__).parents[2] / "docs" / "editors.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def blocks(language):
    """Return the settings in one language."""
    return [text for name, text in BLOCKS if name == language]


def test_the_command_is_that_of_the_program():
    assert "language_server" in COMMANDS
    assert len(re.findall(r'"minicaffe",? "language_server"', PAGE.read_text("utf-8"))) == 3
    (toml,) = map(tomllib.loads, blocks("toml"))
    server = toml["language-server"]["minicaffe"]
    assert [server["command"], *server["args"]] == ["minicaffe", "language_server"]
    assert toml["language"][0]["language-servers"] == ["minicaffe"]


def test_json():
    package, language, kate = map(json.loads, blocks("json"))
    (contributed,) = package["contributes"]["languages"]
    assert contributed["extensions"] == [".prototxt"]
    assert contributed["configuration"] == "./language-configuration.json"
    assert language["comments"]["lineComment"] == "#"
    assert list(kate["servers"]) == ["prototxt"]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_javascript(tmp_path):
    (text,) = blocks("js")
    (tmp_path / "extension.js").write_text(text)
    subprocess.run(["node", "--check", tmp_path / "extension.js"], check=True)
    assert 'command: "minicaffe", args: ["language_server"]' in text
