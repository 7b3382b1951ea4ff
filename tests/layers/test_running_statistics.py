"""Which parameters depend on the batches of a process: those of several must be averaged."""

import numpy as np
import pytest

from cases import CASES
from probe import REFERENCE, Probe, make_backend

ALL = [
    pytest.param(layer_type, case, id=f"{layer_type}-{case.name.replace(' ', '_')}")
    for layer_type, cases in sorted(CASES.items())
    for case in cases
]


def parameters_after(probe, inputs):
    probe.forward(inputs)
    return [blob.data.get() for blob in probe.layer.blobs]


def different(some, others):
    pairs = enumerate(zip(some, others, strict=True))
    return {index for index, (a, b) in pairs if not np.array_equal(a, b)}


@pytest.mark.parametrize(("layer_type", "case"), ALL)
def test_a_layer_declares_the_parameters_that_forward_changes_by_the_batch(layer_type, case):
    """Weights that forward brings to length 1 are not declared: processes do that alike."""
    probe = Probe(layer_type, case, make_backend(REFERENCE))
    inputs, before = probe.inputs(), probe.parameters()
    after = parameters_after(probe, inputs)
    declared, changed = set(probe.layer.running_statistics), different(before, after)
    if not changed:
        assert not declared
        return
    for blob, values in zip(probe.layer.blobs, before, strict=True):
        blob.data.set(values)
    after_zeros = parameters_after(probe, {name: 0 * x for name, x in inputs.items()})
    assert different(after, after_zeros) <= declared <= changed


@pytest.mark.parametrize(
    ("layer_type", "index", "indices"),
    [("BatchNorm", 0, (0, 1, 2)), ("BatchNorm", 3, ()), ("BN", 0, (2, 3)), ("Scale", 0, ())],
)
def test_the_statistics_of_normalisations_are_declared(layer_type, index, indices):
    probe = Probe(layer_type, CASES[layer_type][index], make_backend(REFERENCE))
    assert probe.layer.running_statistics == indices
