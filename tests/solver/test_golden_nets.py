"""Nets of one to eleven layers as BVLC Caffe 1.0 computed them (CPU, float32, git 9b89154).

A kernel that is right alone may be wrong after another one: it meets another memory layout, it
reads a blob that a later in-place layer has overwritten, or it was fused into the layer before.
tests/golden/nets/README.md describes the cases.
"""

from pathlib import Path

import numpy as np
import pytest

from probe import BACKEND_NAMES, backend_or_skip, net_from_text
from tolerances import GOLDEN, assert_close

FILES = sorted((Path(__file__).parents[1] / "golden" / "nets").glob("*.npz"))
N_CASES = 386


def test_all_cases_are_there():
    assert len(FILES) == N_CASES


@pytest.fixture(params=BACKEND_NAMES)
def backend(request):
    return backend_or_skip(request.param)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_net(path, backend, make_solver):
    with np.load(path) as file:
        case = dict(file)
    if case["steps"]:
        settings = f'snapshot_prefix: "s" {case["solver"]}'
        check_training(case, make_solver(str(case["prototxt"]), settings, backend))
    else:
        net = net_from_text(str(case["prototxt"]), str(case["phase"]), backend=backend)
        check_passes(case, net)


def check_training(case, solver):
    """Compare the losses of a few iterations and the parameters after them."""
    net, losses = solver.net, []
    parameters = set_parameters(case, net)
    for step in range(int(case["steps"])):
        for name, values in part(case, "in."):
            net.blobs[name].data.set(values[step])
        solver.step(1)
        losses.append(float(net.blobs["loss"].data.get()))
    assert_close(losses, case["loss"], GOLDEN, "loss")
    for name, values in part(case, "final."):
        assert_close(parameters[name].data.get(), values, GOLDEN, f"parameter {name}")


def check_passes(case, net):
    """Compare one forward and one backward pass, after a reshape where the case has one."""
    parameters = set_parameters(case, net)
    before = list(part(case, "before."))
    if before:
        set_data(net, before)
        net.forward()
        net.backward()
        for name, values in part(case, "in."):
            net.blobs[name].reshape(values.shape)
        net.reshape()
        set_parameters(case, net)
    set_data(net, part(case, "in."))
    net.forward()
    for name, values in part(case, "out."):
        assert_close(net.blobs[name].data.get(), values, GOLDEN, f"blob {name}")
    for name, values in part(case, "param_after."):
        assert_close(parameters[name].data.get(), values, GOLDEN, f"parameter {name} after")
    net.clear_param_diffs()
    for name, values in part(case, "top_diff."):
        net.blobs[name].diff.set(values)
    net.backward()
    for name, values in part(case, "bottom_diff."):
        assert_close(net.blobs[name].diff.get(), values, GOLDEN, f"gradient of {name}")
    for name, values in part(case, "param_diff."):
        assert_close(parameters[name].diff.get(), values, GOLDEN, f"gradient of {name}")


def set_parameters(case, net):
    """Set the parameters of the case; return those of the net by "layer.index"."""
    found = {f"{layer.name}.{i}": b for layer in net.layers for i, b in enumerate(layer.blobs)}
    given = dict(part(case, "param."))
    assert found.keys() == given.keys()
    for name, values in given.items():
        found[name].data.set(values)
    return found


def set_data(net, values_by_name):
    for name, values in values_by_name:
        net.blobs[name].data.set(values)


def part(case, prefix):
    """Yield the arrays under a prefix with the rest of their key."""
    return ((key[len(prefix) :], case[key]) for key in case if key.startswith(prefix))
