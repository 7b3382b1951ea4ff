"""Pooling."""

import itertools
import math

import numpy as np


def pair(proto, field, default):
    stem = {"kernel_size": "kernel"}.get(field, field)
    if proto.HasField(f"{stem}_h") or proto.HasField(f"{stem}_w"):
        return [getattr(proto, f"{stem}_h"), getattr(proto, f"{stem}_w")]
    return [getattr(proto, field) if proto.HasField(field) else default] * 2


def out_size(size, k, s, p, padded, floor):
    rounded = math.floor if floor else math.ceil
    n = rounded((size + 2 * p - k) / s) + 1
    return n - 1 if padded and (n - 1) * s >= size + p else n


def pooling(layer, bottoms, params, training):
    proto, x = layer.pooling_param, bottoms[0]
    fields = (("kernel_size", 0), ("stride", 1), ("pad", 0))
    kernel, stride, pad = (pair(proto, *field) for field in fields)
    if x.ndim != 4:
        kernel, stride, pad = (numbers[:1] * (x.ndim - 2) for numbers in (kernel, stride, pad))
    kernel = list(x.shape[2:]) if proto.global_pooling else kernel
    return pool(proto, x, (kernel, stride, pad))[: len(layer.top)]


def pooling3d(layer, bottoms, params, training):
    proto = layer.pooling3d_param
    kernel = [proto.kernel_depth, proto.kernel_size, proto.kernel_size]
    stride = [proto.temporal_stride, proto.stride, proto.stride]
    return pool(proto, bottoms[0], (kernel, stride, [0, proto.pad, proto.pad]))[:1]


def pool(proto, x, window):
    """Return the pooled values and the index of each maximum in its image."""
    kernel, stride, pad = window
    image = x.shape[2:]
    floor = getattr(proto, "round_mode", 0) == 1 or not getattr(proto, "ceil_mode", True)
    out = [
        out_size(*numbers, padded=any(pad), floor=floor)
        for numbers in zip(image, kernel, stride, pad, strict=True)
    ]
    y, mask = np.zeros((*x.shape[:2], *out)), np.zeros((*x.shape[:2], *out))
    for n, c, *at in itertools.product(*map(range, y.shape)):
        first = [a * s - p for a, s, p in zip(at, stride, pad, strict=True)]
        lasts = zip(first, kernel, image, pad, strict=True)
        padded = [min(f + k, size + p) for f, k, size, p in lasts]
        pixels = itertools.product(
            *(
                range(max(f, 0), min(last, size))
                for f, last, size in zip(first, padded, image, strict=True)
            )
        )
        window = {pixel: x[(n, c, *pixel)] for pixel in pixels}
        best = max(window, key=window.get)
        mask[(n, c, *at)] = np.ravel_multi_index(best, image)
        y[(n, c, *at)] = reduced(
            proto, window, math.prod(b - a for a, b in zip(first, padded, strict=True))
        )
    return [y, mask]


def reduced(proto, window, area):
    values = list(window.values())
    if proto.pool == proto.MAX:
        return max(values)
    if proto.pool == proto.AVE:
        return sum(values) / area
    return sum(v * v for v in values) / sum(values) if any(values) else 0


ORACLES = {"Pooling": pooling, "Pooling3D": pooling3d}
