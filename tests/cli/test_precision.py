"""--precision through the commands that compute."""

import numpy as np
import pytest

from minicaffe.backends import get_backend
from minicaffe.errors import BackendUnavailable
from minicaffe.schema import read_net_weights


@pytest.fixture(autouse=True)
def has_onednn():
    try:
        get_backend("onednn", threads=2)
    except BackendUnavailable as reason:
        pytest.skip(str(reason))


def train(project, run, precision):
    # With fewer rows an inner product computes in float32 in any precision.
    net = project.net.replace("batch_size: 4", "batch_size: 32")
    project.write(net, project.solver.replace('"s"', f'"{precision}"'))
    result = run("train", "--solver=solver.prototxt", f"--precision={precision}")
    assert result.code == 0, result.err
    return result, read_net_weights(f"{precision}_iter_2.caffemodel")


def test_train_test_and_time(project, run):
    exact, wanted = train(project, run, "fp32")
    result, weights = train(project, run, "bf16")
    lines = [m for m in result.messages if "bfloat16" in m]
    assert len(lines) == 1
    assert lines[0].startswith("Computing with the onednn backend: ")
    assert not [m for m in exact.messages if "bfloat16" in m]
    for layer, other in zip(wanted, weights, strict=True):
        for blob, rounded in zip(layer.blobs, other.blobs, strict=True):
            assert rounded.dtype == np.float32
            assert not np.array_equal(rounded, blob)
            np.testing.assert_allclose(rounded, blob, atol=0.02 * np.abs(blob).max())
    model = "--model=net.prototxt"
    for command in (
        ("test", model, "--weights=bf16_iter_2.caffemodel", "--iterations=2"),
        ("time", model, "--iterations=1"),
    ):
        result = run(*command, "--precision=bf16")
        assert result.code == 0, result.err
        assert any("bfloat16" in m for m in result.messages)
