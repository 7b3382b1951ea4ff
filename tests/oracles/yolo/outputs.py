"""Detections of YOLO and their evaluation."""

import numpy as np

from oracles.yolo.boxes import anchors_of, corners, decoded, iou, sigmoid, softmax, truths


def predictions(x, anchors):
    """Yield image, codes and box of each prediction, by image, row, column, anchor."""
    n, channels, rows, columns = x.shape
    maps = x.reshape(n, len(anchors), channels // len(anchors), rows, columns)
    for image, row, column, a in np.ndindex(n, rows, columns, len(anchors)):
        yield image, maps[image, a, :, row, column], (row, column), anchors[a], (rows, columns)


def kept(candidates, limit):
    """Return candidates (label, score, box) after suppression, by descending score."""
    found = []
    for candidate in sorted(candidates, key=lambda c: -c[1]):
        if all(iou(candidate[2], other[2]) < limit for other in found):
            found.append(candidate)
    return found


def rows_of(candidates, limit):
    """Return the top for the candidates of each image."""
    rows = [
        [image, label + 1, score, *corners(box)]
        for image, of_image in enumerate(candidates)
        for label, score, box in kept(of_image, limit)
    ]
    rows = rows or [[image, *[-1] * 6] for image in range(len(candidates))]
    return np.array(rows).reshape(1, 1, len(rows), 7)


def yolo_output(layer, bottoms, params, training):
    proto = layer.yolo_detection_output_param
    candidates = [[] for _ in bottoms[0]]
    for x in bottoms:
        for image, q, place, anchor, size in predictions(x, anchors_of(proto.biases)):
            box = decoded(sigmoid(q[0]), sigmoid(q[1]), q[2], q[3], place, anchor, size)
            classes = softmax(q[5:])
            label = classes.index(max(classes))
            score = sigmoid(q[4]) * classes[label]
            if score >= proto.confidence_threshold:
                candidates[image].append((label, score, box))
    return [rows_of(candidates, proto.nms_threshold)]


def yolov3_output(layer, bottoms, params, training):
    proto, candidates = layer.yolov3_detection_output_param, [[] for _ in bottoms[0]]
    for k, x in enumerate(bottoms):
        all_anchors = anchors_of(proto.biases, proto.anchors_scale[k])
        mask = proto.mask[k * proto.num_box : (k + 1) * proto.num_box]
        for image, q, place, anchor, size in predictions(x, [all_anchors[m] for m in mask]):
            step, o = (2, 8) if proto.gaussian_box else (1, 4)
            codes = sigmoid(q[0]), sigmoid(q[step]), q[2 * step], q[3 * step]
            box, certainty = decoded(*codes, place, anchor, size), 1
            if proto.gaussian_box:
                certainty = 1 - sum(sigmoid(v) for v in q[1:8:2]) / 4
            for label, v in enumerate(q[o + 1 :]):
                score = sigmoid(q[o]) * sigmoid(v) * certainty
                if score > proto.confidence_threshold:
                    candidates[image].append((label, score, box))
    return [rows_of(candidates, proto.nms_threshold)]


def eval_detection(layer, bottoms, params, training):
    (x, labels), proto = bottoms[:2], layer.eval_detection_param
    found = truths(labels, len(x))
    c, anchors = proto.num_class, anchors_of(proto.biases)
    y = np.zeros((len(x), c + 4 * len(anchors) * x.shape[2] * x.shape[3]))
    candidates = [[] for _ in x]
    for image, q, place, anchor, size in predictions(x, anchors):
        box = decoded(sigmoid(q[0]), sigmoid(q[1]), q[2], q[3], place, anchor, size)
        classes, objectness = softmax(q[5:]), sigmoid(q[4])
        best = max(classes)
        scores = {proto.OBJ: objectness, proto.PROB: best, proto.MULTIPLY: objectness * best}
        candidates[image].append((classes.index(best), scores[proto.score_type], box))
    for image, of_image in enumerate(candidates):
        for label, _ in found[image]:
            y[image, label] += 1
        limit = proto.nms if proto.nms >= 0 else 2
        detections = [d for d in kept(of_image, limit) if d[1] >= 0.005]
        values, used = [], set()
        for label, score, box in sorted(detections, key=lambda d: d[0]):
            fits = [
                (iou(box, b), -k) for k, (other, b) in enumerate(found[image]) if other == label
            ]
            near, k = max(fits, default=(0, 1))
            hit = bool(fits) and near >= proto.threshold and k not in used
            used |= {k} if hit else set()
            values += [label, score, hit, not hit]
        y[image, c : c + len(values)] = values
    return [y]


def segmentation_evaluate(layer, bottoms, params, training):
    limit, (x, t) = layer.segmentation_evaluate_param.threshold, bottoms
    y = np.ones((1, 1, 1, x.shape[1]))
    for c in range(x.shape[1]):
        pairs = list(zip(x[:, c].ravel() > limit, t[:, c].ravel() > limit, strict=True))
        if any(a or b for a, b in pairs):
            y[0, 0, 0, c] = sum(a and b for a, b in pairs) / sum(a or b for a, b in pairs)
    return [y]


ORACLES = {
    "YoloDetectionOutput": yolo_output,
    "Yolov3DetectionOutput": yolov3_output,
    "EvalDetection": eval_detection,
    "SegmentationEvaluate": segmentation_evaluate,
}
