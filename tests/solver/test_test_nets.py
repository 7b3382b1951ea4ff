"""Which nets are tested, in which state, when, and what is logged of them."""

import re

import numpy as np
import pytest
from small_nets import DATA_NET, FED_NET, FIXED, weights

from minicaffe.errors import SolverError

STAGED = """
layer { name: "a" type: "DummyData" top: "a" include { stage: "first" }
  dummy_data_param { shape { dim: 2 dim: 3 } data_filler { value: 1 } } }
layer { name: "a" type: "DummyData" top: "a" exclude { stage: "first" }
  dummy_data_param { shape { dim: 2 dim: 3 } data_filler { value: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "a" top: "ip"
  inner_product_param { num_output: 1 weight_filler { type: "constant" value: 1 } } }
layer { name: "sum" type: "Reduction" bottom: "ip" top: "sum" loss_weight: 0.5 }
"""


def lines(caplog, pattern="Iteration|Test"):
    return [m for m in caplog.messages if re.match(rf"\s*({pattern})", m)]


def test_two_test_nets_with_states_of_their_own(make_solver, caplog_minicaffe):
    solver = make_solver(
        STAGED,
        FIXED + "test_interval: 1 test_iter: 1 test_iter: 2 test_compute_loss: true "
        'test_state { stage: "first" } test_state { }',
    )
    solver.test_all()
    # Two rows of three ones, or of three twos; half of that is the loss.
    assert lines(caplog_minicaffe) == [
        "Iteration 0, Testing net (#0)",
        "Test loss: 3",
        "    Test net output #0: sum = 6 (* 0.5 = 3 loss)",
        "Iteration 0, Testing net (#1)",
        "Test loss: 6",
        "    Test net output #0: sum = 12 (* 0.5 = 6 loss)",
    ]


def test_layers_of_the_training_net_alone_are_logged_at_each_test(make_solver, caplog_minicaffe):
    text = STAGED + (
        'layer { name: "extra" type: "InnerProduct" bottom: "ip" top: "extra" '
        "include { phase: TRAIN } inner_product_param { num_output: 2 } }"
    )
    solver = make_solver(text, FIXED + "test_interval: 1 test_iter: 0")
    solver.test_all()
    solver.test_all()
    split = "Ignoring source layer ip_ip_0_split"
    assert (
        lines(caplog_minicaffe, "Iteration|Ignoring")
        == [
            "Iteration 0, Testing net (#0)",
            split,
            "Ignoring source layer extra",
        ]
        * 2
    )


def test_test_nets_share_the_weights(make_solver, caplog_minicaffe):
    solver = make_solver(STAGED, FIXED + "test_interval: 1 test_iter: 1")
    solver.net.parameters[0].blob.data.set(np.full((1, 3), 10, np.float32))
    solver.test_all()
    assert "    Test net output #0: sum = 120 (* 0.5 = 60 loss)" in caplog_minicaffe.messages


@pytest.mark.parametrize(
    ("settings", "tested"),
    [("test_interval: 2", ["0", "2", "4"]), ("test_interval: 2 test_initialization: false", "24")],
)
def test_when(make_solver, caplog_minicaffe, settings, tested):
    make_solver(STAGED, FIXED + f"max_iter: 4 test_iter: 1 {settings}").solve()
    found = lines(caplog_minicaffe, r"Iteration \d+, Testing")
    assert [re.search(r"\d+", line).group() for line in found] == list(tested)


def test_outputs_of_several_values_have_a_line_each(make_solver, caplog_minicaffe):
    net = STAGED.replace("loss_weight: 0.5", "reduction_param { axis: 1 }")
    make_solver(net, FIXED + "test_interval: 1 test_iter: 1").test_all()
    assert lines(caplog_minicaffe)[1:] == [
        "    Test net output #0: sum = 6",
        "    Test net output #1: sum = 6",
    ]


def test_a_test_of_no_batches_says_nothing_more(make_solver, caplog_minicaffe):
    solver = make_solver(STAGED, FIXED + "test_interval: 1 test_iter: 0 test_compute_loss: true")
    solver.test_all()
    assert lines(caplog_minicaffe) == ["Iteration 0, Testing net (#0)"]


def test_means_over_the_batches(make_solver, database, caplog_minicaffe):
    """Eleven records in batches of three: the fourth batch begins with the tenth record."""
    solver = make_solver(DATA_NET, FIXED + "test_interval: 1 test_iter: 4")
    solver.test_all()
    (net,) = solver.test_nets
    logged = float(lines(caplog_minicaffe)[2].split()[6])
    solver.close()
    losses = []
    again = make_solver(DATA_NET, FIXED + "test_interval: 1 test_iter: 4", name="again")
    (net,) = again.test_nets
    for _ in range(4):
        net.forward()
        losses.append(net.loss())
    assert logged == pytest.approx(np.mean(losses), rel=1e-5)
    assert weights(again).keys() == {"conv.0", "conv.1", "ip.0", "ip.1"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("test_iter: 1", "test_iter is given, so test_interval must be at least 1"),
        ("test_iter: -1 test_interval: 1", "test_iter: -1; it must not be negative"),
        (
            "test_iter: 1 test_interval: 1 test_state { } test_state { }",
            "test_state is given 2 times for 1 test nets",
        ),
        (
            'test_interval: 1 test_net: "solver_net.prototxt"',
            "test_iter is given 0 times for 1 test nets",
        ),
        (
            'test_interval: 1 test_iter: 1 test_net: "nowhere.prototxt"',
            'solver.prototxt:1: test_net: "nowhere.prototxt" does not exist in ',
        ),
    ],
)
def test_refusals(make_solver, settings, message):
    with pytest.raises(SolverError, match=re.escape(message)):
        make_solver(FED_NET, FIXED + settings)
