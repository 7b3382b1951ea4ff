"""The warning of a loss that is stuck at 87.3365, because samples have probability 0."""

import pytest
from small_nets import FED_NET, FIXED

from minicaffe.solver.saturation import SaturationDetector


@pytest.mark.parametrize(
    ("shares", "at"),
    [
        ([1.0] * 5, [2]),
        ([1.0, 1.0, 0.01, 1.0, 1.0], []),
        ([0.25] * 20, [11]),
        ([0.24] * 50, []),
    ],
    ids=["all samples", "only twice", "a quarter", "less"],
)
def test_detector(shares, at):
    detector = SaturationDetector()
    assert [i for i, s in enumerate(shares) if detector.add_iteration(s)] == at


def train(make_solver, scale, loss="", n=6):
    solver = make_solver(FED_NET.replace('top: "loss" }', f'top: "loss" {loss} }}'), FIXED)
    solver.param.base_lr = 0
    x, y = solver.net.inputs
    x.data.set(scale * (1 + 0 * x.data.get()))
    w = solver.net.parameters[0].blob.data
    w.set(0 * w.get() + [[1], [-1]])
    y.data.set(1 + 0 * y.data.get())
    solver.step(n)
    solver.losses.values()


def stuck(log):
    return [m for m in log.messages if "probability 0" in m]


@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_a_saturated_net_is_reported_once(make_solver, caplog_minicaffe, backend):
    train(lambda *arguments: make_solver(*arguments, backend), scale=1e4, n=12)
    (message,) = stuck(caplog_minicaffe)
    assert message.startswith("Iteration 2: the loss is 87.3365 and stays there")
    assert "lower base_lr, scale the data, and check labels and weight_filler" in message


def test_the_weight_of_the_loss_does_not_matter(make_solver, caplog_minicaffe):
    train(make_solver, scale=1e4, loss="loss_weight: 0.1")
    assert len(stuck(caplog_minicaffe)) == 1


def test_other_losses_are_not_reported(make_solver, caplog_minicaffe):
    train(make_solver, scale=1.0, n=30)
    assert not stuck(caplog_minicaffe)
