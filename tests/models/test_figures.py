"""The figures of models/readme.md, counted."""

from __future__ import annotations

import re

import pytest

from minicaffe.net import Net
from zoo import MODELS, NAMES, deploy_file, n_multiply_adds, n_parameters, n_running_statistics

ROW = re.compile(r"\| \[(\w+)\]\(\w+\) \| ([\d,]+) \| ([\d,]+) \| ([\d x]+) \| .* \|")

# As generally stated for the published nets; the papers give millions.
PUBLISHED = {
    "alexnet": 60_965_224,  # paper: 60 million
    "caffenet": 60_965_224,
    "googlenet": 6_998_552,  # without its auxiliary classifiers
    "vgg16": 138_357_544,  # paper: 138 million
    "vgg19": 143_667_240,  # paper: 144 million
    "squeezenet": 1_235_496,  # version 1.1
    "resnet18": 11_689_512 + 64 * 64 + 2 * 64,  # the paper's net and the projection of res2a
    "resnet50": 25_557_032 + 64,  # the paper's net and the idle bias of conv1
    "mobilenet_v1": 4_231_976,  # paper: 4.2 million
}

# Of the published weights: a layer, and the shape of its first blob.
PUBLISHED_SHAPES = {
    "lenet": ("ip1", (500, 800)),
    "autoencoder": ("decode4", (250, 30)),
    "siamese": ("feat", (2, 10)),
    "cifar10_quick": ("ip1", (64, 1024)),
    "cifar10_full": ("ip1", (10, 1024)),
    "alexnet": ("conv2", (256, 48, 5, 5)),
    "caffenet": ("fc6", (4096, 9216)),
    "nin": ("cccp8-1024", (1000, 1024, 1, 1)),
    "vgg16": ("conv5_3", (512, 512, 3, 3)),
    "vgg19": ("conv5_4", (512, 512, 3, 3)),
    "crnn_lines": ("lstm_left", (256, 192)),
    "faster_rcnn_scenes": ("bbox_pred", (28, 256)),
    "googlenet": ("inception_5b/5x5_reduce", (48, 832, 1, 1)),
    "resnet18": ("res2a_branch1", (64, 64, 1, 1)),
    "resnet50": ("res5c_branch2a", (512, 2048, 1, 1)),
    "segnet_scenes": ("middle1", (128, 96, 3, 3)),
    "ssd_scenes": ("conv3_2_mbox_conf", (84, 128, 3, 3)),
    "yolo_scenes": ("conv6", (128, 192, 3, 3)),
    "squeezenet": ("fire9/expand3x3", (256, 64, 3, 3)),
    "mobilenet_v1": ("conv5_6/dw", (512, 1, 3, 3)),
}


def table() -> dict[str, tuple[int, int, str]]:
    rows = ROW.findall((MODELS / "readme.md").read_text())
    return {
        name: (int(parameters.replace(",", "")), int(adds.replace(",", "")), image)
        for name, parameters, adds, image in rows
    }


def test_the_table_has_every_model():
    assert sorted(table()) == NAMES


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items(), ids=list(PUBLISHED))
def test_published_counts(name, parameters):
    assert table()[name][0] == parameters


@pytest.mark.parametrize("name", NAMES)
def test_figures_and_shapes_are_those_of_the_deploy_net(name):
    net = Net(deploy_file(name), "TEST", seed=1)
    assert net.inputs[0].name == "data"
    image = " x ".join(map(str, net.blobs["data"].shape[1:]))
    assert table()[name] == (n_parameters(net), n_multiply_adds(net), image)
    layer, shape = PUBLISHED_SHAPES[name]
    assert net.layers[net.layer_index(layer)].blobs[0].shape == shape
    statistics = n_running_statistics(net)
    said = f"{statistics:,} running statistics" in (MODELS / name / "readme.md").read_text()
    assert said == bool(statistics)


@pytest.mark.parametrize("name", NAMES)
def test_each_readme_states_the_figures_and_where_they_are_from(name):
    text = (MODELS / name / "readme.md").read_text()
    assert f"| Parameters | {table()[name][0]:,}" in text
    for heading in ("| Input |", "| Multiply-adds |", "| Published weights |", "| Result |"):
        assert heading in text
    assert re.search(r"\b(19|20)\d\d\b", text)
    assert "minicaffe train --solver=models/" in text
