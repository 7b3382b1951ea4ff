"""The two small nets of A. Krizhevsky's cuda-convnet for CIFAR-10."""

from __future__ import annotations

from typing import Any

from models.generator.draft import CIFAR10, Draft, Fields, gaussian

_RATES = ((1, 1), (2, 1))  # cuda-convnet applies weight decay to biases, too


def cifar10_quick(net: Draft) -> None:
    """Describe three convolutions and two inner products."""
    x = _data(net)
    x = net.pool("pool1", _conv(net, 1, x, 32, gaussian(0.0001)), "MAX", 3, 2)
    x = net.relu("relu1", x)
    x = net.relu("relu2", _conv(net, 2, x, 32, gaussian(0.01)))
    x = net.pool("pool2", x, "AVE", 3, 2)
    x = net.relu("relu3", _conv(net, 3, x, 64, gaussian(0.01)))
    x = net.pool("pool3", x, "AVE", 3, 2)
    x = net.inner_product("ip1", x, 64, weights=gaussian(0.1), rates=_RATES)
    net.classify(net.inner_product("ip2", x, 10, weights=gaussian(0.1), rates=_RATES))


def cifar10_full(net: Draft) -> None:
    """Describe three convolutions with local normalisation and one strongly decayed product."""
    x = _data(net)
    x = net.pool("pool1", _conv(net, 1, x, 32, gaussian(0.0001)), "MAX", 3, 2)
    x = _norm(net, 1, net.relu("relu1", x))
    x = net.relu("relu2", _conv(net, 2, x, 32, gaussian(0.01)))
    x = _norm(net, 2, net.pool("pool2", x, "AVE", 3, 2))
    x = net.relu("relu3", _conv(net, 3, x, 64, gaussian(0.01)))
    x = net.pool("pool3", x, "AVE", 3, 2)
    rates = ((1, 250), (2, 0))
    net.classify(net.inner_product("ip1", x, 10, weights=gaussian(0.01), rates=rates))


def _data(net: Draft) -> str:
    return net.data(CIFAR10, 32, (100, 100), crop=False, mean_file=CIFAR10.mean)


def _conv(net: Draft, number: int, x: str, channels: int, weights: Fields) -> str:
    wide: dict[str, Any] = {"pad": 2, "weights": weights, "rates": _RATES}
    return net.conv(f"conv{number}", x, channels, 5, **wide)


def _norm(net: Draft, number: int, x: str) -> str:
    return net.lrn(f"norm{number}", x, 3, 5e-5, norm_region="WITHIN_CHANNEL")
