"""Measures of a segmentation."""

import numpy as np


def seg_accuracy(layer, bottoms, params, training):
    x, labels = bottoms
    ignored = set(layer.seg_accuracy_param.ignore_label)
    n, k, rows, columns = x.shape
    labels = labels.reshape(n, rows, columns)
    counts = np.zeros((k, k))
    for i in range(n):
        for row in range(rows):
            for column in range(columns):
                label = labels[i, row, column]
                if label in ignored:
                    continue
                best = 0
                for c in range(k):
                    if x[i, c, row, column] >= x[i, best, row, column]:
                        best = c
                counts[int(label), best] += 1
    recalls, overlaps, right = [], [], 0
    for c in range(k):
        true, predicted = counts[c].sum(), counts[:, c].sum()
        right += counts[c, c]
        if true:
            recalls.append(counts[c, c] / true)
        union = true + predicted - counts[c, c]
        overlaps.append(counts[c, c] / union if union else 1)
    measures = [right / counts.sum(), np.mean(recalls), np.mean(overlaps)]
    return [np.array(measures).reshape(1, 1, 1, 3)]


ORACLES = {"SegAccuracy": seg_accuracy}
