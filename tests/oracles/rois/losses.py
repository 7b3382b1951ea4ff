"""Smooth L1 losses and online hard example mining."""

import math

import numpy as np

from oracles.losses import divided
from oracles.softmax import pixels


def smooth(d, sigma=1.0):
    return 0.5 * (sigma * d) ** 2 if abs(d) < 1 / sigma**2 else abs(d) - 0.5 / sigma**2


def smooth_l1(layer, bottoms, params, training):
    a, b = bottoms[:2]
    inside, outside = bottoms[2:] or (np.ones(a.size), np.ones(a.size))
    total = 0.0
    for p, q, w, v in zip(a.ravel(), b.ravel(), inside.ravel(), outside.ravel(), strict=True):
        total += v * smooth(w * (p - q), layer.smooth_l1_loss_param.sigma)
    return [np.array(total / len(a))]


def region_divisor(layer, n, counted, images):
    proto = layer.loss_param
    if proto.normalization == proto.PRE_FIXED:
        return proto.pre_fixed_normalizer
    return 1 / divided(proto, proto.normalization, 1.0, n, counted, images)


def smooth_l1_ohem(layer, bottoms, params, training):
    a, b = bottoms[:2]
    weights = bottoms[2] if len(bottoms) > 2 else np.ones_like(a)
    losses = np.zeros((len(a), 1, *a.shape[2:]))
    for at in np.ndindex(a.shape):
        losses[(at[0], 0, *at[2:])] += smooth(weights[at] * (a[at] - b[at]))
    divisor = region_divisor(layer, losses.size, losses.size, len(a))
    return [np.array(losses.sum() / divisor), losses][: len(layer.top)]


def softmax_ohem(layer, bottoms, params, training):
    (x, labels), proto = bottoms, layer.loss_param
    p, losses, counted = np.zeros(x.shape), [], 0
    for at, label in zip(pixels(x, layer.softmax_param.axis), labels.ravel(), strict=True):
        powers = [math.exp(score) for score in x[at]]
        p[at] = [power / sum(powers) for power in powers]
        counts = not (proto.HasField("ignore_label") and label == proto.ignore_label)
        losses.append(-math.log(p[at][int(label)]) if counts else 0.0)
        counted += counts
    divisor = region_divisor(layer, len(losses), counted, len(x))
    shape = np.take(x, [0], layer.softmax_param.axis).shape
    tops = [np.array(sum(losses) / divisor), p, np.reshape(losses, shape)]
    return tops[: len(layer.top)]


def box_annotator(layer, bottoms, params, training):
    rois, losses, labels, weights = (np.moveaxis(b, 1, -1) for b in bottoms)
    proto, images = layer.box_annotator_ohem_param, set(rois[..., 0].ravel())
    top_labels, top_weights = np.full(labels.shape, proto.ignore_label, float), 0 * weights
    for image in images:
        places = [at for at in np.ndindex(rois.shape[:-1]) if rois[at][0] == image]
        for at in sorted(places, key=lambda at: -losses[at][0])[: proto.roi_per_img]:
            top_labels[at], top_weights[at] = labels[at], weights[at]
    return [np.moveaxis(top_labels, -1, 1), np.moveaxis(top_weights, -1, 1)]


ORACLES = {
    "SmoothL1Loss": smooth_l1,
    "SmoothL1LossOHEM": smooth_l1_ohem,
    "SoftmaxWithLossOHEM": softmax_ohem,
    "BoxAnnotatorOHEM": box_annotator,
}
