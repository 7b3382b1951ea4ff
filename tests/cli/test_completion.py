"""Completion of command lines: what the shell's function gets, and the functions themselves."""

import os
import shutil
import subprocess
import sys

import pytest

from minicaffe.cli.main import main
from minicaffe.cli.overview import COMMANDS
from minicaffe.solver.lr_policy import POLICIES

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


@pytest.fixture
def runs(project, tmp_path):
    """A folder with a solver, its net, and two runs."""
    project.write(solver=f"{project.solver}test_iter: 1\ntest_interval: 1\n")
    for name, kinds in (("small-2", ("best", "last")), ("small-10", ("last",))):
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        (run / "run.json").touch()
        for kind in kinds:
            (run / f"{kind}.caffemodel").touch()
    for name in ("s_iter_2.solverstate", "s_iter_2.caffemodel", "notes.txt"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("report small", ["small-2", "small-10"]),
        ("runs small-1", ["small-10"]),
        ("test --weights runs/", ["runs/small-2/best", "runs/small-2/last", "runs/small-10/last"]),
        ("predict runs/small-10/l", ["runs/small-10/last", "runs/small-10/last.caffemodel"]),
        ("test --weights s_", ["s_iter_2.caffemodel"]),
        ("train solver.prototxt --snapshot s_", ["s_iter_2.solverstate"]),
        ("train solver.prototxt --keep_best ", ["accuracy", "loss"]),
        ("train solver.prototxt --keep_best a", ["accuracy"]),
        ("train nowhere.prototxt --keep_best ", []),
        ("train solver.prototxt --set regul", ["regularization_type="]),
        ("train --set net.force", ["net.force_backward="]),
        ("train --set net.force_backward=t", ["net.force_backward=true"]),
        ("train solver.prototxt --set net.layer[ip].inner_p", ["inner_product_param."]),
        ("train --set net.layer[ip].type=InnerP", ["type=InnerProduct"]),
        ("train --set net.no_such_field.", []),
        ("models squ", ["squeezenet"]),
        ("new pets images --net google", ["googlenet"]),
        ("get fa", ["fashion-mnist"]),
    ],
)
def test_values(runs, line, expected):
    found = completions(f"minicaffe {line}", runs)
    # Where brackets would have to be escaped, a shell gets its own spelling of the whole word.
    plain = [word.replace("\\", "") for word in found if word and not word.endswith("/")]
    assert [word.removeprefix("net.layer[ip].") for word in plain] == expected


def test_layers_of_the_net_complete_a_setting(runs):
    found = completions("minicaffe train solver.prototxt --set net.layer", runs)
    plain = [word.replace("\\", "") for word in found]
    assert plain[:2] == ["net.layer[data].", "net.layer[ip]."]
    assert "net.layer." in plain


def test_policies_complete_a_setting(runs):
    found = completions("minicaffe train solver.prototxt --set lr_policy=", runs)
    assert [word.rpartition("=")[2] for word in found] == list(POLICIES)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_asks_the_program(runs, tmp_path):
    program = tmp_path / "bin" / "minicaffe"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m minicaffe "$@"\n')
    program.chmod(0o755)
    script = """
        eval "$(minicaffe completion bash)"
        COMP_LINE="minicaffe report small-1" COMP_POINT=${#COMP_LINE} COMP_TYPE=9
        COMP_POINT=${#COMP_LINE} COMP_WORDS=(minicaffe report small-1) COMP_CWORD=2
        _python_argcomplete minicaffe small-1 report
        printf '%s\n' "${COMPREPLY[@]}"
    """
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    result = subprocess.run(
        ["bash", "-c", script],
        env=environment,
        cwd=runs,
        check=True,
        capture_output=True,
        text=True,
    )
    assert result.stdout.strip() == "small-10"


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
