"""Every command and every script of tools/: they exist, explain themselves and give examples."""

import importlib
from pathlib import Path

import pytest

from minicaffe.cli.main import COMMANDS, run_command

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as done:
        run_command(command, ["--help"])
    assert done.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: minicaffe {command}" in text
    assert f"\n  minicaffe {command}" in text.partition("\nExample:")[2]
    assert (
        importlib.import_module(f"minicaffe.cli.commands.{command}").__doc__.splitlines()[0][-1]
        in ".:"
    )


@pytest.mark.parametrize("script", sorted(TOOLS.glob("*.py")), ids=lambda path: path.stem)
def test_scripts_are_named_after_commands_and_can_be_run(script):
    assert script.stem in COMMANDS
    assert script.stat().st_mode & 0o111
    assert "run_as_program()" in script.read_text()
