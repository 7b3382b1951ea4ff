"""GoogLeNet: nine inception modules, two auxiliary classifiers in training."""

from __future__ import annotations

from models.generator.draft import IMAGENET, XAVIER, Draft

_BIAS = 0.2

# Maps of 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection: table 1 of the paper.
_MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
_POOL_AFTER = {"3b": "pool3/3x3_s2", "4e": "pool4/3x3_s2"}
_AUXILIARY_AFTER = {"4a": 1, "4d": 2}


def googlenet(net: Draft) -> None:
    """Describe the net of the ILSVRC 2014 submission."""
    x = _stem(net)
    for module in _MODULES:
        x = _inception(net, module, x)
        if module in _POOL_AFTER:
            x = net.pool(_POOL_AFTER[module], x, "MAX", 3, 2)
        if module in _AUXILIARY_AFTER and not net.deploy:
            _auxiliary(net, f"loss{_AUXILIARY_AFTER[module]}", x)
    x = net.dropout("pool5/drop_7x7_s1", net.pool("pool5/7x7_s1", x, "AVE", 7), 0.4)
    x = net.inner_product("loss3/classifier", x, 1000, weights=XAVIER)
    if net.deploy:
        net.layer("Softmax", "prob", x)
    else:
        _losses(net, "loss3", x, weight=1)


def _stem(net: Draft) -> str:
    x = net.data(IMAGENET, 224, (32, 50), crop=True, mean_value=[104, 117, 123])
    x = net.conv("conv1/7x7_s2", x, 64, 7, stride=2, pad=3, weights=XAVIER, bias=_BIAS)
    x = net.pool("pool1/3x3_s2", net.relu("conv1/relu_7x7", x), "MAX", 3, 2)
    x = net.lrn("pool1/norm1", x, 5, 1e-4)
    x = _conv(net, "conv2", "3x3_reduce", x, 64, 1)
    x = _conv(net, "conv2", "3x3", x, 192, 3)
    x = net.lrn("conv2/norm2", x, 5, 1e-4)
    return net.pool("pool2/3x3_s2", x, "MAX", 3, 2)


def _conv(net: Draft, block: str, name: str, x: str, channels: int, kernel: int) -> str:
    """Add a convolution of unchanged spatial size, and its ReLU."""
    x = net.conv(
        f"{block}/{name}", x, channels, kernel, pad=kernel // 2, weights=XAVIER, bias=_BIAS
    )
    return net.relu(f"{block}/relu_{name}", x)


def _inception(net: Draft, module: str, x: str) -> str:
    block = f"inception_{module}"
    n_1x1, n_3x3_reduce, n_3x3, n_5x5_reduce, n_5x5, n_pool = _MODULES[module]
    one = _conv(net, block, "1x1", x, n_1x1, 1)
    three = _conv(net, block, "3x3_reduce", x, n_3x3_reduce, 1)
    three = _conv(net, block, "3x3", three, n_3x3, 3)
    five = _conv(net, block, "5x5_reduce", x, n_5x5_reduce, 1)
    five = _conv(net, block, "5x5", five, n_5x5, 5)
    pooled = net.pool(f"{block}/pool", x, "MAX", 3, 1, pad=1)
    pooled = _conv(net, block, "pool_proj", pooled, n_pool, 1)
    return net.layer("Concat", f"{block}/output", [one, three, five, pooled])


def _auxiliary(net: Draft, block: str, x: str) -> None:
    """Add an auxiliary classifier, which adds gradients to an inner layer."""
    x = net.pool(f"{block}/ave_pool", x, "AVE", 5, 3)
    x = _conv(net, block, "conv", x, 128, 1)
    x = net.inner_product(f"{block}/fc", x, 1024, weights=XAVIER, bias=_BIAS)
    x = net.dropout(f"{block}/drop_fc", net.relu(f"{block}/relu_fc", x), 0.7)
    x = net.inner_product(f"{block}/classifier", x, 1000, weights=XAVIER)
    _losses(net, block, x, weight=0.3)


def _losses(net: Draft, block: str, x: str, weight: float) -> None:
    net.loss(f"{block}/loss", x, top=f"{block}/{block}", weight=weight)
    net.accuracy(f"{block}/top-1", x)
    net.accuracy(f"{block}/top-5", x, top_k=5)
