"""Boxes of YOLO by their centers, and truths."""

import math


def sigmoid(v):
    return 1 / (1 + math.exp(-v))


def softmax(values):
    powers = [math.exp(v) for v in values]
    return [power / sum(powers) for power in powers]


def corners(box):
    x, y, w, h = box
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def iou(a, b, kind="iou"):
    """Return the IoU of boxes [x, y, w, h], or another measure."""
    (l1, t1, r1, b1), (l2, t2, r2, b2) = corners(a), corners(b)
    shared = max(min(r1, r2) - max(l1, l2), 0) * max(min(b1, b2) - max(t1, t2), 0)
    union = a[2] * a[3] + b[2] * b[3] - shared
    wide, high = max(r1, r2) - min(l1, l2), max(b1, b2) - min(t1, t2)
    value = shared / union
    if kind == "giou":
        return value - (wide * high - union) / (wide * high)
    if kind in ("diou", "ciou"):
        far = ((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) / (wide**2 + high**2)
        term = 4 / math.pi**2 * (math.atan(b[2] / b[3]) - math.atan(a[2] / a[3])) ** 2
        weight = term / (1 - value + term) if kind == "ciou" and term else 0
        return value - far - weight * term
    return value


def truths(labels, n_images):
    """Return (class, box) of each image."""
    found = [[] for _ in range(n_images)]
    if labels.shape[-1] == 8:
        for image, label, _, x1, y1, x2, y2, _ in labels.reshape(-1, 8):
            if image >= 0:
                box = [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
                found[int(image)].append((int(label) - 1, box))
        return found
    for image, rows in enumerate(labels.reshape(n_images, -1, 5)):
        for label, *box in rows:
            if not box[0] or not box[2]:
                break
            found[image].append((int(label), box))
    return found


def cell_of(box, rows, columns):
    row, column = math.floor(box[1] * rows), math.floor(box[0] * columns)
    return min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)


def anchors_of(biases, cell=1.0):
    return [(biases[k] / cell, biases[k + 1] / cell) for k in range(0, len(biases), 2)]


def decoded(x, y, w, h, place, anchor, size):
    """Return a box from its codes after the sigmoid; size is (rows, columns)."""
    (row, column), (rows, columns) = place, size
    return [
        (column + x) / columns,
        (row + y) / rows,
        math.exp(w) * anchor[0] / columns,
        math.exp(h) * anchor[1] / rows,
    ]


def targets(box, place, anchor, size):
    (row, column), (rows, columns) = place, size
    return [
        box[0] * columns - column,
        box[1] * rows - row,
        math.log(box[2] * columns / anchor[0]),
        math.log(box[3] * rows / anchor[1]),
    ]
