"""Im2col and spatial pyramid pooling."""

import itertools
import math

import numpy as np

from oracles.conv import per_axis, sizes


def im2col(layer, bottoms, params, training):
    proto, x = layer.convolution_param, bottoms[0]
    axis = proto.axis % x.ndim
    n = x.ndim - axis - 1
    kernel, stride = per_axis(proto, "kernel_size", n, 0), per_axis(proto, "stride", n, 1)
    pad, dilation = per_axis(proto, "pad", n, 0), per_axis(proto, "dilation", n, 1)
    image = x.shape[axis + 1 :]
    taps = list(itertools.product(*map(range, kernel)))
    channels = x.shape[axis] * len(taps)
    y = np.zeros((*x.shape[:axis], channels, *sizes(layer, image, transposed=False)))
    for index in np.ndindex(*y.shape):
        channel, k = divmod(index[axis], len(taps))
        at = [
            p * s - before + t * d
            for p, s, before, t, d in zip(
                index[axis + 1 :], stride, pad, taps[k], dilation, strict=True
            )
        ]
        if all(0 <= a < size for a, size in zip(at, image, strict=True)):
            y[index] = x[(*index[:axis], channel, *at)]
    return [y]


def edges(size, bins):
    """Return first and end of each bin along one side, and the end of the padded side."""
    window = math.ceil(size / bins)
    pad = (window * bins - size + 1) // 2
    return [(b * window - pad, (b + 1) * window - pad) for b in range(bins)], size + pad


def spp(layer, bottoms, params, training):
    x, proto = bottoms[0], layer.spp_param
    columns = []
    for bins in (2**level for level in range(proto.pyramid_height)):
        (rows, below), (lines, right) = (edges(size, bins) for size in x.shape[2:])
        for c, (top, bottom), (left, end) in itertools.product(range(x.shape[1]), rows, lines):
            area = (min(bottom, below) - top) * (min(end, right) - left)
            window = x[:, c, max(top, 0) : bottom, max(left, 0) : end].reshape(len(x), -1)
            columns.append([reduced(proto, values, area) for values in window])
    y = np.array(columns).T
    return [y.reshape(*y.shape, 1, 1) if proto.pyramid_height == 1 else y]


def reduced(proto, values, area):
    if proto.pool == proto.MAX:
        return max(values)
    if proto.pool == proto.AVE:
        return sum(values) / area
    return sum(v * v for v in values) / sum(values)


ORACLES = {"Im2col": im2col, "SPP": spp}
