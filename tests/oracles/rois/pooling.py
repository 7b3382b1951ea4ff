"""Pooling and sampling inside regions."""

import math

import numpy as np


def rounded(v):
    return math.floor(v + 0.5) if v >= 0 else -math.floor(-v + 0.5)


def padded(roi, ratio):
    image, x1, y1, x2, y2 = roi
    w, h = ratio * (x2 - x1 + 1), ratio * (y2 - y1 + 1)
    return int(image), x1 - w, y1 - h, x2 + w, y2 + h


def inside(low, high, size):
    return [k for k in range(low, high) if 0 <= k < size]


def roi_pooling(layer, bottoms, params, training):
    (x, rois), proto = bottoms, layer.roi_pooling_param
    sizes = list(proto.pooled_size) or [proto.pooled_h, proto.pooled_w]
    h, w, scale = sizes[0], sizes[-1], proto.spatial_scale
    y = np.zeros((len(rois), x.shape[1], h, w))
    for r, roi in enumerate(rois.reshape(len(rois), 5)):
        image, *corners = padded(roi, proto.pad_ratio)
        x1, y1, x2, y2 = (rounded(v * scale) for v in corners)
        rows, columns = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
        for i in range(h):
            for j in range(w):
                top, bottom = y1 + i * rows // h, y1 - (-(i + 1) * rows // h)
                left, right = x1 + j * columns // w, x1 - (-(j + 1) * columns // w)
                pixels = [
                    x[image, :, row, column]
                    for row in inside(top, bottom, x.shape[2])
                    for column in inside(left, right, x.shape[3])
                ]
                for c in range(x.shape[1]):
                    y[r, c, i, j] = max((pixel[c] for pixel in pixels), default=0)
    return [y]


def psroi_pooling(layer, bottoms, params, training):
    (x, rois), proto = bottoms, layer.psroi_pooling_param
    g, depth, scale = proto.group_size, proto.output_dim, proto.spatial_scale
    y = np.zeros((len(rois), depth, g, g))
    for r, (image, x1, y1, x2, y2) in enumerate(rois.reshape(len(rois), 5)):
        x1, y1 = rounded(x1) * scale, rounded(y1) * scale
        x2, y2 = (rounded(x2) + 1) * scale, (rounded(y2) + 1) * scale
        rows, columns = max(y2 - y1, 0.1), max(x2 - x1, 0.1)
        for d, i, j in np.ndindex(depth, g, g):
            values = [
                x[int(image), (d * g + i) * g + j, row, column]
                for row in inside(
                    math.floor(y1 + i * rows / g), math.ceil(y1 + (i + 1) * rows / g), x.shape[2]
                )
                for column in inside(
                    math.floor(x1 + j * columns / g),
                    math.ceil(x1 + (j + 1) * columns / g),
                    x.shape[3],
                )
            ]
            y[r, d, i, j] = sum(values) / max(len(values), 1)
    return [y]


def sample(plane, row, column):
    """Return the bilinear sample of (C, H, W) at a place; 0 outside."""
    h, w = plane.shape[1:]
    if not (-0.5 <= row <= h - 0.5 and -0.5 <= column <= w - 0.5):
        return 0
    row, column = min(max(row, 0), h - 1), min(max(column, 0), w - 1)
    total = 0
    for i in range(h):
        for j in range(w):
            near = max(1 - abs(row - i), 0) * max(1 - abs(column - j), 0)
            total = total + near * plane[:, i, j]
    return total


def roi_align(layer, bottoms, params, training):
    (x, rois), proto = bottoms, layer.roi_pooling_param
    h, w, scale = proto.pooled_h, proto.pooled_w, proto.spatial_scale
    y = np.zeros((len(rois), x.shape[1], h + 1, w + 1))
    for r, roi in enumerate(rois.reshape(len(rois), 5)):
        image, *corners = padded(roi, proto.pad_ratio)
        x1, y1, x2, y2 = (v * scale for v in corners)
        for i in range(h + 1):
            for j in range(w + 1):
                row, column = y1 + i * (y2 - y1) / h, x1 + j * (x2 - x1) / w
                y[r, :, i, j] = sample(x[image], row - 0.5, column - 0.5)
    return [y]


def roi_warping(layer, bottoms, params, training):
    (x, rois), proto = bottoms, layer.roi_warping_param
    h, w, scale = proto.pooled_h, proto.pooled_w, proto.spatial_scale
    y = np.zeros((len(rois), x.shape[1], h, w))
    for r, (image, *corners) in enumerate(rois.reshape(len(rois), 5)):
        x1, y1, x2, y2 = (rounded(v * scale) for v in corners)
        for i in range(h):
            for j in range(w):
                row, column = y1 + i * max(y2 - y1, 0) / h, x1 + j * max(x2 - x1, 0) / w
                y[r, :, i, j] = sample(x[int(image)], row, column)
    return [y]


def mask_pooling(layer, bottoms, params, training):
    x, mask = bottoms
    y = np.zeros(x.shape)
    for r, c, i, j in np.ndindex(x.shape):
        y[r, c, i, j] = x[r, c, i, j] * mask[r, 0, i, j]
    return [y]


def mask_resize(layer, bottoms, params, training):
    x, proto = bottoms[0], layer.mask_resize_param
    h, w = proto.output_height, proto.output_width
    y = np.zeros((*x.shape[:2], h, w))
    for n, i, j in np.ndindex(len(x), h, w):
        row, column = (
            min(k * s / m, s - 1) for k, s, m in zip((i, j), x.shape[2:], (h, w), strict=True)
        )
        y[n, :, i, j] = sample(x[n], row, column)
    return [y]


ORACLES = {
    "MaskPooling": mask_pooling,
    "MaskResize": mask_resize,
    "ROIPooling": roi_pooling,
    "PSROIPooling": psroi_pooling,
    "ROIAlign": roi_align,
    "ROIWarping": roi_warping,
}
