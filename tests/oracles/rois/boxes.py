"""Region proposals."""

import math

import numpy as np


def overlap(a, b):
    """Return the IoU of boxes whose last row and column count."""
    w = min(a[2], b[2]) - max(a[0], b[0]) + 1
    h = min(a[3], b[3]) - max(a[1], b[1]) + 1
    shared = max(w, 0) * max(h, 0)
    areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
    return shared / (sum(areas) - shared)


def anchor_sizes(base, ratios, scales):
    for ratio in ratios:
        w = math.floor(math.sqrt(base * base / ratio) + 0.5)
        h = math.floor(w * ratio + 0.5)
        for scale in scales:
            yield w * scale, h * scale


def proposal(layer, bottoms, params, training):
    (scores, deltas, info), proto = bottoms, layer.proposal_param
    image_h, image_w, *scale = info.ravel()
    sizes = list(anchor_sizes(proto.base_size, proto.ratio, proto.scale))
    found, middle = [], (proto.base_size - 1) / 2
    for i, j, a in np.ndindex(*scores.shape[2:], len(sizes)):
        w, h = sizes[a]
        # The anchor reaches from middle - (w - 1) / 2 on, and w pixels far.
        x = j * proto.feat_stride + middle - (w - 1) / 2 + w / 2
        y = i * proto.feat_stride + middle - (h - 1) / 2 + h / 2
        dx, dy, dw, dh = deltas[0, 4 * a : 4 * a + 4, i, j]
        x, y, w, h = x + dx * w, y + dy * h, w * math.exp(dw), h * math.exp(dh)
        box = [
            min(max(v, 0), limit - 1)
            for v, limit in zip(
                (x - w / 2, y - h / 2, x + w / 2, y + h / 2), (image_w, image_h) * 2, strict=True
            )
        ]
        wide = box[2] - box[0] + 1 >= proto.min_size * scale[-1]
        high = box[3] - box[1] + 1 >= proto.min_size * scale[0]
        found.append((scores[0, len(sizes) + a, i, j] if wide and high else 0, box))
    found.sort(key=lambda pair: -pair[0])
    kept = []
    for score, box in found[: proto.pre_nms_topn]:
        if all(overlap(box, other) <= proto.nms_thresh for _, other in kept):
            kept.append((score, box))
    kept = kept[: proto.post_nms_topn]
    rois = np.array([[0, *box] for _, box in kept])
    return [rois, np.array([score for score, _ in kept])][: len(layer.top)]


def code(box, truth):
    """Return the code of a true box at another one."""
    w, h = box[2] - box[0] + 1, box[3] - box[1] + 1
    tw, th = truth[2] - truth[0] + 1, truth[3] - truth[1] + 1
    x = (truth[0] + tw / 2 - box[0] - w / 2) / w
    y = (truth[1] + th / 2 - box[1] - h / 2) / h
    return np.array([x, y, math.log(tw / w), math.log(th / h)])


def anchor_labels(anchors, truths, size, negative, positive):
    """Return label and code of each anchor, before any is left out at random."""
    inside = [a[0] >= 0 and a[1] >= 0 and a[2] < size[1] and a[3] < size[0] for a in anchors]
    overlaps = [[overlap(a, t) for t in truths] for a in anchors]
    best_of = [
        max(o[k] for o, i in zip(overlaps, inside, strict=True) if i) for k in range(len(truths))
    ]
    labels, codes = [], []
    for anchor, near, is_inside in zip(anchors, overlaps, inside, strict=True):
        label = 0 if max(near) < negative else -1
        if any(o == best for o, best in zip(near, best_of, strict=True)) or max(near) >= positive:
            label = 1
        labels.append(label if is_inside else -1)
        codes.append(code(anchor, truths[near.index(max(near))]) if is_inside else np.zeros(4))
    return labels, codes


ORACLES = {"Proposal": proposal}
