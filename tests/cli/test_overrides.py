"""Flags of train that replace settings of solver and net: --set, --max_iter, --seed, ..."""

import re
from pathlib import Path

import pytest

from minicaffe.runs.record import read_record
from minicaffe.schema import NetParameter, SolverParameter, read_net_weights, read_prototxt

RUN = Path("runs/solver-1")


def used(name, kind=NetParameter):
    return read_prototxt(RUN / name, kind).message


def test_a_solver_without_a_flag(project, run):
    assert run("train", "solver.prototxt").code == 0
    result = run("train", "solver.prototxt", "--solver=net.prototxt")
    assert result.code == 2
    assert 'the solver is given twice: "solver.prototxt" and --solver=net.prototxt' in result.err


def test_settings_of_the_solver(project, run):
    flags = ["--set", "base_lr=0.5", "--set=snapshot_prefix=a/", "--max_iter=3", "--seed=7"]
    result = run("train", "solver.prototxt", *flags)
    assert result.code == 0
    solver = used("solver.prototxt", SolverParameter)
    assert (solver.base_lr, solver.max_iter, solver.random_seed) == (0.5, 3, 7)
    # as if it were written in the file: a folder is completed by the solver's name
    assert Path("a/solver_iter_3.caffemodel").exists()
    assert "Iteration 0, lr = 0.5" in result.messages
    record = read_record(RUN)
    words = ["--set=base_lr=0.5", "--set=snapshot_prefix=a/", "--max_iter=3", "--seed=7"]
    assert record.overrides == words
    assert record.command == ["train", "solver.prototxt", *words]
    assert record.seed == 7


def test_settings_of_the_net(project, run):
    """They are those of the training net and of the test net, which is the same file."""
    width = "net.layer[ip].inner_product_param.num_output=7"
    test = ["--set=test_iter=1", "--set=test_interval=1"]
    assert run("train", "solver.prototxt", "--set", width, *test).code == 0
    (layer,) = [x for x in read_net_weights("s_iter_2.caffemodel") if x.blobs]
    assert layer.blobs[0].shape == (7, 42)
    for name in ("train.prototxt", "test-0.prototxt"):
        assert used(name).layer[1].inner_product_param.num_output == 7
    assert "num_output: 5" in Path("net.prototxt").read_text()


def test_settings_of_a_net_inside_the_solver(project, run):
    inline = project.solver.replace('net: "net.prototxt"', f"net_param {{ {project.net} }}")
    project.write(solver=inline)
    width = "net.layer[ip].inner_product_param.num_output=7"
    assert run("train", "solver.prototxt", f"--set={width}").code == 0
    assert used("train.prototxt").layer[1].inner_product_param.num_output == 7


def test_the_batch_size_is_that_of_the_training(project, run):
    test = ["--set=test_iter=1", "--set=test_interval=1"]
    assert run("train", "solver.prototxt", "--batch_size=3", *test).code == 0
    assert used("train.prototxt").layer[0].data_param.batch_size == 3
    assert used("test-0.prototxt").layer[0].data_param.batch_size == 4
    assert read_record(RUN).images_per_iteration == 3


def test_a_net_without_batches(project, run):
    net = (
        'layer { name: "x" type: "DummyData" top: "x" top: "y" '
        "dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 3 } } }"
        'layer { name: "l" type: "EuclideanLoss" bottom: "z" bottom: "y" }'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "z" }'
    )
    project.write(net=net)
    result = run("train", "solver.prototxt", "--batch_size=3")
    assert result.code == 2
    assert "--batch_size=3: no layer of the training net in net.prototxt has a" in result.err


MISTAKES = [
    (["--set=lr_policy=stepp"], 1, '--set lr_policy=stepp: lr_policy: "stepp" is unknown. Did you'),
    (["--max_iter=-1"], 2, "--max_iter: -1 is too small"),
    (["--set=base_lr"], 2, "--set base_lr: must be FIELD=VALUE"),
    (
        ["--set=net.layer[ipp].type=x"],
        2,
        '--set net.layer[ipp].type=x: no net of solver.prototxt has a layer "ipp". Did you mean',
    ),
    (
        ["--set=net.layer[ip].inner_product_param.num_output=0", "--max_iter=1"],
        1,
        'layer "ip" (InnerProduct): num_output is missing or 0; it must be at least 1. The '
        "settings are those of the files with --set=net.layer[ip].inner_product_param.num_output=0 "
        "--max_iter=1",
    ),
]


@pytest.mark.parametrize(("flags", "code", "message"), MISTAKES)
def test_mistakes(project, run, flags, code, message):
    result = run("train", "solver.prototxt", *flags)
    assert result.code == code
    assert message in re.sub(r"\s+", " ", result.err)
    assert not Path("runs").exists()


def test_the_command_to_resume_keeps_the_settings(project, run):
    width = "--set=net.layer[ip].inner_product_param.num_output=7"
    assert run("train", "solver.prototxt", width, "--max_iter=3").code == 0
    lines = run("runs", "solver-1").out.splitlines()
    (line,) = [line for line in lines if line.startswith("go on")]
    assert line.split("minicaffe ")[1] == (
        f"train solver.prototxt '{width}' --snapshot=s_iter_3.solverstate --max_iter=6"
    )
    words = [word.strip("'") for word in line.split("minicaffe ")[1].split()]
    assert run(*words).code == 0
    assert Path("s_iter_6.caffemodel").exists()
