"""Margins, centres, distances."""

import math

import numpy as np


def psi(theta, m):
    k = min(int(theta * m / math.pi), m - 1)
    return (-1) ** k * math.cos(m * theta) - 2 * k


def rows_of(x, axis):
    return x.reshape(math.prod(x.shape[:axis]), -1)


def margin_product(proto, bottoms, w):
    """Return the products and lambda in the first pass."""
    x, labels = rows_of(bottoms[0], proto.axis), bottoms[1].ravel()
    factor = max(
        proto.base * (1 + proto.gamma * (proto.iteration + 1)) ** -proto.power, proto.lambda_min
    )
    y = x @ w.T
    for n, label in enumerate(labels.astype(int)):
        size = math.sqrt(x[n] @ x[n]) * math.sqrt(w[label] @ w[label])
        cosine = y[n, label] / size
        hard = psi(math.acos(cosine), proto.type + 1)
        y[n, label] = size * (factor * cosine + hard) / (1 + factor)
    return [y.reshape(*bottoms[0].shape[: proto.axis], -1), np.array([factor])]


def large_margin(layer, bottoms, params, training):
    return margin_product(layer.largemargin_inner_product_param, bottoms, params[0])[
        : len(layer.top)
    ]


def unit_rows(w):
    return np.array([row / math.sqrt(row @ row) for row in w])


def sphere_margin(layer, bottoms, params, training):
    proto = layer.margin_inner_product_param
    return margin_product(proto, bottoms, unit_rows(params[0]))[: len(layer.top)]


def center_loss(layer, bottoms, params, training):
    x, labels = rows_of(bottoms[0], 1), bottoms[1].ravel().astype(int)
    total = 0.0
    for row, label in zip(x, labels, strict=True):
        total += sum((a - c) ** 2 for a, c in zip(row, params[0][label], strict=True))
    return [np.array(total / len(x) / 2)]


def label_specific_add(layer, bottoms, params, training):
    x, proto = bottoms[0], layer.label_specific_add_param
    bias = proto.bias
    if proto.HasField("bias_base"):
        grown = (1 + proto.bias_gamma * proto.iteration) ** proto.bias_power - 1
        bias = min(max(proto.bias_base + grown, proto.bias_min), proto.bias_max)
    y = x.copy()
    if not (training or proto.transform_test):
        return [y, np.zeros(1)][: len(layer.top)]
    for scores, label in zip(rows_of(y, 1), bottoms[1].ravel().astype(int), strict=True):
        if scores[label] > -bias:
            scores[label] += bias
    return [y, np.array([bias])][: len(layer.top)]


def inner_distance(layer, bottoms, params, training):
    proto = layer.inner_distance_param
    x = rows_of(bottoms[0], proto.axis)
    w = params[0].T if proto.transpose else params[0]
    if proto.normalize:
        w = np.array([row / math.sqrt(row @ row) for row in w])
    y = np.zeros((len(x), len(w)))
    for n, f in np.ndindex(*y.shape):
        apart = np.abs(x[n] - w[f])
        y[n, f] = sum(apart if proto.distance_type == "L1" else apart**2)
        y[n, f] += params[1][f] if proto.bias_term else 0
    return [y.reshape(*bottoms[0].shape[: proto.axis], -1)]


def gram(layer, bottoms, params, training):
    x = bottoms[0].reshape(*bottoms[0].shape[:2], -1)
    n, c, size = x.shape
    y = np.zeros((n, c, c, 1))
    for i, a, b in np.ndindex(n, c, c):
        y[i, a, b] = sum(p * q for p, q in zip(x[i, a], x[i, b], strict=True)) / (c * size)
    return [y]


def triplet_loss(layer, bottoms, params, training):
    total = 0.0
    for a, p, n in zip(*(rows_of(x, 1) for x in bottoms), strict=True):
        near, far = (sum((u - v) ** 2 for u, v in zip(a, other, strict=True)) for other in (p, n))
        total += max(0, layer.triplet_loss_param.margin + near - far)
    return [np.array(total / len(bottoms[0]) / 2)]


ORACLES = {
    "LargeMarginInnerProduct": large_margin,
    "MarginInnerProduct": sphere_margin,
    "CenterLoss": center_loss,
    "LabelSpecificAdd": label_specific_add,
    "InnerDistance": inner_distance,
    "Gram": gram,
    "TripletLoss": triplet_loss,
}
