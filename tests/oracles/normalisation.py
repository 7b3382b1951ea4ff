"""Batch normalisation, and normalisation of single samples."""

import math

import numpy as np


def batch_norm(layer, bottoms, params, training):
    proto, x = layer.batch_norm_param, bottoms[0]
    if len(params) == 5:
        return scaled_batch_norm(proto, x, params, training)
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


def normalised(x, numbers, eps):
    """Return each channel minus its mean, divided by its deviation, by scale, plus shift.

    numbers(c, mean, variance) returns mean, variance, scale and shift of a channel.
    """
    y = np.zeros(x.shape)
    for c in range(x.shape[1]):
        values = x[:, c]
        mean, variance, scale, shift = numbers(c, values.mean(), values.var())
        y[:, c] = scale * (values - mean) / math.sqrt(variance + eps) + shift
    return y


def scaled_batch_norm(proto, x, params, training):
    mean, variance, weight, scale, shift = params
    # NVCaffe does not divide by the weight.
    share = 1 / weight[0] if proto.HasField("use_weight_bias") else 1

    def numbers(c, mu, var):
        found = (mu, var) if training else (mean[c] * share, variance[c] * share)
        return (*found, scale[c], shift[c])

    return [normalised(x, numbers, proto.eps)]


def bn(layer, bottoms, params, training):
    proto, x = layer.bn_param, bottoms[0]
    vectors = [p.ravel() for p in params]
    scale, shift = vectors[:2]
    if len(params) == 2:
        if proto.bn_mode == proto.INFERENCE:
            return [normalised(x, lambda c, mu, var: (0, 1, scale[c], shift[c]), 0)]
        y = normalised(x, lambda c, mu, var: (mu, var, scale[c], shift[c]), 1e-9)
        others = tuple(axis for axis in range(x.ndim) if axis != 1)
        shape = (1, x.shape[1], 1, 1)
        statistics = [f(axis=others).reshape(shape) for f in (x.mean, x.var)]
        return [y, *statistics][: len(layer.top)]
    mean, spread = vectors[2:]
    if training and not proto.frozen:
        return [normalised(x, lambda c, mu, var: (mu, var, scale[c], shift[c]), proto.eps)]
    if proto.fourth_blob == proto.INVERSE_DEVIATION:
        by = [(mean[c], spread[c] ** -2, scale[c], shift[c]) for c in range(x.shape[1])]
        return [normalised(x, lambda c, mu, var: by[c], 0)]
    by = [(mean[c], spread[c], scale[c], shift[c]) for c in range(x.shape[1])]
    return [normalised(x, lambda c, mu, var: by[c], proto.eps)]


def normalize(layer, bottoms, params, training):
    x, is_ssds = bottoms[0], layer.HasField("norm_param")
    proto = layer.norm_param
    images = x.reshape(*x.shape[:2], -1)
    y, norms = np.zeros(images.shape), np.zeros((len(x), 1, images.shape[2]))
    for n, p in np.ndindex(len(x), images.shape[2]):
        vector = images[n] if is_ssds and proto.across_spatial else images[n, :, p]
        if layer.normalize_param.normalize_type == "L1":
            norms[n, 0, p] = sum(abs(v) for v in vector.ravel()) + 1e-6
        else:
            eps = proto.eps if is_ssds else 1e-6
            norms[n, 0, p] = math.sqrt(sum(v * v for v in vector.ravel()) + eps)
        for c in range(x.shape[1]):
            factor = np.resize(params[0], x.shape[1])[c] if is_ssds else 1
            y[n, c, p] = factor * images[n, c, p] / norms[n, 0, p]
    if is_ssds:
        return [y.reshape(x.shape)]
    sizes = (*x.shape[2:], *(1,) * (4 - x.ndim))
    tops = [y.reshape(*x.shape[:2], *sizes), norms.reshape(len(x), 1, *sizes)]
    return tops[: len(layer.top)]


def l2_normalize(layer, bottoms, params, training):
    rows = [x / math.sqrt(sum(v * v for v in x.ravel())) for x in bottoms[0]]
    return [np.array(rows)]


def mvn(layer, bottoms, params, training):
    proto, x = layer.mvn_param, bottoms[0]
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape[: 1 if proto.across_channels else 2]):
        values = x[index]
        divisor = values.std() + proto.eps if proto.normalize_variance else 1
        y[index] = (values - values.mean()) / divisor
    return [y]


ORACLES = {
    "BN": bn,
    "BatchNorm": batch_norm,
    "L2Normalize": l2_normalize,
    "MVN": mvn,
    "Normalize": normalize,
}
