"""Images of other sizes."""

import math

import numpy as np


def new_sizes(proto, left, reference):
    if proto.use_blob_size:
        return reference.shape[2:]
    if proto.HasField("shrink_factor"):
        left = [(n - 1) // proto.shrink_factor + 1 for n in left]
        return [n + (n - 1) * (proto.zoom_factor - 1) for n in left]
    if proto.HasField("zoom_factor"):
        return [n + (n - 1) * (proto.zoom_factor - 1) for n in left]
    return proto.height, proto.width


def neighbours(i, n, m):
    """Yield the pixels of n that pixel i of m lies between, each with its weight."""
    at = i * (n - 1) / (m - 1) if m > 1 else 0
    low = min(math.floor(at + 1e-9), n - 1)
    yield low, 1 - (at - low)
    if low + 1 < n:
        yield low + 1, at - low


def interp(layer, bottoms, params, training):
    proto, x = layer.interp_param, bottoms[0]
    begin, end = -proto.pad_beg, -proto.pad_end
    left = x[:, :, begin : x.shape[2] - end, begin : x.shape[3] - end]
    (h, w), size = left.shape[2:], new_sizes(proto, left.shape[2:], bottoms[-1])
    y = np.zeros((*x.shape[:2], *size))
    for n, c, i, j in np.ndindex(*y.shape):
        for row, a in neighbours(i, h, size[0]):
            for column, b in neighbours(j, w, size[1]):
                y[n, c, i, j] += a * b * left[n, c, row, column]
    return [y]


def upsample(layer, bottoms, params, training):
    proto, x = layer.upsample_param, bottoms[0]
    default = 1 if len(bottoms) == 1 else 2
    scale = proto.scale if proto.HasField("scale") else default
    factors = (proto.scale_h, proto.scale_w) if proto.HasField("scale_h") else (scale, scale)
    h, w = (n * a for n, a in zip(x.shape[2:], factors, strict=True))
    if len(bottoms) == 1:
        y = np.zeros((*x.shape[:2], h, w))
        for n, c, i, j in np.ndindex(*y.shape):
            y[n, c, i, j] = x[n, c, i // factors[0], j // factors[1]]
        return [y]
    size = (h - proto.pad_out_h, w - proto.pad_out_w)
    if proto.HasField("upsample_h"):
        size = (proto.upsample_h, proto.upsample_w)
    y = np.zeros((*x.shape[:2], *size))
    for index in np.ndindex(*x.shape):
        row, column = divmod(int(bottoms[1][index]), size[1])
        y[(*index[:2], row, column)] = x[index]
    return [y]


ORACLES = {"Interp": interp, "Upsample": upsample}
