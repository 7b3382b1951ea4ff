"""Batch normalisation, and normalisation of single samples."""

import math

import numpy as np


def batch_norm(layer, bottoms, params, training):
    proto, x = layer.batch_norm_param, bottoms[0]
    stored = proto.use_global_stats if proto.HasField("use_global_stats") else not training
    channels = x if x.ndim > 1 else x[:, None]
    y = np.zeros(channels.shape)
    for c in range(channels.shape[1]):
        values = channels[:, c]
        mean, variance = values.mean(), values.var()
        if stored:
            weight = params[2][0]
            mean, variance = (p[c] / weight if weight else 0 for p in params[:2])
        y[:, c] = (values - mean) / math.sqrt(variance + proto.eps)
    return [y.reshape(x.shape)]


def mvn(layer, bottoms, params, training):
    proto, x = layer.mvn_param, bottoms[0]
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape[: 1 if proto.across_channels else 2]):
        values = x[index]
        divisor = values.std() + proto.eps if proto.normalize_variance else 1
        y[index] = (values - values.mean()) / divisor
    return [y]


ORACLES = {"BatchNorm": batch_norm, "MVN": mvn}
