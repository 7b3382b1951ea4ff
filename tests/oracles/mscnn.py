"""Layers of MS-CNN. Negatives are not drawn at random here: no case does."""

import math

import numpy as np

from oracles.rois.boxes import overlap
from oracles.rois.losses import smooth


def norms(layer):
    proto = layer.bbox_reg_param
    return list(proto.bbox_mean) or [0] * 4, list(proto.bbox_std) or [1] * 4


def clamp(v, limit):
    return min(max(v, -limit), limit)


def limits(proto):
    return [1 / proto.field_xyr] * 2 + [math.log(proto.field_whr)] * 2


def field_box(offsets, place, size, proto):
    """Return x1, y1, w, h of offsets at (row, column); size is (height, width, step)."""
    (row, column), (height, width, step) = place, size
    x, y, w, h = (clamp(v, limit) for v, limit in zip(offsets, limits(proto), strict=True))
    w, h = width * math.exp(w), height * math.exp(h)
    return x * width + (column + 0.5) * step - w / 2, y * height + (row + 0.5) * step - h / 2, w, h


def cover(a, b, kind="IOU"):
    """Return the overlap of boxes x, y, w, h."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared, first, second = max(w, 0) * max(h, 0), a[2] * a[3], b[2] * b[3]
    wholes = {"IOU": first + second - shared, "IOMU": min(first, second), "IOFU": first}
    return shared / wholes[kind]


def box_output(layer, bottoms, params, training):
    proto, (means, deviations), rows = layer.box_output_param, norms(layer), []
    for n in range(len(bottoms[0])):
        found = []
        sizes = zip(proto.field_h, proto.field_w, proto.downsample_rate, strict=True)
        for x, size in zip(bottoms, sizes, strict=True):
            for place in np.ndindex(x.shape[2:]):
                values = x[(n, slice(None), *place)]
                score = max(values[1:-4]) - values[0]
                offsets = values[-4:] * deviations + means
                left, top, w, h = field_box(offsets, place, size, proto)
                left, top = max(left, 0), max(top, 0)
                w = min(w, x.shape[3] * size[2] - left)
                h = min(h, x.shape[2] * size[2] - top)
                if score >= proto.fg_thr and min(w, h) >= proto.min_size:
                    found.append((score, (left, top, w, h)))
        found.sort(key=lambda pair: -pair[0])
        kept = []
        for score, box in found[: proto.max_nms_num or None]:
            if all(cover(b, box, proto.nms_type) <= proto.iou_thr for _, b in kept):
                kept.append((score, box))
        for score, (left, top, w, h) in kept[: proto.max_post_nms_num or None]:
            rows.append([n, left, top, left + w, top + h, score])
    scored = np.array(rows or [[0] * 6], float)
    boxes = scored[:, :5] if rows else np.array([[0, 1, 1, 10, 10]], float)
    tops = [boxes[:, :, None, None], scored[:, :, None, None]]
    return tops[: len(layer.top)]


def cells(layer, labels, proto):
    """Yield place and label of the cells that count: positives, then others by a flag."""
    ignored = layer.loss_param.HasField("ignore_label")
    for n, row, column in np.ndindex(labels.shape[0], *labels.shape[2:]):
        label = list(labels[n, :, row, column])
        if proto.objectness:
            label[0] = min(label[0], 1)
        if not (ignored and label[0] == layer.loss_param.ignore_label):
            yield n, row, column, label


def negatives(proto, x, found):
    """Return the places of the chosen candidates."""
    chosen = set()
    for n in range(len(x)):
        mine = [
            (n, i, j) for k, i, j, t in found if k == n and not t[0] and t[5] < proto.bg_threshold
        ]
        if proto.sample_mode != "bootstrap":
            chosen.update(mine)
            continue
        for c in range(1, proto.cls_num):
            have = sum(k == n and t[0] == c for k, _, _, t in found)
            mine.sort(key=lambda at, c=c: -x[at[0], c, at[1], at[2]])
            chosen.update(mine[: max(4, have * proto.bg_multiple)])
    return chosen


def detection_loss(layer, bottoms, params, training):
    (x, labels), proto, c = bottoms, layer.detection_loss_param, layer.detection_loss_param.cls_num
    (means, deviations), found = (
        norms(layer),
        list(cells(layer, labels, layer.detection_loss_param)),
    )
    chosen, positives = negatives(proto, x, found), [f for f in found if f[3][0]]
    total = len(chosen) + len(positives)
    weights = {
        f[:3]: (f[3][5] if proto.iou_weighted else 1) if f[3][0] else 1
        for f in found
        if f[3][0] or f[:3] in chosen
    }
    if proto.pos_neg_weighted:
        share, mass = 1 / (1 + proto.bg_multiple), sum(weights[f[:3]] for f in positives)
        for f in found:
            if f[:3] in weights:
                part = share / mass if f[3][0] else (1 - share) / len(chosen)
                weights[f[:3]] *= part * total
    of_class, of_box = 0.0, 0.0
    for n, i, j, label in found:
        if (n, i, j) in weights:
            powers = np.exp(x[n, :c, i, j])
            of_class -= weights[n, i, j] * math.log(powers[int(label[0])] / powers.sum()) / total
    for n, i, j, label in positives:
        step, size = proto.downsample_rate, (proto.field_w, proto.field_h)
        center = (j + 0.5) * step, (i + 0.5) * step
        for k in range(4):
            pair = slice(0, 2) if k < 2 else slice(2, 4)
            mean, deviation = np.mean(means[pair]), math.sqrt(np.prod(deviations[pair]))
            limit = limits(proto)[k]
            low, high = ((s * limit - mean) / deviation for s in (-1, 1))
            if k < 2:
                wanted = (label[1 + k] - center[k]) / size[k]
            else:
                wanted = math.log(max(label[1 + k], 2) / size[k - 2])
            d = min(max(x[n, c + k, i, j], low), high) - (wanted - means[k]) / deviations[k]
            of_box += smooth(d) if proto.bb_smooth else 0.5 * d * d
    of_box *= getattr(proto, "lambda") / max(4 * len(positives), 1)
    return [np.array([of_class + of_box, of_box]).reshape(1, 1, 1, 2)]


def detection_accuracy(layer, bottoms, params, training):
    (x, labels), proto = bottoms, layer.detection_accuracy_param
    right, right_objects, near = [], [], []
    for n, i, j, label in cells(layer, labels, proto):
        if not label[0] and label[5] >= proto.bg_threshold:
            continue
        logits = x[n, : proto.cls_num, i, j]
        best = sorted(range(proto.cls_num), key=lambda k, logits=logits: -logits[k])[: proto.top_k]
        right.append(label[0] in best)
        if label[0]:
            right_objects.append(label[0] in best)
            size = proto.field_h, proto.field_w, proto.downsample_rate
            box = field_box(x[n, proto.cls_num :, i, j], (i, j), size, proto)
            cx, cy, w, h = label[1:5]
            near.append(cover(box, (cx - w / 2, cy - h / 2, w, h)))
    means = [sum(values) / len(values) if values else -1 for values in (right, right_objects, near)]
    tops = [np.array(means[:2]).reshape(1, 1, 1, 2), np.array(means[2]).reshape(1, 1, 1, 1)]
    return tops[: len(layer.top)]


def decoded(roi, code, layer):
    means, deviations = norms(layer)
    w, h = roi[2] - roi[0] + 1, roi[3] - roi[1] + 1
    x, y, dw, dh = code * deviations + means
    cx, cy = roi[0] + w / 2 + x * w, roi[1] + h / 2 + y * h
    w, h = w * math.exp(dw), h * math.exp(dh)
    return cx - w / 2, cy - h / 2, cx + w / 2 - 1, cy + h / 2 - 1


def decode_bbox(layer, bottoms, params, training):
    codes, rois = (b.reshape(len(b), -1) for b in bottoms[:2])
    rows = []
    for k, (code, roi) in enumerate(zip(codes, rois, strict=True)):
        box = decoded(roi[1:], code[4:], layer)
        if training and (box[2] < box[0] or box[3] < box[1]):
            continue
        if training and len(bottoms) > 2 and bottoms[2][k, 5] >= layer.decode_bbox_param.gt_iou_thr:
            continue
        rows.append([roi[0], *box])
    return [np.array(rows).reshape(-1, 5, 1, 1)]


def bbox_accuracy(layer, bottoms, params, training):
    codes, rois, matches = bottoms
    before, after = [], []
    for code, roi, match in zip(codes.reshape(len(codes), -1, 4), rois, matches, strict=True):
        if match[0] > 0 and match[5] <= 0.975:
            group = int(match[0]) if layer.bbox_reg_param.cls_aware else 1
            after.append(overlap(decoded(roi[1:], code[group], layer), match[1:5]))
            before.append(overlap(roi[1:], match[1:5]))
    tops = [np.full((1, 1, 1, 1), sum(v) / len(v) if v else -1) for v in (after, before)]
    return tops[: len(layer.top)]


def proposal_target(layer, bottoms, params, training):
    """Take all objects and background: batch_size is -1, or as large as all together."""
    (rois, truths), proto = bottoms, layer.proposal_target_param
    (means, deviations), c = norms(layer), proto.cls_num if layer.bbox_reg_param.cls_aware else 2
    objects, background, rest = [], [], []
    for roi in [*rois, *truths[:, :5]]:
        near = [(overlap(roi[1:], t[1:5]), t) for t in truths if t[0] == roi[0]]
        best, truth = max(near, key=lambda pair: pair[0], default=(0, None))
        if best >= proto.fg_thr:
            if not truth[6]:
                objects.append((roi, best, truth))
        elif proto.bg_thr_lw <= best < proto.bg_thr_hg:
            background.append((roi, 0, None))
        else:
            rest.append((roi, 0, None))
    chosen = objects + background
    if proto.batch_size >= 0:
        chosen += rest[: proto.batch_size - len(chosen)]
    n = len(chosen)
    tops = [np.zeros((n, size)) for size in (5, 1, 4 * c, 4 * c, 4 * c, 6, 1)]
    mass = sum(best if proto.iou_weighted else 1 for _, best, t in chosen if t is not None)
    for k, (roi, best, truth) in enumerate(chosen):
        tops[0][k] = roi
        if truth is None:
            tops[6][k] = (1 - proto.fg_fraction) * n / max(n - len(objects), 1) if objects else 1
            continue
        tops[6][k] = (best if proto.iou_weighted else 1) * proto.fg_fraction * n / mass
        label = int(truth[5])
        group = label if layer.bbox_reg_param.cls_aware else 1
        w, h = roi[3] - roi[1] + 1, roi[4] - roi[2] + 1
        tw, th = truth[3] - truth[1] + 1, truth[4] - truth[2] + 1
        code = np.array(
            [
                (truth[1] + tw / 2 - roi[1] - w / 2) / w,
                (truth[2] + th / 2 - roi[2] - h / 2) / h,
                math.log(tw / w),
                math.log(th / h),
            ]
        )
        place = slice(4 * group, 4 * group + 4)
        tops[1][k], tops[2][k, place] = label, (code - means) / deviations
        tops[3][k, place] = tops[4][k, place] = 1
        tops[5][k] = [label, *truth[1:5], best]
    return [top[:, :, None, None] for top in tops[: len(layer.top)]]


ORACLES = {
    "BoxOutput": box_output,
    "DetectionLoss": detection_loss,
    "DetectionAccuracy": detection_accuracy,
    "DecodeBBox": decode_bbox,
    "BboxAccuracy": bbox_accuracy,
    "ProposalTarget": proposal_target,
}
