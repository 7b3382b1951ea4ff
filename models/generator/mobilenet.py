"""MobileNet: depthwise convolutions, each followed by a 1 x 1 convolution."""

from __future__ import annotations

from typing import Any

from models.generator.draft import IMAGENET, MSRA, Draft

# Maps after each pair of convolutions, and the stride of its first.
_PAIRS = {
    "2_1": (64, 1),
    "2_2": (128, 2),
    "3_1": (128, 1),
    "3_2": (256, 2),
    "4_1": (256, 1),
    "4_2": (512, 2),
    "5_1": (512, 1),
    "5_2": (512, 1),
    "5_3": (512, 1),
    "5_4": (512, 1),
    "5_5": (512, 1),
    "5_6": (1024, 2),
    "6": (1024, 1),
}


def mobilenet_v1(net: Draft) -> None:
    """Describe MobileNet v1, width 1, 224 x 224."""
    mean = [103.94, 116.78, 123.68]
    x = net.data(IMAGENET, 224, (32, 25), crop=True, scale=0.017, mean_value=mean)
    channels = 32
    x = _conv(net, "conv1", "relu1", x, channels, 3, stride=2, pad=1)
    for pair, (more, stride) in _PAIRS.items():
        each = {"stride": stride, "pad": 1, "group": channels}
        x = _conv(net, f"conv{pair}/dw", f"relu{pair}/dw", x, channels, 3, **each)
        x = _conv(net, f"conv{pair}/sep", f"relu{pair}/sep", x, more, 1)
        channels = more
    x = net.pool_all("pool6", x)
    net.classify(net.conv("fc7", x, 1000, 1, weights=MSRA), top_5="accuracy_top5")


def _conv(
    net: Draft, name: str, relu: str, x: str, channels: int, kernel: int, **geometry: Any
) -> str:
    x = net.conv(name, x, channels, kernel, weights=MSRA, bias=None, **geometry)
    x = net.batch_norm(f"{name}/bn", f"{name}/scale", x, top=f"{name}/bn")
    return net.relu(relu, x)
