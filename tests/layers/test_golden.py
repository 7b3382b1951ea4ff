"""Every layer case of the golden data: what BVLC Caffe 1.0 computed (CPU, float32, git 9b89154), or
the fork that a file names, held against every backend.

The numbers come from pycaffe running each case's prototxt: inputs and parameters set, forward,
diffs of the tops set, backward. The nets have no path from a parameter to a loss, so that Caffe ran
no layer backward: apart from layers that share memory (Reshape), the gradients kept here are those
of an untouched diff, 0. They hold minicaffe to skipping the same layers; the gradients themselves
are held to derivatives in test_every_layer.py and to Caffe's in the solver trajectories. In the
nets of forks a Bias layer before the bottoms makes the layer run backward.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from probe import net_from_text
from tolerances import GOLDEN, assert_close

FOLDER = Path(__file__).parents[1] / "golden"
# What Caffe computed, and what its forks did: a folder for each build of a fork.
FILES = sorted(path for name in ("layers", "forks") for path in (FOLDER / name).rglob("*.npz"))
N_CASES = 302


def test_all_cases_are_there():
    assert len(FILES) == N_CASES


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_golden(path, backend):
    with np.load(path) as file:
        case = dict(file)
    text = str(case["prototxt"])
    net = net_from_text(text, str(case["phase"]), backend=backend)
    params = net.layers[net.layer_index("probe")].blobs
    assert len(params) == len(part(case, "param."))
    for index, values in part(case, "param.").items():
        params[int(index)].data.set(values)
    for name, values in part(case, "in.").items():
        net.blobs[name].data.set(values)
    net.forward()
    for name, values in part(case, "out.").items():
        assert_close(net.blobs[name].data.get(), values, GOLDEN, f"top {name}")
    for index, values in part(case, "param_after.").items():
        assert_close(params[int(index)].data.get(), values, GOLDEN, f"param {index} after")
    for name, values in part(case, "top_diff.").items():
        net.blobs[name].diff.set(values)
    net.backward()
    for name, values in part(case, "bottom_diff.").items():
        assert_close(net.blobs[name].diff.get(), values, GOLDEN, f"diff of {name}")
    for index, values in part(case, "param_diff.").items():
        assert_close(params[int(index)].diff.get(), values, GOLDEN, f"diff of param {index}")


def part(case, prefix):
    """Return the arrays under a prefix by the rest of their key."""
    return {key[len(prefix) :]: case[key] for key in case if key.startswith(prefix)}
