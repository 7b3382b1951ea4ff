"""Batch sizes of several processes: --batch_size N, total and N:total, and what the log says."""

import re
from pathlib import Path

import pytest

from minicaffe.cli.main import main
from minicaffe.distributed.communicator import SingleProcess
from minicaffe.errors import SolverError, UsageError
from minicaffe.schema import read_solver
from minicaffe.schema.overrides import Override, Overrides
from minicaffe.solver.nets import test_net_sources as sources_of_tests
from minicaffe.solver.nets import train_net_source
from minicaffe.solver.parallel.effective_batch import log_effective_batch
from minicaffe.solver.parallel.settings import DataParallel
from minicaffe.solver.solver import Solver
from probe import make_backend

NET = """
layer { name: "data" type: "Data" top: "x" top: "y" include { phase: TRAIN }
  data_param { source: "lmdb" batch_size: 12 backend: LMDB } }
layer { name: "data" type: "Data" top: "x" top: "y" include { phase: TEST }
  data_param { source: "lmdb" batch_size: 5 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 5 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "loss" }
"""
INPUT_NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 } } }
layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "loss" }
"""


class OneOf(SingleProcess):
    """Rank 0 of a number of processes that exchange nothing."""

    def __init__(self, size):
        self.size = size


def sizes(n, text="", net=NET, **parallel):
    """Return the batch sizes of training and test net of n processes."""
    Path("net.prototxt").write_text(net)
    Path("solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" test_iter: 1 test_interval: 1'
    )
    override = Override.of(f"batch_size={text}", f"--batch_size={text}:total") if text else None
    solver = read_solver("solver.prototxt", Overrides((), override))
    source, _ = train_net_source(solver, DataParallel(OneOf(n), **parallel))
    ((tested, _),) = sources_of_tests(solver)
    return source.param.layer[0].data_param.batch_size, tested.param.layer[1].data_param.batch_size


@pytest.mark.parametrize(
    ("n", "text", "parallel", "expected"),
    [
        (4, "", {}, 12),
        (4, "", {"batch_is_total": True}, 3),
        (4, "20", {"batch_is_total": True}, 5),
        (4, "20", {}, 20),
        (1, "", {"batch_is_total": True}, 12),
        (2, "", {"batch_is_total": True, "summation_parts": 4}, 3),
    ],
)
def test_the_batch_of_the_training_net_is_divided(workdir, n, text, parallel, expected):
    assert sizes(n, text, **parallel) == (expected, 5)


@pytest.mark.parametrize(
    ("n", "text", "message"),
    [
        (
            5,
            "",
            "12 cannot be divided into 5 parts of equal size. The nearest that can is 10 or 15",
        ),
        (8, "100", "100 cannot be divided into 8 parts of equal size. .* is 96 or 104"),
        (8, "3", "3 cannot be divided into 8 parts of equal size. .* is 8: --batch_size=8:total"),
    ],
)
def test_a_batch_that_cannot_be_divided(workdir, n, text, message):
    with pytest.raises(
        UsageError, match=r'^--batch_size=.*total: net.prototxt, layer "data".*'
    ) as e:
        sizes(n, text, batch_is_total=True)
    assert re.search(message, str(e.value))


def test_a_net_without_a_batch_size(workdir):
    with pytest.raises(
        UsageError, match=r"--batch_size=total: no layer of the training net in net"
    ):
        sizes(2, net=INPUT_NET, batch_is_total=True)


@pytest.mark.parametrize(
    ("n", "parallel", "iter_size", "lines"),
    [
        (1, {}, 2, []),
        (4, {"batch_is_total": True}, 1, ["Effective batch size 12 = 4 x 3 (4 processes)"]),
        (
            2,
            {"batch_is_total": True, "summation_parts": 4},
            1,
            ["Effective batch size 12 = 4 x 3 (2 processes, summation parts: 4)"],
        ),
        (
            4,
            {},
            2,
            [
                "Effective batch size 96 = 4 x 12 x 2 (4 processes, iter_size: 2)",
                "The batch is 4 times batch_size; the learning rate is not changed. The linear "
                "scaling rule (Goyal et al., 2017) multiplies base_lr by 4, after a warmup; "
                "--batch_size total makes batch_size the size of the whole batch.",
            ],
        ),
    ],
)
def test_the_log_states_the_effective_batch(
    workdir, caplog_minicaffe, n, parallel, iter_size, lines
):
    sizes(n, **parallel)
    data_parallel = DataParallel(OneOf(n), **parallel)
    solver = Solver("solver.prototxt", make_backend("reference"))
    layer = solver.net.layers[0]
    layer.source.shapes[0] = (12 // data_parallel.n_divisions, *layer.source.shapes[0][1:])
    caplog_minicaffe.clear()
    log_effective_batch(solver.net, data_parallel, iter_size)
    solver.close()
    assert caplog_minicaffe.messages == lines


def test_iter_size_and_summation_parts(workdir):
    sizes(1)
    solver = read_solver("solver.prototxt")
    solver.param.iter_size = 2
    with pytest.raises(SolverError, match=r"iter_size: 2 and --summation_parts=4: .*parts=8$"):
        Solver(
            solver, make_backend("reference"), parallel=DataParallel(OneOf(2), summation_parts=4)
        )


def test_parts_that_processes_cannot_divide(workdir):
    with pytest.raises(UsageError, match=r"^--summation_parts=8: 3 processes cannot divide"):
        sizes(3, summation_parts=8)


def test_flags_of_one_process(workdir, capfd):
    """The total is the batch itself; what only several processes do is warned of."""
    sizes(1)
    flags = ["--batch_size=6:total", "--gradient_type=bfloat16", "--check_interval=5", "--no_run"]
    settings = ["--max_iter=1", "--set=snapshot_after_train=false", "--set=test_iter="]
    assert main(["train", "solver.prototxt", *flags, *settings]) == 0
    lines = capfd.readouterr().err
    for flag in flags[1:3]:
        assert f"{flag} has no effect: one process trains. Remove it." in lines
    assert "total has no effect" not in lines
    assert "Top shape: 6 1 3 2" in lines


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--batch_size=0", "0 is too small; it must be at least 1"),
        ("--batch_size=4:all", "'4:all' must be N, total or N:total"),
        ("--batch_size=sum", "'sum' must be N, total or N:total"),
        ("--batch_size=:total", "'' is no whole number"),
        ("--gradient_type=float8", "invalid choice: 'float8'"),
    ],
)
def test_wrong_flags(workdir, capfd, flag, message):
    sizes(1)
    assert main(["train", "solver.prototxt", flag]) == 2
    assert re.search(message, capfd.readouterr().err)
