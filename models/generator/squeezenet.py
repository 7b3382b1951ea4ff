"""SqueezeNet 1.1: fire modules, no inner product."""

from __future__ import annotations

from models.generator.draft import IMAGENET, XAVIER, Draft, gaussian

# Maps of the squeeze convolution and of each of the two expand convolutions.
_FIRES = {
    2: (16, 64),
    3: (16, 64),
    4: (32, 128),
    5: (32, 128),
    6: (48, 192),
    7: (48, 192),
    8: (64, 256),
    9: (64, 256),
}


def squeezenet(net: Draft) -> None:
    """Describe version 1.1: less than half the arithmetic of 1.0, same accuracy."""
    x = net.data(IMAGENET, 227, (32, 25), crop=True, mean_value=[104, 117, 123])
    x = net.conv("conv1", x, 64, 3, stride=2, weights=XAVIER)
    x = net.pool("pool1", net.relu("relu_conv1", x), "MAX", 3, 2)
    for number in _FIRES:
        x = _fire(net, number, x)
        if number in (3, 5):
            x = net.pool(f"pool{number}", x, "MAX", 3, 2)
    x = net.dropout("drop9", x, 0.5)
    x = net.relu("relu_conv10", net.conv("conv10", x, 1000, 1, weights=gaussian(0.01)))
    net.classify(net.pool_all("pool10", x), top_5="accuracy_top5")


def _fire(net: Draft, number: int, x: str) -> str:
    squeeze, expand = _FIRES[number]
    block = f"fire{number}"
    x = net.conv(f"{block}/squeeze1x1", x, squeeze, 1, weights=XAVIER)
    x = net.relu(f"{block}/relu_squeeze1x1", x)
    one = net.conv(f"{block}/expand1x1", x, expand, 1, weights=XAVIER)
    one = net.relu(f"{block}/relu_expand1x1", one)
    three = net.conv(f"{block}/expand3x3", x, expand, 3, pad=1, weights=XAVIER)
    three = net.relu(f"{block}/relu_expand3x3", three)
    return net.layer("Concat", f"{block}/concat", [one, three])
