"""What backward passes read: no value beside those that the layer declares.

A later in-place layer may overwrite all the others; see `minicaffe.net.overwritten_values`.
"""

from __future__ import annotations

import numpy as np
import pytest

from cases import CASES
from minicaffe.layers import LAYERS
from probe import Probe
from tolerances import BY_DTYPE, assert_close

ALL = [
    pytest.param(layer_type, case, in_place, id=f"{layer_type}-{case.name}-{in_place}")
    for layer_type, cases in sorted(CASES.items())
    for case in cases
    for in_place in (False, True)
    if not (
        in_place and not (LAYERS[layer_type].in_place if case.in_place is None else case.in_place)
    )
    and not (in_place and not (case.bottoms and case.tops))
]


@pytest.mark.parametrize(("layer_type", "case", "in_place"), ALL)
def test_backward_reads_what_the_layer_declares(layer_type, case, in_place, backend):
    want = gradients(Probe(layer_type, case, backend, in_place=in_place), overwrites=False)
    got = gradients(Probe(layer_type, case, backend, in_place=in_place), overwrites=True)
    assert got.keys() == want.keys()
    for name, values in want.items():
        assert_close(got[name], values, BY_DTYPE[backend.dtype.name], name)


def gradients(probe, overwrites):
    """Run forward, overwrite what backward must not read, and run backward."""
    probe.forward()
    if overwrites:
        overwrite(probe)
    probe.clear_param_diffs()
    for blob in probe.bottoms.values():
        blob.diff.set(0)
    for name, values in probe.top_diffs().items():
        probe.tops[name].diff.set(values)
    down = [name in probe.gradients for name in probe.bottoms]
    probe.layer.backward(probe.step.top, down, probe.step.bottom)
    return {name: probe.bottoms[name].diff.get() for name in probe.gradients} | probe.param_diffs()


def overwrite(probe):
    layer, step = probe.layer, probe.step
    values = [blob.data.get() for blob in step.top]
    if not layer.reads_bottoms:
        for blob in step.bottom:
            if blob not in step.top:
                blob.data.set(np.nan)
    for blob, before in zip(step.top, values, strict=True):
        if layer.reads_tops == "nothing" and (blob in step.bottom or is_own(blob, step)):
            blob.data.set(np.nan)
        elif layer.reads_tops == "signs":
            blob.data.set(np.where(before > 0, 1e-3, -1e3))


def is_own(blob, step):
    """Return whether the top's memory is not a bottom's, which the layer may read."""
    return all(blob.data_owner is not bottom.data_owner for bottom in step.bottom)
