"""Every command and every script of tools/ exists and has a help text with an example."""

import importlib
from pathlib import Path
from types import UnionType
from typing import get_origin, get_type_hints

import pytest

from minicaffe.cli import commands
from minicaffe.cli.gflags import FlagParser
from minicaffe.cli.main import run_command
from minicaffe.cli.overview import COMMANDS

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


def test_every_module_is_a_command():
    folder = Path(commands.__file__).parent
    assert {path.stem for path in folder.glob("[!_]*.py")} == set(COMMANDS)
    assert len(COMMANDS) == len(set(COMMANDS))


@pytest.mark.parametrize("command", COMMANDS)
def test_defaults_have_the_types_of_the_annotations(command):
    module = importlib.import_module(f"minicaffe.cli.commands.{command}")
    kind = next(iter(get_type_hints(module.run).values()))
    parser = FlagParser()
    kind.add_to(parser)
    for name, annotation in get_type_hints(kind).items():
        (action,) = (action for action in parser._actions if action.dest == name)
        if not action.required:
            default = [] if action.nargs == "*" else action.default
            origin = get_origin(annotation)
            kinds = annotation if origin in (None, UnionType) else origin
            assert isinstance(default, kinds), name


@pytest.mark.parametrize("script", sorted(TOOLS.glob("*.py")), ids=lambda path: path.stem)
def test_scripts_are_named_after_commands_and_can_be_run(script):
    assert script.stem in COMMANDS
    assert script.stat().st_mode & 0o111
    assert "start_command()" in script.read_text()
