"""Every case of every layer gives the same bits with repeated calls as without them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cases import CASES
from minicaffe.backends.onednn.replay import runner
from minicaffe.backends.onednn.runtime import core_watch
from probe import Probe

PASSES = runner.RUNS_BEFORE + 5
ALL_CASES = [
    pytest.param(layer_type, case, id=f"{layer_type}-{case.name}")
    for layer_type, cases in CASES.items()
    for case in cases
]


@pytest.fixture(autouse=True)
def _idle_cores(monkeypatch):
    monkeypatch.setattr(core_watch.CoreWatch, "is_pausing", False)
    monkeypatch.setattr(runner, "LONGEST_PASS_S", np.inf)


def drawn(probe, number):
    """Return values for the bottoms, others for each number."""
    return {
        name: values.draw(probe.rng(f"{name} {number}"), probe.bottoms[name].shape)
        for name, values in probe.case.bottoms.items()
    }


@pytest.mark.parametrize(("layer_type", "case"), ALL_CASES)
def test_passes_in_the_test_phase(backend, layer_type, case):
    probes = [Probe(layer_type, replace(case, phase="TEST"), backend) for _ in range(2)]
    plain = probes[1].net
    plain._forward_pass = plain.programs.create(plain.forward_tasks)
    for number in range(PASSES):
        inputs = drawn(probes[0], number)
        found = []
        for probe in probes:
            for name, values in inputs.items():
                probe.bottoms[name].data.set(values)
            probe.net.forward()
            found.append({name: blob.data.get() for name, blob in probe.tops.items()})
        for name, values in found[0].items():
            np.testing.assert_array_equal(values, found[1][name], err_msg=f"{number} {name}")
    ours, theirs = (probe.parameters() for probe in probes)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
    if probes[0].gradients and probes[0].step.needs_backward:
        gradients = []
        for probe in probes:
            probe.clear_param_diffs()
            gradients.append(probe.backward())
        for name, values in gradients[0].items():
            np.testing.assert_array_equal(values, gradients[1][name], err_msg=name)
