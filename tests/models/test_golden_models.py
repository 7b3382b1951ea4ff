"""Whole deploy nets against what BVLC Caffe 1.0 computed (CPU, float32, git 9b89154).

tests/golden/models holds, for every blob of a net, its shape, mean, standard deviation and first
eight values, and the outputs whole. Weights and images are drawn from seeds made of their names.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minicaffe.net import Net
from probe import GPU_NAMES, make_backend
from tolerances import GOLDEN_MODEL, assert_close
from zoo import deploy_file, drawn

FILES = sorted((Path(__file__).parents[1] / "golden" / "models").glob("*.npz"))


def test_all_cases_are_there():
    names = ["alexnet", "caffenet", "cifar10_full", "cifar10_quick", "googlenet", "lenet"]
    assert [path.stem for path in FILES] == names


@pytest.mark.parametrize("backend", ["auto", *GPU_NAMES])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden(path, backend):
    with np.load(path) as file:
        case = dict(file)
    net = Net(deploy_file(path.stem), "TEST", backend=make_backend(backend), seed=1)
    net.blobs["data"].reshape(tuple(map(int, case["shape.data"])))
    net.reshape()
    for layer in net.layers:
        for index, blob in enumerate(layer.blobs):
            blob.data.set(drawn(f"{layer.name}/{index}", blob.shape))
    images = drawn("input/data", net.blobs["data"].shape) * 50 / 0.05
    net.blobs["data"].data.set(images)
    net.forward()
    for name in map(str, case["blobs"]):
        values = net.blobs[name].data.get()
        assert values.shape == tuple(case[f"shape.{name}"])
        found = np.array([values.mean(), values.std(), *values.ravel()[:8]])
        head = case[f"head.{name}"]
        expected = np.array([case[f"mean.{name}"], case[f"std.{name}"], *head])
        assert_close(found, expected, GOLDEN_MODEL, name)
    for name in (key.removeprefix("out.") for key in case if key.startswith("out.")):
        assert_close(net.blobs[name].data.get(), case[f"out.{name}"], GOLDEN_MODEL, name)
