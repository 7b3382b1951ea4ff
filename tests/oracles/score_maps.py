"""Score maps of segmentation nets: biases by labels, products, smoothing."""

import math

import numpy as np


def bias_channel(layer, bottoms, params, training):
    x, labels = bottoms
    proto = layer.bias_channel_param
    y, background = x.copy(), proto.background_label
    for n, image in enumerate(labels):
        for at in np.ndindex(*image.shape):
            label = int(image[at])
            if label < 0 or label in proto.ignore_label:
                continue
            if proto.label_type == proto.PIXEL:
                place = at[-2:]
                y[(n, background, *place)] += proto.bg_bias
                if label != background:
                    y[(n, label, *place)] += proto.fg_bias
            else:
                y[n, label] += proto.bg_bias if label == background else proto.fg_bias
    return [y]


def adaptive_bias_channel(layer, bottoms, params, training):
    """With one class beside the background: the order of several is random."""
    proto, tops = layer.adaptive_bias_channel_param, bottoms[0].copy()
    for scores, labels in zip(tops, bottoms[1], strict=True):
        present = sorted({int(label) for label in labels.ravel() if label >= 0})
        if not present:
            continue
        pixels = list(np.ndindex(*scores.shape[1:]))
        if proto.suppress_others:
            for at in pixels:
                lowest = min(scores[(c, *at)] for c in present)
                for c in range(len(scores)):
                    if c not in present and scores[(c, *at)] > lowest:
                        scores[(c, *at)] = lowest - proto.margin_others
        best = [max(scores[(c, *at)] for c in present) for at in pixels]
        before = sum(best) / len(best)
        for _ in range(proto.num_iter):
            for c in present:
                lack = sorted(b - scores[(c, *at)] for b, at in zip(best, pixels, strict=True))
                share = proto.fg_portion if c else proto.bg_portion
                scores[c] += lack[min(int(share * len(lack)), len(lack) - 1)]
                best = [max(b, scores[(c, *at)]) for b, at in zip(best, pixels, strict=True)]
        scores += before - sum(best) / len(best)
    return [tops]


def unique_label(layer, bottoms, params, training):
    proto = layer.unique_label_param
    y = np.full((len(bottoms[0]), proto.max_labels, 1, 1), -1.0)
    for row, labels in zip(y, bottoms[0], strict=True):
        found = {label for label in labels.ravel() if label not in proto.ignore_label}
        for i, label in enumerate(sorted(found | set(proto.force_label))[: proto.max_labels]):
            row[i] = label
    return [y]


def spatial_product(layer, bottoms, params, training):
    x, s = bottoms
    y = np.empty_like(x)
    for n, c, *at in np.ndindex(*x.shape):
        y[(n, c, *at)] = x[(n, c, *at)] * s[(n, 0, *at)]
    return [y]


def domain_transform(layer, bottoms, params, training):
    proto, y = layer.domain_transform_param, bottoms[0].copy()
    for image, (edges,), size in zip(y, bottoms[1], bottoms[2], strict=True):
        height, width = (int(n) for n in size.ravel())
        for i in range(1, proto.num_iter + 1):
            sigma = proto.spatial_sigma * math.sqrt(3) * 2 ** (proto.num_iter - i)
            sigma /= math.sqrt(4**proto.num_iter - 1)
            slope = proto.spatial_sigma / proto.range_sigma
            w = np.maximum(np.exp(-math.sqrt(2) / sigma * (1 + slope * edges)), proto.min_weight)
            for scores in image:
                for r in range(height):
                    smooth(scores[r, :width], w[r, :width])
                for q in range(width):
                    smooth(scores[:height, q], w[:height, q])
    return [y]


def smooth(line, w):
    for j in range(1, len(line)):
        line[j] = (1 - w[j]) * line[j] + w[j] * line[j - 1]
    for j in range(len(line) - 2, -1, -1):
        line[j] = (1 - w[j + 1]) * line[j] + w[j + 1] * line[j + 1]


ORACLES = {
    "BiasChannel": bias_channel,
    "AdaptiveBiasChannel": adaptive_bias_channel,
    "UniqueLabel": unique_label,
    "SpatialProduct": spatial_product,
    "DomainTransform": domain_transform,
}
