"""Layers on sequences: long ones, many samples, messages."""

from __future__ import annotations

import numpy as np
import pytest

from cases.case import Case, exactly, labels, normal
from minicaffe.errors import LabelError, NetError
from probe import REFERENCE, Probe, make_backend, net_from_text

CTC = {"x": normal(5, 2, 4), "t": labels(2, 3, below=4)}


def test_the_gradient_is_that_of_the_sum_of_costs(backend):
    """So it is, for each sample, what the sample alone has."""
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((7, 3, 4)), np.array([[1, 2, 2], [0, 3, 0], [1, 1, 1]])
    together = run(backend, x, t)
    for n in range(3):
        alone = run(backend, x[:, n : n + 1], t[n : n + 1])
        np.testing.assert_allclose(together[1][:, n : n + 1], alone[1], rtol=1e-4, atol=1e-6)
    alone = [run(backend, x[:, n : n + 1], t[n : n + 1])[0] for n in range(3)]
    np.testing.assert_allclose(together[0], np.mean(alone), rtol=1e-5)


def run(backend, x, t, settings=""):
    case = Case("run", settings, {"x": exactly(x), "t": exactly(t)}, tops=("loss",))
    probe = Probe("CtcLoss", case, backend)
    loss = probe.forward()["loss"]
    probe.tops["loss"].diff.set(1)
    probe.layer.backward(probe.step.top, [True, False], probe.step.bottom)
    return loss, probe.bottoms["x"].diff.get()


def test_a_long_sequence_of_unlikely_labels_stays_finite(backend):
    steps = 600
    x = np.zeros((steps, 1, 3))
    x[..., 0] = 80
    loss, gradient = run(backend, x, np.tile([1.0, 2.0], 150)[None])
    # In all paths 300 steps or more are not blanks and cost 80 each; there are less than e^600.
    assert 300 * 80 - 600 < loss < 300 * 80
    np.testing.assert_allclose(gradient.sum(2), 0, atol=1e-5)


def test_continuation_indicator_keeps_its_values():
    net = net_from_text(
        'layer { name: "c" type: "ContinuationIndicator" top: "c"'
        " continuation_indicator_param { time_step: 3 batch_size: 2 } }"
    )
    for _ in range(2):
        net.forward()
        np.testing.assert_array_equal(net.blobs["c"].data.get(), [[0, 0], [1, 1], [1, 1]])


@pytest.mark.parametrize(
    ("layer_type", "settings", "bottoms", "message"),
    [
        ("CtcLoss", "", {**CTC, "x": normal(5, 2, 4, 1)}, r"must be \(T, N, C\) with at least one"),
        (
            "CtcLoss",
            "ctc_loss_param { blank_label: 4 }",
            CTC,
            r"blank_label: 4 is not one of the 4",
        ),
        ("CtcLoss", "ctc_loss_param { time_step: 6 }", CTC, r"time_step: 6 must be 5, the size of"),
        ("CtcLoss", "ctc_loss_param { alphabet_size: 5 }", CTC, r"alphabet_size: 5 must be 4"),
        ("CtcLoss", "", {**CTC, "t": labels(5, 2, below=4)}, r"a row of labels for each of the 2"),
        ("WarpCTCLoss", "ctc_loss_param { blank_index: -1 }", CTC, r"blank_index: -1 is not one"),
        ("CTCGreedyDecoder", "", {"x": normal(5, 2)}, r"must be \(T, N, C\)"),
        (
            "LabelsequenceAccuracy",
            "",
            {"x": normal(2, 0, 4), "t": CTC["t"]},
            r"at least one step T",
        ),
        (
            "ReverseTime",
            "",
            {"x": normal(5, 2, 3), "n": normal(5)},
            r"one length a sample; they are",
        ),
        ("ContinuationIndicator", "", {}, r"time_step is missing or 0"),
    ],
)
def test_errors_when_the_net_is_built(layer_type, settings, bottoms, message, backend):
    with pytest.raises(NetError, match=r'net\.prototxt:\d+, layer "probe" \(\w+\): .*' + message):
        Probe(layer_type, Case("refused", settings, bottoms), backend)


def test_wrong_labels_and_lengths():
    for layer_type, bottoms in (
        ("CtcLoss", {**CTC, "t": exactly([[1, 2, 4], [0, 0, 0]])}),
        ("LabelsequenceAccuracy", {"x": normal(2, 5, 4), "t": exactly([[1, 2], [0.5, 0]])}),
        ("ReverseTime", {"x": normal(5, 2, 3), "n": exactly([2, 6])}),
    ):
        probe = Probe(layer_type, Case("wrong", "", bottoms), make_backend(REFERENCE))
        with pytest.raises(LabelError):
            probe.layer.forward(probe.step.bottom, fill(probe))


def fill(probe):
    for name, values in probe.inputs().items():
        probe.bottoms[name].data.set(values)
    return probe.step.top
