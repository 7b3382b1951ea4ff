"""Local response normalisation."""

import numpy as np


def lrn(layer, bottoms, params, training):
    proto, x = layer.lrn_param, bottoms[0]
    across = proto.norm_region == proto.ACROSS_CHANNELS
    n, half = proto.local_size, proto.local_size // 2
    y = np.zeros(x.shape)
    for i, c, h, w in np.ndindex(x.shape):
        if across:
            near, k, m = x[i, max(c - half, 0) : c + half + 1, h, w], proto.k, n
        else:
            rows = slice(max(h - half, 0), h + half + 1)
            near, k, m = x[i, c, rows, max(w - half, 0) : w + half + 1], 1, n * n
        scale = k + proto.alpha / m * sum(v * v for v in near.ravel())
        y[i, c, h, w] = x[i, c, h, w] / scale**proto.beta
    return [y]


ORACLES = {"LRN": lrn}
