"""The architectures of torchvision, with its names.

References
----------
Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014 (AlexNet).
Simonyan and Zisserman, 2014 (VGG). Szegedy et al., 2014 (GoogLeNet, here with batch
normalisation). He et al., 2015 (ResNet, with the stride in the 3x3 convolution). Iandola et al.,
2016 (SqueezeNet). Huang et al., 2016 (DenseNet). Sandler et al., 2018 (MobileNetV2).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from minicaffe.torchvision_import.sketch import NetSketch

# Adds the layers of an architecture up to the scores of so many classes, and returns their blob.
Describe = Callable[[NetSketch, int], str]


def _alexnet(net: NetSketch, classes: int) -> str:
    x = "normalized"
    for index, outputs, window in (
        (0, 64, (11, 4, 2)),
        (3, 192, (5, 1, 2)),
        (6, 384, (3, 1, 1)),
        (8, 256, (3, 1, 1)),
        (10, 256, (3, 1, 1)),
    ):
        x = net.rectify(net.conv(x, f"features.{index}", outputs, window, bias=True))
        if index in (0, 3, 10):
            x = net.pool(x, f"features.{index + 2}", (3, 2, 0))
    x = net.rectify(net.linear(x, "classifier.1", 4096, pixels=36))
    x = net.rectify(net.linear(x, "classifier.4", 4096))
    return net.linear(x, "classifier.6", classes)


def _vgg(net: NetSketch, classes: int, depths: tuple[int, ...], has_norm: bool) -> str:
    x, index = "normalized", 0
    for depth, outputs in zip(depths, (64, 128, 256, 512, 512), strict=True):
        for _ in range(depth):
            x = net.conv(x, f"features.{index}", outputs, (3, 1, 1), bias=True)
            if has_norm:
                index += 1
                net.norm(x, f"features.{index}")
            net.rectify(x)
            index += 2
        x = net.pool(x, f"features.{index}", (2, 2, 0))
        index += 1
    x = net.rectify(net.linear(x, "classifier.0", 4096, pixels=49))
    x = net.rectify(net.linear(x, "classifier.3", 4096))
    return net.linear(x, "classifier.6", classes)


def _resnet(net: NetSketch, classes: int, depths: tuple[int, ...], expansion: int) -> str:
    x = net.rectify(net.norm(net.conv("normalized", "conv1", 64, (7, 2, 3)), "bn1"))
    x = net.pool(x, "maxpool", (3, 2, 1))
    for stage, depth in enumerate(depths, 1):
        for k in range(depth):
            stride = 2 if stage > 1 and k == 0 else 1
            x = _residual(net, x, f"layer{stage}.{k}", 32 << stage, stride, expansion)
    return net.linear(net.global_average(x), "fc", classes)


def _residual(net: NetSketch, x: str, name: str, width: int, stride: int, expansion: int) -> str:
    if expansion == 1:
        windows = [(width, (3, stride, 1)), (width, (3, 1, 1))]
    else:
        windows = [(width, (1, 1, 0)), (width, (3, stride, 1)), (width * expansion, (1, 1, 0))]
    y = x
    for k, (outputs, window) in enumerate(windows, 1):
        y = net.norm(net.conv(y, f"{name}.conv{k}", outputs, window), f"{name}.bn{k}")
        if k < len(windows):
            net.rectify(y)
    if stride != 1 or net.channels(x) != width * expansion:
        x = net.conv(x, f"{name}.downsample.0", width * expansion, (1, stride, 0))
        net.norm(x, f"{name}.downsample.1")
    return net.rectify(net.add([x, y], name))


def _squeezenet(net: NetSketch, classes: int, is_first: bool) -> str:
    if is_first:
        x = net.conv("normalized", "features.0", 96, (7, 2, 0), bias=True)
        fires, pools = (3, 4, 5, 7, 8, 9, 10, 12), (2, 6, 11)
    else:
        x = net.conv("normalized", "features.0", 64, (3, 2, 0), bias=True)
        fires, pools = (3, 4, 6, 7, 9, 10, 11, 12), (2, 5, 8)
    net.rectify(x)
    widths = iter((16, 16, 32, 32, 48, 48, 64, 64))
    for index in sorted((*fires, *pools)):
        name = f"features.{index}"
        if index in pools:
            x = net.pool(x, name, (3, 2, 0), ceil=True)
            continue
        width = next(widths)
        squeezed = net.rectify(net.conv(x, f"{name}.squeeze", width, bias=True))
        small = net.rectify(net.conv(squeezed, f"{name}.expand1x1", 4 * width, bias=True))
        large = net.conv(squeezed, f"{name}.expand3x3", 4 * width, (3, 1, 1), bias=True)
        x = net.concat([small, net.rectify(large)], name)
    x = net.rectify(net.conv(x, "classifier.1", classes, bias=True))
    return net.flatten(net.global_average(x), "flatten")


def _mobilenet_v2(net: NetSketch, classes: int) -> str:
    x = net.rectify6(
        net.norm(net.conv("normalized", "features.0.0", 32, (3, 2, 1)), "features.0.1")
    )
    index = 1
    for expansion, outputs, n, first_stride in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for k in range(n):
            stride = first_stride if k == 0 else 1
            x = _inverted_residual(net, x, f"features.{index}", outputs, stride, expansion)
            index += 1
    x = net.rectify6(net.norm(net.conv(x, "features.18.0", 1280), "features.18.1"))
    return net.linear(net.global_average(x), "classifier.1", classes)


def _inverted_residual(
    net: NetSketch, x: str, name: str, outputs: int, stride: int, expansion: int
) -> str:
    wide, k, y = net.channels(x) * expansion, 0, x
    if expansion != 1:
        y = net.conv(y, f"{name}.conv.0.0", wide)
        net.rectify6(net.norm(y, f"{name}.conv.0.1"))
        k = 1
    y = net.conv(y, f"{name}.conv.{k}.0", wide, (3, stride, 1), group=wide)
    net.rectify6(net.norm(y, f"{name}.conv.{k}.1"))
    y = net.conv(y, f"{name}.conv.{k + 1}", outputs)
    net.norm(y, f"{name}.conv.{k + 2}")
    return net.add([x, y], name) if stride == 1 and net.channels(x) == outputs else y


def _densenet121(net: NetSketch, classes: int) -> str:
    x = net.conv("normalized", "features.conv0", 64, (7, 2, 3))
    x = net.pool(net.rectify(net.norm(x, "features.norm0")), "features.pool0", (3, 2, 1))
    for block, depth in enumerate((6, 12, 24, 16), 1):
        for k in range(1, depth + 1):
            name = f"features.denseblock{block}.denselayer{k}"
            y = net.rectify(net.norm(x, f"{name}.norm1", in_place=False))
            y = net.rectify(net.norm(net.conv(y, f"{name}.conv1", 128), f"{name}.norm2"))
            y = net.conv(y, f"{name}.conv2", 32, (3, 1, 1))
            x = net.concat([x, y], name)
        if block < 4:
            name = f"features.transition{block}"
            x = net.rectify(net.norm(x, f"{name}.norm"))
            x = net.conv(x, f"{name}.conv", net.channels(x) // 2)
            x = net.pool(x, f"{name}.pool", (2, 2, 0), average=True)
    x = net.rectify(net.norm(x, "features.norm5"))
    return net.linear(net.global_average(x), "classifier", classes)


def _googlenet(net: NetSketch, classes: int) -> str:
    net.eps = 1e-3

    def unit(x: str, name: str, outputs: int, window: tuple[int, int, int] = (1, 1, 0)) -> str:
        return net.rectify(net.norm(net.conv(x, f"{name}.conv", outputs, window), f"{name}.bn"))

    x = net.pool(unit("normalized", "conv1", 64, (7, 2, 3)), "maxpool1", (3, 2, 0), ceil=True)
    x = unit(unit(x, "conv2", 64), "conv3", 192, (3, 1, 1))
    x = net.pool(x, "maxpool2", (3, 2, 0), ceil=True)
    for name, widths in _INCEPTION.items():
        branches = [
            unit(x, f"{name}.branch1", widths[0]),
            unit(
                unit(x, f"{name}.branch2.0", widths[1]), f"{name}.branch2.1", widths[2], (3, 1, 1)
            ),
            unit(
                unit(x, f"{name}.branch3.0", widths[3]), f"{name}.branch3.1", widths[4], (3, 1, 1)
            ),
            unit(net.pool(x, f"{name}.branch4.0", (3, 1, 1)), f"{name}.branch4.1", widths[5]),
        ]
        x = net.concat(branches, name)
        if name in ("inception3b", "inception4e"):
            kernel = 3 if name == "inception3b" else 2
            x = net.pool(x, f"maxpool{name[-2]}", (kernel, 2, 0), ceil=True)
    return net.linear(net.global_average(x), "fc", classes)


_INCEPTION = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}
_VGG = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}

ARCHITECTURES: dict[str, Describe] = {
    "alexnet": _alexnet,
    **{f"vgg{n}": partial(_vgg, depths=depths, has_norm=False) for n, depths in _VGG.items()},
    **{f"vgg{n}_bn": partial(_vgg, depths=depths, has_norm=True) for n, depths in _VGG.items()},
    "googlenet": _googlenet,
    "resnet18": partial(_resnet, depths=(2, 2, 2, 2), expansion=1),
    "resnet34": partial(_resnet, depths=(3, 4, 6, 3), expansion=1),
    "resnet50": partial(_resnet, depths=(3, 4, 6, 3), expansion=4),
    "resnet101": partial(_resnet, depths=(3, 4, 23, 3), expansion=4),
    "resnet152": partial(_resnet, depths=(3, 8, 36, 3), expansion=4),
    "squeezenet1_0": partial(_squeezenet, is_first=True),
    "squeezenet1_1": partial(_squeezenet, is_first=False),
    "mobilenet_v2": _mobilenet_v2,
    "densenet121": _densenet121,
}
