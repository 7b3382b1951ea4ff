"""AlexNet and CaffeNet, which differ in the order of pooling and normalisation."""

from __future__ import annotations

from models.generator.draft import IMAGENET, Draft, gaussian


def alexnet(net: Draft) -> None:
    """Describe AlexNet: normalisation, then pooling."""
    _classes(net, _features(net, pool_first=False, bias=0.1), bias=0.1)


def caffenet(net: Draft) -> None:
    """Describe CaffeNet: pooling, then normalisation, over smaller maps."""
    _classes(net, _features(net, pool_first=True, bias=1), bias=1)


def _features(net: Draft, pool_first: bool, bias: float) -> str:
    """Add five convolutions; `bias` is the initial bias of three, which prevents dead ReLUs."""
    x = net.data(IMAGENET, 227, (256, 50), crop=True, mean_file=IMAGENET.mean)
    weights = gaussian(0.01)
    x = net.relu("relu1", net.conv("conv1", x, 96, 11, stride=4, weights=weights))
    x = _shrink(net, 1, x, pool_first)
    x = net.conv("conv2", x, 256, 5, pad=2, group=2, weights=weights, bias=bias)
    x = _shrink(net, 2, net.relu("relu2", x), pool_first)
    x = net.relu("relu3", net.conv("conv3", x, 384, 3, pad=1, weights=weights))
    x = net.conv("conv4", x, 384, 3, pad=1, group=2, weights=weights, bias=bias)
    x = net.relu("relu4", x)
    x = net.conv("conv5", x, 256, 3, pad=1, group=2, weights=weights, bias=bias)
    return net.pool("pool5", net.relu("relu5", x), "MAX", 3, 2)


def _shrink(net: Draft, number: int, x: str, pool_first: bool) -> str:
    if pool_first:
        x = net.pool(f"pool{number}", x, "MAX", 3, 2)
        return net.lrn(f"norm{number}", x, 5, 1e-4)
    x = net.lrn(f"norm{number}", x, 5, 1e-4)
    return net.pool(f"pool{number}", x, "MAX", 3, 2)


def _classes(net: Draft, x: str, bias: float) -> None:
    for number in (6, 7):
        x = net.inner_product(f"fc{number}", x, 4096, weights=gaussian(0.005), bias=bias)
        x = net.dropout(f"drop{number}", net.relu(f"relu{number}", x), 0.5)
    net.classify(net.inner_product("fc8", x, 1000, weights=gaussian(0.01)))
