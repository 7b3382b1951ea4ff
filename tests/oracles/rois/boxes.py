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


ORACLES = {"Proposal": proposal}
