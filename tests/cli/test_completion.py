"""Completion of command lines: what the shell's function gets, and the functions themselves."""

import os
import shutil
import subprocess
import sys

import pytest

from minicaffe.cli.main import main
from minicaffe.cli.overview import COMMANDS

PROGRAM = [sys.executable, "-m", "minicaffe"]


def completions(line, folder):
    """What the program answers when Tab is pressed at the end of a line."""
    request = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(folder / "answer"),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    subprocess.run(PROGRAM, env=os.environ | request, cwd=folder, check=True)
    return [word.strip() for word in (folder / "answer").read_text().split("\n")]


def test_commands(tmp_path):
    assert set(completions("minicaffe ", tmp_path)) == set(COMMANDS)
    assert completions("minicaffe conv", tmp_path) == [
        *("convert_imageset", "convert_annoset", "convert_mnist_data"),
        *("convert_mnist_siamese_data", "convert_cifar_data", "convert_weights"),
    ]


def test_flags_values_and_files(tmp_path):
    (tmp_path / "lenet.prototxt").touch()
    assert completions("minicaffe train --sn", tmp_path) == ["--snapshot"]
    found = completions("minicaffe test --", tmp_path)
    assert {"--model", "--weights", "--iterations", "--minloglevel"} <= set(found)
    assert "--logtostderr" not in found
    assert completions("minicaffe train --sigint_effect ", tmp_path) == ["stop", "snapshot", "none"]
    assert completions("minicaffe test --model le", tmp_path) == ["lenet.prototxt"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_function_of_each_shell(shell, capsys):
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert "minicaffe" in text
    program = shutil.which(shell)
    if program is not None:
        subprocess.run([program, "-n"], input=text, text=True, check=True)


def test_another_shell_is_refused(capsys):
    assert main(["completion", "ksh"]) == 2
    assert "Known: bash, fish, zsh" in capsys.readouterr().err
