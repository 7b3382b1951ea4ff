"""OpenCV's dnn module reads the files that minicaffe writes and computes the same values."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.cli.main import run_command
from minicaffe.net import Net
from minicaffe.net.weights import save_net
from tolerances import GOLDEN_MODEL, assert_close
from zoo import deploy_file, drawn

cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless, of the dev extra")

NAMES = [
    "alexnet",
    "cifar10_full",
    "cifar10_quick",
    "googlenet",
    "lenet",
    "mobilenet_v1",
    "nin",
    "resnet18",
    "resnet50",
    "squeezenet",
]
# Statistics are stored multiplied by this factor, as after a few batches of training.
BATCH_NORM_FACTOR = 3.0


def with_drawn_weights(name: str) -> Net:
    net = Net(deploy_file(name), "TEST", seed=1)
    for layer in net.layers:
        for index, blob in enumerate(layer.blobs):
            blob.data.set(drawn(f"{layer.name}/{index}", blob.shape))
        if layer.type == "BatchNorm":
            mean, variance, factor = layer.blobs
            variance.data.set(BATCH_NORM_FACTOR * (1 + np.abs(mean.data.get())))
            factor.data.set(np.array([BATCH_NORM_FACTOR], np.float32))
    data = net.blobs["data"]
    data.reshape((1, *data.shape[1:]))
    net.reshape()
    data.data.set(drawn("input/data", data.shape) * 50 / 0.05)
    return net


@pytest.mark.parametrize("name", NAMES)
def test_opencv_computes_the_same_from_saved_files(name, tmp_path):
    prototxt, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    net = with_drawn_weights(name)
    assert run_command("upgrade_net_proto_text", [str(deploy_file(name)), str(prototxt)]) == 0
    save_net(net, weights)
    peer = cv2.dnn.readNetFromCaffe(str(prototxt), str(weights))
    weights.unlink()  # hundreds of megabytes, which pytest would not delete

    net.forward()
    softmax = net.steps[-1]
    assert softmax.layer.type == "Softmax"
    scores, probabilities = softmax.bottom[0], softmax.top[0]
    # Scores are compared too, because saturated probabilities agree even if scores are wrong.
    scorer = next(step.layer.name for step in net.steps if scores in step.top)
    peer.setInput(net.blobs["data"].data.get())
    for blob, layer in ((scores, scorer), (probabilities, softmax.layer.name)):
        assert_close(peer.forward(layer), blob.data.get(), GOLDEN_MODEL, blob.name)
