"""Optical flow."""

import math

import numpy as np


def flow_warp(layer, bottoms, params, training):
    x, flow = bottoms
    height, width = x.shape[2:]
    y = np.zeros_like(x)
    for n, c, i, j in np.ndindex(*x.shape):
        column, row = j + flow[n, 0, i, j], i + flow[n, 1, i, j]
        if not (0 <= column < width and 0 <= row < height):
            continue
        for r, v in ((math.floor(row), 1 - row % 1), (math.floor(row) + 1, row % 1)):
            for q, h in (
                (math.floor(column), 1 - column % 1),
                (math.floor(column) + 1, column % 1),
            ):
                y[n, c, i, j] += v * h * x[n, c, min(r, height - 1), min(q, width - 1)]
    return [y]


def channel_norm(layer, bottoms, params, training):
    x = bottoms[0]
    y = np.zeros((len(x), 1, *x.shape[2:]))
    for n, _, *at in np.ndindex(*y.shape):
        y[(n, 0, *at)] = math.sqrt(sum(x[(n, c, *at)] ** 2 for c in range(x.shape[1])))
    return [y]


def accum(layer, bottoms, params, training):
    x, proto = bottoms[0], layer.accum_param
    size = bottoms[1].shape[2:] if proto.have_reference else (proto.top_height, proto.top_width)
    y = np.zeros((*x.shape[:2], *size))
    for n, c, *at in np.ndindex(*y.shape):
        places = [
            i * (old - 1) / max(new - 1, 1)
            for i, old, new in zip(at, x.shape[2:], size, strict=True)
        ]
        for corner in np.ndindex(2, 2):
            weight, source = 1.0, []
            for place, step, old in zip(places, corner, x.shape[2:], strict=True):
                weight *= place % 1 if step else 1 - place % 1
                source.append(min(math.floor(place) + step, old - 1))
            y[(n, c, *at)] += weight * x[(n, c, *source)]
    return [y]


def mean(layer, bottoms, params, training):
    x, proto = bottoms[0], layer.mean_param
    sign = -1 if proto.operation == proto.SUBTRACT else 1
    y = np.empty_like(x)
    for c, value in enumerate(proto.value):
        inner = proto.input_scale * x[:, c] + sign * proto.mean_scale * value
        y[:, c] = proto.output_scale * inner
    return [y]


def l1_loss(layer, bottoms, params, training):
    a, proto = bottoms[0], layer.l1_loss_param
    b = bottoms[1].reshape(a.shape) if len(bottoms) > 1 else np.zeros_like(a)
    is_flownets = layer.HasField("l1_loss_param")
    total, entries = 0.0, 0
    for n, *at in np.ndindex(len(a), *a.shape[2:]):
        apart = [a[(n, c, *at)] - b[(n, c, *at)] for c in range(a.shape[1])]
        if is_flownets:
            entries += sum(not math.isnan(d) for d in apart)
            apart = [0 if math.isnan(d) else d for d in apart]
        if is_flownets and proto.l2_per_location:
            square = sum(d * d for d in apart)
            square /= len(apart) if proto.l2_prescale_by_channels else 1
            square = square if square > proto.plateau**2 else 0
            total += math.sqrt(square + proto.epsilon)
        else:
            total += sum(abs(d) for d in apart if abs(d) > proto.plateau)
    by_entries = is_flownets and proto.normalize_by_num_entries
    return [np.array(total / (entries / a.shape[1] if by_entries else len(a)))]


ORACLES = {
    "Accum": accum,
    "FlowWarp": flow_warp,
    "ChannelNorm": channel_norm,
    "Mean": mean,
    "L1Loss": l1_loss,
}
