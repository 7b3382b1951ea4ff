"""Gathering and filtering rows, embeddings, Parameter."""

import numpy as np


def batch_reindex(layer, bottoms, params, training):
    x, rows = bottoms
    return [np.array([x[int(row)] for row in rows]).reshape(len(rows), *x.shape[1:])]


def keep(layer, bottoms, params, training):
    *blobs, selector = bottoms
    selected = [i for i, value in enumerate(selector.ravel()) if value != 0]
    return [np.array([x[i] for i in selected]).reshape(len(selected), *x.shape[1:]) for x in blobs]


def embed(layer, bottoms, params, training):
    rows, proto = bottoms[0], layer.embed_param
    y = np.zeros((*rows.shape, proto.num_output))
    for index in np.ndindex(*y.shape):
        y[index] = params[0][int(rows[index[:-1]]), index[-1]]
        if proto.bias_term:
            y[index] += params[1][index[-1]]
    return [y]


ORACLES = {
    "BatchReindex": batch_reindex,
    "Filter": keep,
    "Embed": embed,
    "Parameter": lambda layer, bottoms, params, training: [params[0]],
}
