"""Labels that are no class are told when a loss or an accuracy is read."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from cases.case import Case, exactly, normal
from minicaffe.backends.cuda.faults import PLACES, Faults
from minicaffe.errors import LabelError, Unsupported
from probe import EMULATED, Probe, make_backend

LABELS = np.arange(24).reshape(2, 3, 4) % 5
LAYERS = [
    ("SoftmaxWithLoss", "loss_param { ignore_label: 9 }", normal(2, 5, 3, 4), LABELS),
    ("Accuracy", "accuracy_param { ignore_label: 9 }", normal(2, 5, 3, 4), LABELS),
    ("Accuracy", "accuracy_param { ignore_label: 9 }", normal(5, 301), np.arange(5)),
    ("HingeLoss", "", normal(5, 7), np.arange(5)),
]


@pytest.mark.parametrize("backend", sorted(EMULATED))
@pytest.mark.parametrize(("layer_type", "settings", "x", "labels"), LAYERS)
@pytest.mark.parametrize("wrong", [-1.0, 301.0, 1.5, np.nan])
def test_a_wrong_label_is_told_with_its_sample(layer_type, settings, x, labels, wrong, backend):
    bottoms = {"x": x, "t": exactly(labels)}
    probe = Probe(layer_type, Case("labels", settings, bottoms), make_backend(backend))
    inputs = probe.inputs()
    right = probe.forward(inputs)["y"]
    assert np.isfinite(right)
    inputs["t"] = np.array(labels, float)
    inputs["t"][-1, ...] = wrong
    with pytest.raises(LabelError, match=rf"sample {len(labels) - 1} in the batch"):
        probe.forward(inputs)
    inputs["t"] = np.array(labels, float)
    assert probe.forward(inputs)["y"] == right


@pytest.fixture
def no_collection():
    """Garbage is collected only when it is asked for."""
    gc.disable()
    yield
    gc.enable()


def test_places_of_nets_that_are_gone_are_found(emulated_device, no_collection):
    faults = Faults(emulated_device)
    kept = faults.place(None)
    for _ in range(2 * PLACES):
        circle = [faults.place(None)]
        circle.append(circle)
    del circle
    places = [faults.place(None) for _ in range(PLACES - 1)]
    assert len({kept.address, *(place.address for place in places)}) == PLACES
    with pytest.raises(Unsupported, match="more than 256 layers read labels"):
        faults.place(None)
