"""LSTM and RNN, value by value."""

import math

import numpy as np


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def product(w, x):
    return [sum(w[r, k] * x[k] for k in range(len(x))) for r in range(len(w))]


def inputs_of(layer, bottoms, n_states):
    """Return x (T, N, K), cont, static (N, S) or None, and the states (N, D)."""
    proto = layer.recurrent_param
    x, cont, *rest = bottoms
    steps, streams = x.shape[:2]
    exposed = n_states if proto.expose_hidden else 0
    static = rest[0].reshape(streams, -1) if len(rest) > exposed else None
    zero = np.zeros((streams, proto.num_output))
    states = [s.reshape(zero.shape) for s in rest[-exposed:]] if exposed else [zero] * n_states
    return x.reshape(steps, streams, -1), cont, static, states


def sums(w_x, b, w_s, w_h, x, static, h):
    """Return w_x x + b + w_s static + w_h h."""
    parts = [product(w_x, x), b, product(w_h, h)]
    if static is not None:
        parts.append(product(w_s, static))
    return [sum(values) for values in zip(*parts, strict=True)]


def unit(c, a, cont):
    """Return the next c and h of one stream."""
    size = len(c)
    new_c, new_h = np.zeros(size), np.zeros(size)
    for d in range(size):
        i, f, o = (sigmoid(a[k * size + d]) for k in range(3))
        new_c[d] = cont * f * c[d] + i * math.tanh(a[3 * size + d])
        new_h[d] = o * math.tanh(new_c[d])
    return new_c, new_h


def lstm(layer, bottoms, params, training):
    x, cont, static, (h, c) = inputs_of(layer, bottoms, 2)
    w_x, b, *w_s, w_h = params
    h, c = h.copy(), c.copy()
    y = np.zeros((*cont.shape, h.shape[1]))
    for t in range(y.shape[0]):
        for n in range(y.shape[1]):
            fixed = None if static is None else static[n]
            a = sums(w_x, b, w_s[0] if w_s else None, w_h, x[t, n], fixed, cont[t, n] * h[n])
            c[n], h[n] = unit(c[n], a, cont[t, n])
            y[t, n] = h[n]
    return [y, h[None], c[None]] if layer.recurrent_param.expose_hidden else [y]


def rnn(layer, bottoms, params, training):
    x, cont, static, (h,) = inputs_of(layer, bottoms, 1)
    w_x, b, *w_s, w_h, w_o, b_o = params
    h = h.copy()
    y = np.zeros((*cont.shape, h.shape[1]))
    for t in range(y.shape[0]):
        for n in range(y.shape[1]):
            fixed = None if static is None else static[n]
            a = sums(w_x, b, w_s[0] if w_s else None, w_h, x[t, n], fixed, cont[t, n] * h[n])
            h[n] = [math.tanh(value) for value in a]
            out = product(w_o, h[n])
            y[t, n] = [math.tanh(value + bias) for value, bias in zip(out, b_o, strict=True)]
    return [y, h[None]] if layer.recurrent_param.expose_hidden else [y]


def lstm_unit(layer, bottoms, params, training):
    c, a, cont = bottoms
    pairs = [unit(c[0, n], a[0, n], cont[0, n]) for n in range(c.shape[1])]
    return [np.stack(values)[None] for values in zip(*pairs, strict=True)]


ORACLES = {"LSTM": lstm, "LSTMUnit": lstm_unit, "RNN": rnn}
