"""Residual nets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from models.generator.draft import IMAGENET, MSRA, Draft, Fields

_MEAN = [103.939, 116.779, 123.68]


def resnet18(net: Draft) -> None:
    """Describe eight blocks of two 3 x 3 convolutions.

    The first shortcut has a projection, as in the published Caffe weights; in the paper it is the
    identity.
    """
    norm: Fields = {"moving_average_fraction": 0.9}
    x = _stem(net, norm, batches=(32, 25), bias=None)
    for stage, block, stride in _blocks((2, 2, 2, 2)):
        channels = 32 << (stage - 1)
        name = f"{stage}{block}"
        shortcut = x
        if block == "a":
            shortcut = _conv(net, f"{name}_branch1", x, channels, 1, norm, stride=stride)
        y = _conv(net, f"{name}_branch2a", x, channels, 3, norm, stride=stride, relu=True)
        y = _conv(net, f"{name}_branch2b", y, channels, 3, norm)
        x = _add(net, name, shortcut, y)
    _classes(net, x)


def resnet50(net: Draft) -> None:
    """Describe sixteen bottleneck blocks: 1 x 1, 3 x 3, 1 x 1.

    As in the authors' release conv1 has a bias and the stride sits in a block's first convolution.
    """
    # The release uses stored statistics in both phases.
    norm: Fields | None = {"use_global_stats": True} if net.deploy else None
    x = _stem(net, norm, batches=(32, 25), bias=0)
    for stage, block, stride in _blocks((3, 4, 6, 3)):
        channels = 32 << (stage - 1)
        name = f"{stage}{block}"
        shortcut = x
        if block == "a":
            shortcut = _conv(net, f"{name}_branch1", x, 4 * channels, 1, norm, stride=stride)
        y = _conv(net, f"{name}_branch2a", x, channels, 1, norm, stride=stride, relu=True)
        y = _conv(net, f"{name}_branch2b", y, channels, 3, norm, relu=True)
        y = _conv(net, f"{name}_branch2c", y, 4 * channels, 1, norm)
        x = _add(net, name, shortcut, y)
    _classes(net, x)


def _stem(net: Draft, norm: Fields | None, batches: tuple[int, int], bias: float | None) -> str:
    x = net.data(IMAGENET, 224, batches, crop=True, mean_value=_MEAN)
    x = net.conv("conv1", x, 64, 7, stride=2, pad=3, weights=MSRA, bias=bias)
    x = net.batch_norm("bn_conv1", "scale_conv1", x, param=norm)
    return net.pool("pool1", net.relu("conv1_relu", x), "MAX", 3, 2)


def _blocks(depths: tuple[int, ...]) -> Iterator[tuple[int, str, int]]:
    """Yield stage, letter and stride of every block: the first of stages 3 to 5 halves the map."""
    for stage, depth in enumerate(depths, start=2):
        for i in range(depth):
            yield stage, chr(ord("a") + i), 2 if i == 0 and stage > 2 else 1


def _conv(
    net: Draft,
    name: str,
    x: str,
    channels: int,
    kernel: int,
    norm: Fields | None,
    *,
    stride: int = 1,
    relu: bool = False,
) -> str:
    geometry: dict[str, Any] = {"stride": stride, "pad": kernel // 2}
    x = net.conv(f"res{name}", x, channels, kernel, weights=MSRA, bias=None, **geometry)
    x = net.batch_norm(f"bn{name}", f"scale{name}", x, param=norm)
    return net.relu(f"res{name}_relu", x) if relu else x


def _add(net: Draft, name: str, shortcut: str, y: str) -> str:
    x = net.layer("Eltwise", f"res{name}", [shortcut, y])
    return net.relu(f"res{name}_relu", x)


def _classes(net: Draft, x: str) -> None:
    x = net.pool("pool5", x, "AVE", 7)
    x = net.inner_product("fc1000", x, 1000, weights=MSRA)
    net.classify(x, top_5="accuracy_top5")
