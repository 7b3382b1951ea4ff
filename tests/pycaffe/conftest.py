import pytest

import caffe

NET = """
name: "small"
layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 5 dim: 3 dim: 7 dim: 9 } shape { dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" }
    bias_filler { type: "constant" value: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 2.5 }
    bias_filler { type: "constant" value: -3 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""

DEPLOY = """
name: "deploy"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 6 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "ip" top: "ip" }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" loss_weight: 1 }
force_backward: true
"""


@pytest.fixture
def write(tmp_path):
    """Write a text to a new file and return its path as str."""
    number = iter(range(100))

    def writer(text, name=None):
        path = tmp_path / (name or f"net{next(number)}.prototxt")
        path.write_text(text)
        return str(path)

    return writer


@pytest.fixture
def net_path(write):
    """Path of a small net for training."""
    return write(NET)


@pytest.fixture
def deploy_path(write):
    """Path of a small net for classification."""
    return write(DEPLOY)


@pytest.fixture
def net(net_path):
    caffe.set_random_seed(3)
    net = caffe.Net(net_path, caffe.TRAIN)
    net.blobs["data"].data[...] = 0.5
    net.blobs["label"].data[...] = [0, 1, 2, 3, 1]
    return net


@pytest.fixture
def deploy(deploy_path):
    return caffe.Net(deploy_path, caffe.TEST)
