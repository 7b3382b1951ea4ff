"""Published nets and weights, in OpenCV 4 and, exported, in onnxruntime.

The environment variable MINICAFFE_ZOO names a folder; docs/zoo.md says where weights are to be had.
Tested is each .caffemodel in it with a prototxt of the same name, or the only prototxt, beside it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from minicaffe.errors import NetError
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers
from minicaffe.onnx_export import ExportSettings, export_net
from minicaffe.onnx_export.check import differences
from minicaffe.onnx_runtime import TOLERANCE, relative_difference
from minicaffe.schema import read_net

cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless, of the dev extra")


def published() -> list[tuple[Path, Path]]:
    """Return prototxt and weights of each net in the folder."""
    pairs = []
    folder = os.environ.get("MINICAFFE_ZOO", "")
    for weights in sorted(Path(folder).rglob("*.caffemodel")) if folder else ():
        beside = sorted(weights.parent.glob("*.prototxt"))
        named = [path for path in beside if path.stem == weights.stem]
        if named or len(beside) == 1:
            pairs.append(((named or beside)[0], weights))
    return pairs


PUBLISHED = published()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PUBLISHED, reason="MINICAFFE_ZOO names no folder with nets"),
    pytest.mark.parametrize(
        ("prototxt", "weights"), PUBLISHED or [(None, None)], ids=lambda path: path and path.name
    ),
]


def test_opencv_computes_the_same(prototxt, weights):
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("OpenCV 5 reads no files of Caffe")
    try:
        peer = cv2.dnn.readNetFromCaffe(str(prototxt), str(weights))
    except cv2.error as error:
        pytest.skip(f"OpenCV does not read it: {error}")
    net = Net(prototxt, "TEST", seed=1)
    copy_trained_layers(net, weights)
    rng = np.random.default_rng(0)
    for blob in net.inputs:
        blob.data.set(10 * rng.standard_normal(blob.shape))
        peer.setInput(blob.data.get(), blob.name)
    net.forward()
    makers = {blob: step.layer.name for step in net.steps for blob in step.top}
    for blob in net.outputs:
        found = peer.forward(makers[blob]).reshape(blob.shape)
        difference = relative_difference(found, blob.data.get())
        print(f"{weights.name}: {blob.name} of OpenCV differs by {difference:.1e}")
        assert difference <= TOLERANCE


@pytest.mark.parametrize("batch", [1, 0], ids=["1", "dynamic"])
def test_onnxruntime_computes_the_same(prototxt, weights, batch, tmp_path):
    def fill(net: Net) -> None:
        copy_trained_layers(net, weights)

    path = tmp_path / "net.onnx"
    try:
        net, graph = export_net(read_net(prototxt), fill, path, ExportSettings(batch=batch))
    except NetError as error:
        pytest.skip(str(error))
    found = differences(path, net, graph, fill)
    print(f"{weights.name}: outputs of onnxruntime differ by {max(found.values()):.1e}")
    assert max(found.values()) <= TOLERANCE
