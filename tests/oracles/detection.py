"""Layers of detectors of the SSD family."""

import math

import numpy as np

SMALLEST_OVERLAP = 1e-6


def prior_box(layer, bottoms, params, training):
    proto = layer.prior_box_param
    (_, _, rows, columns), (_, _, height, width) = (x.shape for x in bottoms)
    if proto.img_h:
        height, width = proto.img_h, proto.img_w
    step_y, step_x = proto.step_h or height / rows, proto.step_w or width / columns
    ratios = [1.0]
    for ratio in proto.aspect_ratio:
        if min(abs(ratio - other) for other in ratios) > 1e-6:
            ratios += [ratio, 1 / ratio] if proto.flip else [ratio]
    boxes = []
    for row in range(rows):
        for column in range(columns):
            x, y = (column + proto.offset) * step_x, (row + proto.offset) * step_y
            for i, smallest in enumerate(proto.min_size):
                side = int(smallest)
                sides = [(side, side)]
                if proto.max_size:
                    middle = math.sqrt(side * int(proto.max_size[i]))
                    sides.append((middle, middle))
                sides += [(side * math.sqrt(r), side / math.sqrt(r)) for r in ratios[1:]]
                for w, h in sides:
                    boxes += [(x - w / 2) / width, (y - h / 2) / height]
                    boxes += [(x + w / 2) / width, (y + h / 2) / height]
    if proto.clip:
        boxes = [min(max(value, 0), 1) for value in boxes]
    variances = list(proto.variance) or [0.1]
    variances = variances * 4 if len(variances) == 1 else variances
    return [np.array([[boxes, variances * (len(boxes) // 4)]])]


def area(box):
    width, height = box[2] - box[0], box[3] - box[1]
    return width * height if width >= 0 and height >= 0 else 0


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0
    return width * height / (area(a) + area(b) - width * height)


class Code:
    """Codes of boxes; prior is a box, v its variances."""

    def __init__(self, name, without_variance):
        self.name, self.without_variance = name, without_variance

    def sides(self, box):
        return box[2] - box[0], box[3] - box[1]

    def decode(self, code, prior, v):
        c = list(code) if self.without_variance else [c * s for c, s in zip(code, v, strict=True)]
        w, h = self.sides(prior)
        if self.name == "CORNER":
            return [p + d for p, d in zip(prior, c, strict=True)]
        if self.name == "CORNER_SIZE":
            return [p + d * s for p, d, s in zip(prior, c, (w, h, w, h), strict=True)]
        x = (prior[0] + prior[2]) / 2 + c[0] * w
        y = (prior[1] + prior[3]) / 2 + c[1] * h
        w, h = w * math.exp(c[2]), h * math.exp(c[3])
        return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]

    def encode(self, box, prior, v):
        w, h = self.sides(prior)
        if self.name == "CORNER":
            code = [b - p for b, p in zip(box, prior, strict=True)]
        elif self.name == "CORNER_SIZE":
            code = [(b - p) / s for b, p, s in zip(box, prior, (w, h, w, h), strict=True)]
        else:
            bw, bh = self.sides(box)
            code = [
                (box[0] + box[2] - prior[0] - prior[2]) / 2 / w,
                (box[1] + box[3] - prior[1] - prior[3]) / 2 / h,
                math.log(bw / w),
                math.log(bh / h),
            ]
        return code if self.without_variance else [c / s for c, s in zip(code, v, strict=True)]


def code_of(proto, without_variance):
    return Code(
        proto.DESCRIPTOR.fields_by_name["code_type"]
        .enum_type.values_by_number[proto.code_type]
        .name,
        without_variance,
    )


def suppress(proto, boxes, scores):
    """Return the indices of the boxes that are kept."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    if proto.HasField("top_k") and proto.top_k > -1:
        order = order[: proto.top_k]
    threshold, kept = proto.nms_threshold, []
    for i in order:
        if all(overlap(boxes[i], boxes[k]) <= threshold for k in kept):
            kept.append(i)
            if proto.eta < 1 and threshold > 0.5:
                threshold *= proto.eta
    return kept


def moved_priors(code, priors, variances, arm_loc, image):
    """Return the priors of an image, moved by the fifth or sixth bottom."""
    if arm_loc is None:
        return priors
    codes = arm_loc[image].reshape(-1, 4)
    return [code.decode(c, p, v) for c, p, v in zip(codes, priors, variances, strict=True)]


def detection_output(layer, bottoms, params, training):
    proto = layer.detection_output_param
    loc, conf, prior = bottoms[:3]
    arm_conf, arm_loc = [*bottoms[3:], None, None][:2]
    code = code_of(proto, proto.variance_encoded_in_target)
    priors, variances = prior[0].reshape(2, -1, 4)
    k, background = proto.num_classes, proto.background_label_id
    rows = []
    for n in range(len(loc)):
        codes, scores = loc[n].reshape(len(priors), -1, 4), conf[n].reshape(len(priors), k).copy()
        own = moved_priors(code, priors, variances, arm_loc, n)
        for p in range(len(priors)):
            if arm_conf is not None and arm_conf[n].ravel()[2 * p + 1] < proto.objectness_score:
                scores[p] = [label == background for label in range(k)]
        found = []
        for label in range(k):
            if label == background:
                continue
            column = 0 if proto.share_location else label
            at = [
                p
                for p in range(len(priors))
                if not proto.HasField("confidence_threshold")
                or scores[p, label] > proto.confidence_threshold
            ]
            boxes = [code.decode(codes[p, column], own[p], variances[p]) for p in at]
            for i in suppress(proto.nms_param, boxes, [scores[p, label] for p in at]):
                found.append([n, label, scores[at[i], label], *boxes[i]])
        if -1 < proto.keep_top_k < len(found):
            limit = sorted((row[2] for row in found), reverse=True)[: proto.keep_top_k]
            found = [row for row in found if row[2] in limit]
        rows += found
    return [np.array([[rows or [[n, *[-1] * 6] for n in range(len(loc))]]], float)]


def annotations(truth):
    """Rows of SSD, from these or from YOLO's lists [class - 1, x, y, width, height]."""
    if truth.shape[3] == 8:
        return truth[0, 0].tolist()
    rows = []
    for n, boxes in enumerate(truth[:, 0].tolist()):
        for k, (label, x, y, w, h) in enumerate(boxes):
            if x == 0 or w == 0:
                break
            rows.append([n, label + 1, k, x - w / 2, y - h / 2, x + w / 2, y + h / 2, 0])
    return rows


def detection_evaluate(layer, bottoms, params, training):
    proto = layer.detection_evaluate_param
    found, true = bottoms[0][0, 0].tolist(), annotations(bottoms[1])
    found = [row for row in found if row[0] != -1 and row[1] != -1]
    true = [row for row in true if row[0] != -1 and row[1] != -1]
    counts = proto.evaluate_difficult_gt
    labels = [k for k in range(proto.num_classes) if k != proto.background_label_id]
    rows = [
        [-1, k, sum(row[1] == k and (counts or not row[7]) for row in true), -1, -1] for k in labels
    ]
    for n, k in sorted({(row[0], row[1]) for row in found}):
        boxes = [row for row in found if (row[0], row[1]) == (n, k)]
        mine = [row for row in true if (row[0], row[1]) == (n, k)]
        visited = set()
        for row in sorted(boxes, key=lambda row: -row[2]) if mine else boxes:
            result = [0, 1]
            if mine:
                best = max(range(len(mine)), key=lambda g: overlap(row[3:], mine[g][3:7]))
                if overlap(row[3:], mine[best][3:7]) >= proto.overlap_threshold:
                    if mine[best][7] and not counts:
                        result = [0, 0]
                    elif best not in visited:
                        visited.add(best)
                        result = [1, 0]
            rows.append([n, k, row[2], *result])
    return [np.array([[rows]], float)]


def match(proto, boxes, truth):
    """Return the match of each box (None: free, "ignored"), and its largest overlap."""
    table = [[overlap(box, row[3:7]) for row in truth] for box in boxes]
    found = [None] * len(boxes)
    for p, box in enumerate(boxes):
        if proto.ignore_cross_boundary_bbox and (min(box) < 0 or max(box) > 1):
            found[p], table[p] = "ignored", [0] * len(truth)
    best = [max([x for x in row if x > SMALLEST_OVERLAP], default=0) for row in table]
    left = set(range(len(truth)))
    while True:
        pairs = [
            (-table[p][g], p, g)
            for p in range(len(boxes))
            for g in left
            if found[p] is None and table[p][g] > SMALLEST_OVERLAP
        ]
        if not pairs:
            break
        _, p, g = min(pairs)
        found[p] = g
        left.remove(g)
    if proto.match_type == proto.PER_PREDICTION:
        for p in range(len(boxes)):
            if found[p] is None and best[p] > 0 and best[p] >= proto.overlap_threshold:
                found[p] = table[p].index(max(table[p]))
    return found, best


def loc_loss(proto, code, given, row, prior, v):
    target = code.encode(row[3:7], prior, v)
    box = prior if proto.use_prior_for_matching else code.decode(given, prior, v)
    total = 0
    for c, t, s, side in zip(given, target, v, box, strict=True):
        d = (c - t) / s if code.without_variance else c - t
        if proto.bp_inside and not 0 <= side <= 1:
            d = 0
        is_linear = proto.loc_loss_type == proto.SMOOTH_L1 and abs(d) >= 1
        total += abs(d) - 0.5 if is_linear else d * d / 2
    return total


def conf_loss(proto, scores, label):
    if proto.conf_loss_type == proto.SOFTMAX:
        return math.log(sum(math.exp(s) for s in scores)) - scores[label]
    signs = [-1 if k == label else 1 for k in range(len(scores))]
    return sum(math.log1p(math.exp(sign * s)) for sign, s in zip(signs, scores, strict=True))


class Image:
    """One image: its codes (P, L, 4), scores (P, K), priors and true boxes."""

    def __init__(self, layer, bottoms, n):
        self.proto = proto = layer.multibox_loss_param
        loc, conf, prior, truth = bottoms[:4]
        arm_conf, arm_loc = [*bottoms[4:], None, None][:2]
        self.code = code_of(proto, proto.encode_variance_in_target)
        priors, self.variances = prior[0].reshape(2, -1, 4)
        self.priors = moved_priors(self.code, priors, self.variances, arm_loc, n)
        self.size = len(priors)
        self.codes = loc[n].reshape(self.size, -1, 4)
        self.scores = conf[n].reshape(self.size, -1)
        self.truth = [
            row for row in truth[0, 0] if row[0] == n and (proto.use_difficult_gt or not row[7])
        ]
        self.may_be_negative = [
            arm_conf is None or arm_conf[n].ravel()[2 * p + 1] >= proto.objectness_score
            for p in range(self.size)
        ]

    def label(self, g):
        one = self.proto.map_object_to_agnostic or self.proto.num_classes == 2
        return self.proto.background_label_id + 1 if one else int(self.truth[g][1])

    def decoded(self, column):
        return [
            self.code.decode(self.codes[p, column], self.priors[p], self.variances[p])
            for p in range(self.size)
        ]

    def positives(self):
        """Return pairs (prior, column, true box), the free priors, and the largest overlaps."""
        proto, found = self.proto, []
        free, best = set(range(self.size)), [0] * self.size
        for column in range(self.codes.shape[1]):
            chosen = list(range(len(self.truth)))
            if not proto.share_location and column == proto.background_label_id:
                continue
            if not proto.share_location and not proto.use_prior_for_matching:
                chosen = [g for g in chosen if self.truth[g][1] == column]
            boxes = self.priors if proto.use_prior_for_matching else self.decoded(column)
            matches, overlaps = match(proto, boxes, [self.truth[g] for g in chosen])
            for p, m in enumerate(matches):
                best[p] = max(best[p], overlaps[p])
                if m is None:
                    continue
                free.discard(p)
                if m != "ignored":
                    g = chosen[m]
                    if proto.share_location or self.truth[g][1] == column:
                        found.append((p, column, g))
        return found, [p for p in free if self.may_be_negative[p]], best

    def loc_loss(self, p, column, g):
        v = self.variances[p]
        return loc_loss(
            self.proto, self.code, self.codes[p, column], self.truth[g], self.priors[p], v
        )

    def mined(self, found, free, best):
        """Return what of the positives and of the free priors is chosen."""
        proto = self.proto
        if proto.mining_type == proto.NONE or proto.HasField("do_neg_mining"):
            return found, free
        if not self.truth:
            return found, []
        labels = {p: self.label(g) for p, _, g in found}
        losses = [
            conf_loss(proto, self.scores[p], labels.get(p, proto.background_label_id))
            for p in range(self.size)
        ]
        if proto.mining_type == proto.MAX_NEGATIVE:
            at = [p for p in sorted(free) if best[p] < proto.neg_overlap]
            size = int(len(found) * proto.neg_pos_ratio)
        else:
            for p, column, g in found:
                losses[p] += self.loc_loss(p, column, g)
            at, size = sorted([*free, *labels]), proto.sample_size
        if proto.HasField("nms_param"):
            boxes = self.priors if proto.use_prior_for_nms else self.decoded(0)
            kept = suppress(proto.nms_param, [boxes[p] for p in at], [losses[p] for p in at])
            chosen = {at[i] for i in kept[:size]}
        else:
            chosen = set(sorted(at, key=lambda p: -losses[p])[:size])
        if proto.mining_type == proto.HARD_EXAMPLE:
            found = [pair for pair in found if pair[0] in chosen]
        return found, [p for p in free if p in chosen]


def multibox_loss(layer, bottoms, params, training):
    proto = layer.multibox_loss_param
    total = matches = 0
    wanted = [*layer.propagate_down, True, True]
    for n in range(len(bottoms[0])):
        image = Image(layer, bottoms, n)
        found, negatives = image.mined(*image.positives())
        matches += len(found)
        labels = dict.fromkeys(negatives, proto.background_label_id)
        for p, column, g in found:
            labels[p] = image.label(g)
            total += wanted[0] * proto.loc_weight * image.loc_loss(p, column, g)
        for p, label in labels.items():
            total += wanted[1] * conf_loss(proto, image.scores[p], label)
    loss = layer.loss_param
    divisors = {
        loss.VALID: matches,
        loss.FULL: len(bottoms[0]) * image.size,
        loss.BATCH_SIZE: len(bottoms[0]),
        loss.NONE: 1,
    }
    return [np.array(total / max(divisors[loss.normalization], 1))]


ORACLES = {
    "PriorBox": prior_box,
    "DetectionOutput": detection_output,
    "DetectionEvaluate": detection_evaluate,
    "MultiBoxLoss": multibox_loss,
}
