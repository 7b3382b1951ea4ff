"""Sequences of labels: all paths one by one, edit distances by recursion."""

import itertools
from functools import cache

import numpy as np


def softmax(scores):
    powers = np.exp(scores - np.max(scores))
    return powers / powers.sum()


def collapsed(path, blank, merges=True):
    """Merge equal neighbours of a path and drop its blanks."""
    merged = [label for label, _ in itertools.groupby(path)] if merges else path
    return [label for label in merged if label != blank]


def wanted(labels, blank):
    """Return the sequence of each sample."""
    return [[int(label) for label in row.ravel() if label != blank] for row in labels]


def fits(sequence, steps):
    repeats = sum(a == b for a, b in itertools.pairwise(sequence))
    return len(sequence) + repeats <= steps


def costs(x, labels, blank):
    """Return the cost of each sample, None if its sequence does not fit into the steps."""
    found = []
    for n, sequence in enumerate(wanted(labels, blank)):
        if not fits(sequence, len(x)):
            found.append(None)
            continue
        p = [softmax(scores) for scores in x[:, n]]
        total = 0.0
        for path in itertools.product(range(x.shape[2]), repeat=len(x)):
            if collapsed(path, blank) == sequence:
                total += np.prod([p[t][label] for t, label in enumerate(path)])
        found.append(-np.log(total))
    return found


def ctc_loss(layer, bottoms, params, training):
    found = costs(*bottoms, layer.ctc_loss_param.blank_label)
    return [np.array(sum(cost or 0 for cost in found) / len(found))]


def warp_ctc_loss(layer, bottoms, params, training):
    found = [c for c in costs(*bottoms, layer.ctc_loss_param.blank_index) if c is not None]
    return [np.array(sum(found) / max(len(found), 1))]


def edit_distance(a, b):
    @cache
    def distance(i, j):
        if not i or not j:
            return i + j
        same = a[i - 1] == b[j - 1]
        replaced = distance(i - 1, j - 1) + (not same)
        return min(replaced, distance(i - 1, j) + 1, distance(i, j - 1) + 1)

    return distance(len(a), len(b))


def decoded(scores, blank, merges=True):
    return collapsed([int(np.argmax(step)) for step in scores], blank, merges)


def ctc_greedy_decoder(layer, bottoms, params, training):
    x, proto = bottoms[0], layer.ctc_decoder_param
    merges = proto.ctc_merge_repeated
    found = [decoded(x[:, n], proto.blank_index, merges) for n in range(x.shape[1])]
    if len(bottoms) == 1:
        rows = [sequence + [-1] * (len(x) - len(sequence)) for sequence in found]
        return [np.array(rows, float)[..., None, None]]
    pairs = list(zip(found, wanted(bottoms[1], proto.blank_index), strict=True))
    apart = sum(edit_distance(a, b) / max(len(a), len(b), 1) for a, b in pairs)
    right = sum(a == b for a, b in pairs)
    return [np.array([1 - apart / len(pairs), right / len(pairs)]).reshape(1, 2, 1, 1)]


def labelsequence_accuracy(layer, bottoms, params, training):
    x, labels = bottoms
    blank = layer.labelsequence_accuracy_param.blank_label
    found = [decoded(scores, blank) for scores in x]
    right = sum(a == b for a, b in zip(found, wanted(labels, blank), strict=True))
    return [np.array(right / len(x))]


def reverse_time(layer, bottoms, params, training):
    x, lengths = bottoms
    y = x.copy() if layer.reverse_time_param.copy_remaining else np.zeros_like(x)
    for n, length in enumerate(lengths.astype(int)):
        for t in range(length):
            y[t, n] = x[length - 1 - t, n]
    return [y]


def transpose(layer, bottoms, params, training):
    x, order = bottoms[0], list(layer.transpose_param.dim)
    y = np.empty([x.shape[axis] for axis in order])
    for index in np.ndindex(*y.shape):
        source = [index[order.index(axis)] for axis in range(x.ndim)]
        y[index] = x[tuple(source)]
    return [y]


ORACLES = {
    "CtcLoss": ctc_loss,
    "WarpCTCLoss": warp_ctc_loss,
    "CTCGreedyDecoder": ctc_greedy_decoder,
    "LabelsequenceAccuracy": labelsequence_accuracy,
    "ReverseTime": reverse_time,
    "Transpose": transpose,
}
