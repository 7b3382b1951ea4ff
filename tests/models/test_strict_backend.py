"""The committed nets on the oneDNN backend where it refuses what only the reference has."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends import get_backend
from minicaffe.errors import BackendUnavailable
from minicaffe.net import Net
from zoo import NAMES, training_net

# Nets with the same layers as another one, and hundreds of megabytes of parameters.
TWINS = ("caffenet", "vgg19")
# oneDNN has no unpooling, flip or CTC; boxes are computed on the host.
OF_FORKS = ("crnn_lines", "faster_rcnn_scenes", "segnet_scenes", "ssd_scenes", "yolo_scenes")
SMALL = ("autoencoder", "cifar10_full", "cifar10_quick", "lenet", "siamese", "squeezenet")


@pytest.fixture
def strict():
    try:
        return get_backend("onednn", strict=True)
    except BackendUnavailable as reason:
        pytest.skip(str(reason))


def blank_net(name, phase, backend, batch):
    """Parameters of zero: random ones would take the most time."""
    source = training_net(name, batch)
    for layer in source.param.layer:
        for settings in (layer.convolution_param, layer.inner_product_param):
            settings.ClearField("weight_filler")
    return Net(source, phase, seed=1, backend=backend)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in (*TWINS, *OF_FORKS)])
def test_no_layer_falls_back(strict, name, phase):
    assert blank_net(name, phase, strict, batch=1).outputs


@pytest.mark.parametrize("name", SMALL)
def test_small_nets_run(strict, name):
    net = blank_net(name, "TRAIN", strict, batch=2)
    net.forward()
    net.backward()
    assert all(np.isfinite(blob.data.get()).all() for blob in net.outputs)
