"""Loss functions except softmax loss."""

import math

import numpy as np

from oracles.softmax import pixels


def pairs_of(bottoms):
    """Return, for each sample, the differences of all its values."""
    a, b = (x.reshape(len(x), -1) for x in bottoms[:2])
    return [[p - q for p, q in zip(u, v, strict=True)] for u, v in zip(a, b, strict=True)]


def euclidean(layer, bottoms, params, training):
    total = sum(d * d for apart in pairs_of(bottoms) for d in apart)
    return [np.array(total / len(bottoms[0]) / 2)]


def hinge(layer, bottoms, params, training):
    proto, total = layer.hinge_loss_param, 0.0
    for scores, label in zip(bottoms[0], bottoms[1].ravel(), strict=True):
        for k, score in enumerate(scores.ravel()):
            margin = max(0, 1 - score if k == label else 1 + score)
            total += margin * margin if proto.norm == proto.L2 else margin
    return [np.array(total / len(bottoms[0]))]


def contrastive(layer, bottoms, params, training):
    proto, total = layer.contrastive_loss_param, 0.0
    for apart, similar in zip(pairs_of(bottoms), bottoms[2].ravel(), strict=True):
        square = sum(d * d for d in apart)
        if similar:
            total += square
        elif proto.legacy_version:
            total += max(proto.margin - square, 0)
        else:
            total += max(proto.margin - math.sqrt(square), 0) ** 2
    return [np.array(total / len(bottoms[0]) / 2)]


def multinomial_logistic(layer, bottoms, params, training):
    labels = bottoms[1].ravel()
    true = [p.ravel()[int(label)] for p, label in zip(bottoms[0], labels, strict=True)]
    return [np.array(-sum(math.log(max(p, 1e-20)) for p in true) / len(labels))]


def divided(proto, mode, total, n, counted, samples):
    divisors = {proto.FULL: n, proto.VALID: counted, proto.BATCH_SIZE: samples, proto.NONE: 1}
    return np.array(total / max(divisors[mode], 1))


def infogain(layer, bottoms, params, training):
    (x, labels, h), proto = bottoms, layer.loss_param
    axis = layer.infogain_loss_param.axis % x.ndim
    h, p = h.reshape(x.shape[axis], x.shape[axis]), np.zeros(x.shape)
    total, counted = 0.0, 0
    for at, label in zip(pixels(x, axis), labels.ravel(), strict=True):
        powers = [math.exp(score) for score in x[at]]
        p[at] = [power / sum(powers) for power in powers]
        if not (proto.HasField("ignore_label") and label == proto.ignore_label):
            counted += 1
            total -= sum(h[int(label), k] * math.log(q) for k, q in enumerate(p[at]))
    samples = math.prod(x.shape[:axis])
    loss = divided(proto, proto.normalization, total, labels.size, counted, samples)
    return [loss, p][: len(layer.top)]


def sigmoid_cross_entropy(layer, bottoms, params, training):
    (x, targets), proto = bottoms, layer.loss_param
    total, counted = 0.0, 0
    for score, t in zip(x.ravel(), targets.ravel(), strict=True):
        if not (proto.HasField("ignore_label") and int(t) == proto.ignore_label):
            counted += 1
            # log(s) and log(1 - s) for s = 1 / (1 + exp(-score)).
            total += t * math.log1p(math.exp(-score)) + (1 - t) * math.log1p(math.exp(score))
    mode = proto.BATCH_SIZE
    if proto.HasField("normalization"):
        mode = proto.normalization
    elif proto.HasField("normalize"):
        mode = proto.VALID if proto.normalize else proto.BATCH_SIZE
    return [divided(proto, mode, total, x.size, counted, len(x))]


ORACLES = {
    "EuclideanLoss": euclidean,
    "HingeLoss": hinge,
    "ContrastiveLoss": contrastive,
    "MultinomialLogisticLoss": multinomial_logistic,
    "InfogainLoss": infogain,
    "SigmoidCrossEntropyLoss": sigmoid_cross_entropy,
}
