"""Pooling."""

import itertools
import math

import numpy as np


def pair(proto, field, default):
    stem = {"kernel_size": "kernel"}.get(field, field)
    if proto.HasField(f"{stem}_h") or proto.HasField(f"{stem}_w"):
        return [getattr(proto, f"{stem}_h"), getattr(proto, f"{stem}_w")]
    return [getattr(proto, field) if proto.HasField(field) else default] * 2


def out_size(proto, size, k, s, p, padded):
    is_down = proto.round_mode == proto.FLOOR or not proto.ceil_mode
    rounded = math.floor if is_down else math.ceil
    n = rounded((size + 2 * p - k) / s) + 1
    return n - 1 if padded and (n - 1) * s >= size + p else n


def pooling(layer, bottoms, params, training):
    proto, x = layer.pooling_param, bottoms[0]
    kernel = list(x.shape[2:]) if proto.global_pooling else pair(proto, "kernel_size", 0)
    stride, pad = pair(proto, "stride", 1), pair(proto, "pad", 0)
    out = [
        out_size(proto, *numbers, padded=any(pad))
        for numbers in zip(x.shape[2:], kernel, stride, pad, strict=True)
    ]
    y, mask = np.zeros((*x.shape[:2], *out)), np.zeros((*x.shape[:2], *out))
    for n, c, i, j in itertools.product(*map(range, y.shape)):
        first = [a * s - p for a, s, p in zip((i, j), stride, pad, strict=True)]
        lasts = zip(first, kernel, x.shape[2:], pad, strict=True)
        padded = [min(f + k, size + p) for f, k, size, p in lasts]
        rows, columns = (
            range(max(f, 0), min(last, size))
            for f, last, size in zip(first, padded, x.shape[2:], strict=True)
        )
        window = {(r, q): x[n, c, r, q] for r in rows for q in columns}
        best = max(window, key=window.get)
        mask[n, c, i, j] = best[0] * x.shape[3] + best[1]
        y[n, c, i, j] = reduced(
            proto, window, math.prod(b - a for a, b in zip(first, padded, strict=True))
        )
    return [y, mask][: len(layer.top)]


def reduced(proto, window, area):
    values = list(window.values())
    if proto.pool == proto.MAX:
        return max(values)
    if proto.pool == proto.AVE:
        return sum(values) / area
    return sum(v * v for v in values) / sum(values) if any(values) else 0


ORACLES = {"Pooling": pooling}
