"""VGG: stacks of 3 x 3 convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from models.generator.draft import IMAGENET, XAVIER, Draft

_CHANNELS = (64, 128, 256, 512, 512)


def vgg16(net: Draft) -> None:
    """Describe configuration D of the paper."""
    _vgg(net, depths=(2, 2, 3, 3, 3))


def vgg19(net: Draft) -> None:
    """Describe configuration E of the paper."""
    _vgg(net, depths=(2, 2, 4, 4, 4))


def _vgg(net: Draft, depths: Sequence[int]) -> None:
    x = net.data(IMAGENET, 224, (64, 50), crop=True, mean_value=[103.939, 116.779, 123.68])
    for block, (depth, channels) in enumerate(zip(depths, _CHANNELS, strict=True), start=1):
        for i in range(1, depth + 1):
            x = net.conv(f"conv{block}_{i}", x, channels, 3, pad=1, weights=XAVIER)
            x = net.relu(f"relu{block}_{i}", x)
        x = net.pool(f"pool{block}", x, "MAX", 2, 2)
    for number in (6, 7):
        x = net.inner_product(f"fc{number}", x, 4096, weights=XAVIER)
        x = net.dropout(f"drop{number}", net.relu(f"relu{number}", x), 0.5)
    x = net.inner_product("fc8", x, 1000, weights=XAVIER)
    net.classify(x, top_5="accuracy_top5")
