"""Softmax, softmax loss and accuracy."""

import itertools
import math

import numpy as np


def pixels(x, axis):
    """Yield the index of every pixel: a slice along `axis`."""
    for index in np.ndindex(*x.shape[:axis], *x.shape[axis + 1 :]):
        yield (*index[:axis], slice(None), *index[axis:])


def softmax(layer, bottoms, params, training):
    x, y = bottoms[0], np.zeros(bottoms[0].shape)
    for at in pixels(x, layer.softmax_param.axis % x.ndim):
        powers = [math.exp(score - max(x[at])) for score in x[at]]
        y[at] = [power / sum(powers) for power in powers]
    return [y]


def softmax_loss(layer, bottoms, params, training):
    (p,), proto = softmax(layer, bottoms, params, training), layer.loss_param
    axis = layer.softmax_param.axis % p.ndim
    weights = proto.class_weighting if proto.weight_by_label_freqs else proto.class_weight
    smoothing = proto.label_smoothing
    total, counted, n = 0.0, 0, 0
    for at, label in zip(pixels(p, axis), bottoms[1].ravel(), strict=True):
        n += 1
        if not (proto.HasField("ignore_label") and label == proto.ignore_label):
            counted += 1
            weight = weights[int(label)] if weights else 1
            for k, q in enumerate(p[at]):
                target = 1 - smoothing if k == label else smoothing / len(p[at])
                total -= weight * target * math.log(q)
    divisors = {proto.FULL: n, proto.VALID: max(counted, 1), proto.NONE: 1}
    divisors[proto.PRE_FIXED] = proto.pre_fixed_normalizer
    divisors[proto.BATCH_SIZE] = math.prod(p.shape[:axis])
    mode = proto.normalization
    if proto.HasField("normalize") and not proto.HasField("normalization"):
        mode = proto.VALID if proto.normalize else proto.BATCH_SIZE
    return [np.array(total / divisors[mode]), p][: max(len(layer.top), 1)]


def accuracy(layer, bottoms, params, training):
    x, proto = bottoms[0], layer.accuracy_param
    axis = proto.axis % x.ndim
    right, seen = np.zeros(x.shape[axis]), np.zeros(x.shape[axis])
    for at, label in zip(pixels(x, axis), bottoms[1].ravel(), strict=True):
        if proto.HasField("ignore_label") and label == proto.ignore_label:
            continue
        better = sum(score >= x[at][int(label)] for score in x[at]) - 1
        seen[int(label)] += 1
        right[int(label)] += better < proto.top_k
    per_class = [r / s if s else 0 for r, s in itertools.zip_longest(right, seen)]
    return [np.array(right.sum() / max(seen.sum(), 1)), np.array(per_class)][: len(layer.top)]


ORACLES = {"Softmax": softmax, "SoftmaxWithLoss": softmax_loss, "Accuracy": accuracy}
