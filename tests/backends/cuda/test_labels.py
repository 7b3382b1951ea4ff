"""Invalid labels raise an error when a loss or an accuracy is read."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from cases.case import Case, exactly, normal, positive
from minicaffe.backends.cuda.runtime.label_errors import SLOTS, LabelErrors
from minicaffe.errors import LabelError, Unsupported
from probe import EMULATED, Probe, make_backend, net_from_text

LABELS = np.arange(24).reshape(2, 3, 4) % 5
LAYERS = [
    ("SoftmaxWithLoss", "loss_param { ignore_label: 9 }", normal(2, 5, 3, 4), LABELS),
    ("Accuracy", "accuracy_param { ignore_label: 9 }", normal(2, 5, 3, 4), LABELS),
    ("Accuracy", "accuracy_param { ignore_label: 9 }", normal(5, 301), np.arange(5)),
    ("HingeLoss", "", normal(5, 7), np.arange(5)),
    ("MultinomialLogisticLoss", "", positive(5, 7), np.arange(5)),
    ("InfogainLoss", "loss_param { ignore_label: 9 }", normal(2, 5, 3, 4), LABELS),
    ("BatchReindex", "", normal(5, 7), np.arange(5)),
    ("Embed", "embed_param { input_dim: 5 num_output: 3 }", None, LABELS),
]


@pytest.mark.parametrize("backend", sorted(EMULATED))
@pytest.mark.parametrize(("layer_type", "settings", "x", "labels"), LAYERS)
@pytest.mark.parametrize("wrong", [-1.0, 301.0, 1.5, np.nan])
def test_a_wrong_label_is_reported_with_its_sample(layer_type, settings, x, labels, wrong, backend):
    bottoms = {"x": x, "t": exactly(labels)} if x else {"t": exactly(labels)}
    if layer_type == "InfogainLoss":
        bottoms["h"] = normal(5, 5)
    probe = Probe(layer_type, Case("labels", settings, bottoms), make_backend(backend))
    inputs = probe.inputs()
    right = probe.forward(inputs)["y"]
    assert np.isfinite(right).all()
    inputs["t"] = np.array(labels, float)
    inputs["t"][-1, ...] = wrong
    with pytest.raises(LabelError, match=rf"sample {len(labels) - 1} in the batch"):
        probe.forward(inputs)
    inputs["t"] = np.array(labels, float)
    np.testing.assert_array_equal(probe.forward(inputs)["y"], right)


@pytest.fixture
def no_collection():
    """Garbage is collected only when it is asked for."""
    gc.disable()
    yield
    gc.enable()


def test_slots_of_unused_nets_are_reused(emulated_device, no_collection):
    errors = LabelErrors(emulated_device)
    held = errors.slot(None)
    for _ in range(2 * SLOTS):
        circle = [errors.slot(None)]
        circle.append(circle)
    del circle
    slots = [errors.slot(None) for _ in range(SLOTS - 1)]
    assert len({held.address, *(slot.address for slot in slots)}) == SLOTS
    with pytest.raises(Unsupported, match="more than 256 layers read labels"):
        errors.slot(None)


def test_a_wrong_row_is_called_one():
    case = Case("rows", "", {"x": normal(5, 7), "t": exactly([0, 5, 4])})
    probe = Probe("BatchReindex", case, make_backend("cuda-channels-first"))
    with pytest.raises(LabelError, match=r"row number 5 of sample 1 in the batch is not a row"):
        probe.forward()
    # The others give their gradients all the same.
    assert (probe.backward()["x"][[0, 4]] == probe.top_diffs()["y"][[0, 2]].astype("f4")).all()


def test_a_wrong_row_is_reported_with_its_layer_when_the_loss_is_read():
    net = net_from_text(
        """
        layer { name: "in" type: "Input" top: "numbers" top: "wanted"
          input_param { shape { dim: 3 dim: 2 } shape { dim: 3 dim: 2 dim: 5 } } }
        layer { name: "words" type: "Embed" bottom: "numbers" top: "y"
          embed_param { input_dim: 4 num_output: 5 weight_filler { type: "xavier" } } }
        layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "wanted" top: "loss" }
        """,
        backend=make_backend("cuda-channels-first"),
    )
    net.inputs[0].data.set([[0, 1], [2, 3], [4, 0]])
    net.clear_param_diffs()
    net.forward()
    net.backward()
    with pytest.raises(
        LabelError, match=r'"words" \(Embed\): row number 4 of sample 2 in the batch'
    ):
        net.loss()
