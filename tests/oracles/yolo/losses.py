"""Losses of YOLO: `deltas` of each type give the gradient, - delta / N, which is no derivative."""

import math

import numpy as np

from oracles.yolo.boxes import anchors_of, cell_of, decoded, iou, sigmoid, softmax, targets, truths


def region_deltas(layer, x, labels):
    proto, (n, _, rows, columns) = layer.region_loss_param, x.shape
    anchors, c = anchors_of(proto.biases), proto.num_class
    maps = x.reshape(n, len(anchors), 5 + c, rows, columns)
    p, deltas, boxes, found = maps.copy(), np.zeros(maps.shape), {}, truths(labels, n)
    for at in np.ndindex(n, len(anchors), rows, columns):
        image, a, *place = at
        q = p[image, a, :, place[0], place[1]]
        for k in (0, 1, 4):
            q[k] = sigmoid(q[k])
        q[5:] = softmax(q[5:]) if proto.softmax else [sigmoid(v) for v in q[5:]]
        boxes[at] = decoded(*q[:4], place, anchors[a], (rows, columns))
        if max((iou(boxes[at], box) for _, box in found[image]), default=0) <= proto.thresh:
            slope = q[4] * (1 - q[4])
            deltas[image, a, 4, place[0], place[1]] = -proto.noobject_scale * q[4] * slope
    for image in range(n):
        for label, box in found[image]:
            place = cell_of(box, rows, columns)
            shapes = [(w / columns, h / rows) for w, h in anchors]
            if not proto.bias_match:
                shapes = [boxes[(image, a, *place)][2:] for a in range(len(anchors))]
            fits = [iou([0, 0, *shape], [0, 0, *box[2:]]) for shape in shapes]
            a = fits.index(max(fits))
            at = image, a, slice(None), *place
            q, d, t = p[at], deltas[at], targets(box, place, anchors[a], (rows, columns))
            scale = proto.coord_scale * (1 if proto.rescore else 2 - box[2] * box[3])
            for k in range(4):
                d[k] = scale * (t[k] - q[k]) * (q[k] * (1 - q[k]) if k < 2 else 1)
            objectness = iou(boxes[(image, a, *place)], box) if proto.rescore else 1
            d[4] = proto.object_scale * (objectness - q[4]) * q[4] * (1 - q[4])
            for k in range(c):
                d[5 + k] = proto.class_scale * ((k == label) - q[5 + k])
    return deltas.reshape(x.shape)


def region(layer, bottoms, params, training):
    deltas = region_deltas(layer, *bottoms)
    return [np.array((deltas**2).sum() / len(deltas))]


def hits_of(proto, kind, found, size):
    """Yield each hit: image, index in the mask, place, class, box."""
    anchors = anchors_of(proto.biases, proto.anchors_scale)
    for image, rows in enumerate(found):
        for label, box in rows:
            fits = [
                iou([0, 0, w / size[1], h / size[0]], [0, 0, *box[2:]], kind) for w, h in anchors
            ]
            place, best = cell_of(box, *size), fits.index(max(fits))
            for m, a in enumerate(proto.mask):
                if a == best:
                    yield image, m, place, label, box
            for m, a in enumerate(proto.mask):
                if fits[a] > proto.iou_thresh:
                    yield image, m, place, label, box


def measure_slope(kind, box, truth):
    """Return the gradient of a measure by differences; the aspect term as its authors take it."""
    plain = "diou" if kind == "ciou" else kind
    slope = []
    for k in range(4):
        moved = [[v + s * 1e-7 * (i == k) for i, v in enumerate(box)] for s in (1, -1)]
        slope.append((iou(moved[0], truth, plain) - iou(moved[1], truth, plain)) / 2e-7)
    if kind == "ciou":
        w, h = box[2:]
        apart = math.atan(truth[2] / truth[3]) - math.atan(w / h)
        term = 4 / math.pi**2 * apart**2
        weight = term / (1 - iou(box, truth) + term)
        slope[2] += weight * 8 / math.pi**2 * apart * h
        slope[3] -= weight * 8 / math.pi**2 * apart * w
    return slope


def yolov3_parts(layer, x, labels, is_gaussian=False):
    """Return the deltas (N, M, channels, H, W) and the loss."""
    proto, (n, _, rows, columns) = layer.yolov3_param, x.shape
    kind = "iou" if is_gaussian else proto.IOU_LOSS.Name(proto.iou_loss).lower()
    o, sizes = (8, (4, 6)) if is_gaussian else (4, (2, 3))
    smoothing = 0 if is_gaussian else proto.label_smooth_eps
    c, all_anchors = proto.num_class, anchors_of(proto.biases, proto.anchors_scale)
    anchors = [all_anchors[k] for k in proto.mask]
    p = x.reshape(n, len(anchors), o + 1 + c, rows, columns).copy()
    deltas, boxes, found = np.zeros(p.shape), {}, truths(labels, n)
    for at in np.ndindex(n, len(anchors), rows, columns):
        image, m, *place = at
        q = p[image, m, :, place[0], place[1]]
        for k in range(len(q)):
            q[k] = q[k] if k in sizes else sigmoid(q[k])
        codes = q[0:8:2] if is_gaussian else q[:4]
        boxes[at] = decoded(*codes, place, anchors[m], (rows, columns))
        if max((iou(boxes[at], b, kind) for _, b in found[image]), default=0) <= proto.thresh:
            deltas[image, m, o, place[0], place[1]] = -q[o]
    apart, seen = [], set()
    for image, m, place, label, box in hits_of(proto, kind, found, (rows, columns)):
        at = image, m, slice(None), *place
        q, d, t = p[at], deltas[at], targets(box, place, anchors[m], (rows, columns))
        predicted = boxes[(image, m, *place)]
        scale = proto.coord_scale * (2 - box[2] * box[3])
        if is_gaussian:
            step = gaussian_step(q, t, proto.iou_normalizer * scale)
        elif kind == "mse":
            step = [scale * (t[k] - q[k]) for k in range(4)]
        else:
            step = measure_slope(kind, predicted, box)
            step = [v * (math.exp(q[k]) if k > 1 else 1) for k, v in enumerate(step)]
        for k, v in enumerate(step):
            if kind != "mse":
                v = min(max(v, -proto.max_delta), proto.max_delta)
            d[k] = v + (d[k] if proto.accumulate and kind != "mse" else 0)
        apart.append(1 - iou(predicted, box, kind))
        d[o] = (proto.object_scale if proto.use_logic_gradient else 1) * (1 - q[o])
        class_step(proto, q[o + 1 :], d[o + 1 :], label, smoothing, (image, m, place) in seen)
        seen.add((image, m, place))
    if kind == "mse":
        return deltas, (deltas**2).sum() / n, p
    mean = sum(apart) / len(apart) if apart else 0
    return deltas, ((deltas[:, :, o:] ** 2).sum() + proto.iou_normalizer * mean) / n, p


def class_step(proto, q, d, label, smoothing, is_again):
    scale = proto.class_scale
    if is_again:
        d[label] = scale * (1 - smoothing / 2 - q[label])
    elif proto.use_focal_loss:
        score = q[label]
        factor = -0.5 * (1 - score) * (2 * score * math.log(score) + score - 1)
        d[:] = [scale * factor * ((k == label) - v) for k, v in enumerate(q)]
    else:
        high, low = 1 - smoothing / 2, smoothing / 2
        d[:] = [scale * ((high if k == label else low) - v) for k, v in enumerate(q)]


def gaussian_step(q, t, scale):
    step = []
    for k in range(4):
        mean, deviation = q[2 * k : 2 * k + 2]
        e = (t[k] - mean) / deviation
        density = math.exp(-e * e / 2) / (math.sqrt(2 * math.pi) * (deviation + 0.3))
        factor = scale * density / (2 * (density + 1e-9))
        step += [factor * e / deviation, factor * (e * e / deviation - 1 / (deviation + 0.3))]
    return step


def yolov3_deltas(layer, x, labels, is_gaussian=False):
    deltas, _, p = yolov3_parts(layer, x, labels, is_gaussian)
    if layer.yolov3_param.use_logic_gradient:
        slope = p * (1 - p)
        slope[:, :, [4, 6] if is_gaussian else [2, 3]] = 1
        deltas = deltas * slope
    return deltas.reshape(x.shape)


def yolov3(layer, bottoms, params, training):
    return [np.array(yolov3_parts(layer, *bottoms)[1])]


def gaussian_yolov3(layer, bottoms, params, training):
    return [np.array(yolov3_parts(layer, *bottoms, is_gaussian=True)[1])]


def mask_deltas(layer, x, t, counts=None):
    scale, deltas = layer.yolo_seg_param.object_scale, np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        weight = 1
        if counts is not None and t[at]:
            k = sum(row[at[1]] for row in counts.reshape(x.shape[:2]))
            weight = 2 - k / (x.shape[0] * x.shape[2] * x.shape[3] - k)
        deltas[at] = -scale * weight * (sigmoid(x[at]) - t[at])
    return deltas


def yolo_seg(layer, bottoms, params, training):
    deltas = mask_deltas(layer, *bottoms)
    return [np.array((deltas**2).sum() / len(deltas))]


ORACLES = {
    "RegionLoss": region,
    "Yolov3": yolov3,
    "GaussianYolov3": gaussian_yolov3,
    "YoloSeg": yolo_seg,
}
