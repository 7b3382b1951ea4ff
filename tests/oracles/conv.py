"""Convolution and its transpose."""

import itertools

import numpy as np


def per_axis(proto, field, n, default):
    """Return a window field for each of n axes, however it was given."""
    stem = {"kernel_size": "kernel"}.get(field, field)
    if stem != "dilation" and (proto.HasField(f"{stem}_h") or proto.HasField(f"{stem}_w")):
        return [getattr(proto, f"{stem}_h"), getattr(proto, f"{stem}_w")]
    values = list(getattr(proto, field)) or [default]
    return values * n if len(values) == 1 else values


def triples(layer, x, y, w):
    """Yield (index of x, index of y, index of w) of every product that a convolution adds up."""
    proto, n = layer.convolution_param, x.ndim - 2
    kernel, stride = per_axis(proto, "kernel_size", n, 0), per_axis(proto, "stride", n, 1)
    pad, dilation = per_axis(proto, "pad", n, 0), per_axis(proto, "dilation", n, 1)
    filters, channels = y.shape[1] // proto.group, x.shape[1] // proto.group
    ranges = [len(y), proto.group, filters, channels, *y.shape[2:], *kernel]
    for i, g, f, c, *rest in itertools.product(*map(range, ranges)):
        p, k = rest[:n], rest[n:]
        at = [p[d] * stride[d] - pad[d] + k[d] * dilation[d] for d in range(n)]
        if all(0 <= a < size for a, size in zip(at, x.shape[2:], strict=True)):
            yield (i, g * channels + c, *at), (i, g * filters + f, *p), (g * filters + f, c, *k)


def sizes(layer, image, transposed):
    proto, n = layer.convolution_param, len(image)
    fields = [("kernel_size", 0), ("stride", 1), ("pad", 0), ("dilation", 1)]
    for size, k, s, p, d in zip(
        image, *(per_axis(proto, name, n, default) for name, default in fields), strict=True
    ):
        extent = d * (k - 1) + 1
        yield (
            s * (size - 1) + extent - 2 * p if transposed else int((size + 2 * p - extent) / s) + 1
        )


def convolution(layer, bottoms, params, training, transposed=False):
    tops = []
    axis = layer.convolution_param.axis % bottoms[0].ndim
    for bottom in bottoms:
        x = bottom.reshape(-1, *bottom.shape[axis:])
        image = sizes(layer, x.shape[2:], transposed)
        y = np.zeros((len(x), layer.convolution_param.num_output, *image))
        wide, narrow = (y, x) if transposed else (x, y)
        for i, j, k in triples(layer, wide, narrow, params[0]):
            if transposed:
                y[i] += params[0][k] * x[j]
            else:
                y[j] += params[0][k] * x[i]
        for f, b in enumerate(params[1] if len(params) > 1 else []):
            y[:, f] += b
        tops.append(y.reshape(*bottom.shape[:axis], *y.shape[1:]))
    return tops


def deconvolution(layer, bottoms, params, training):
    return convolution(layer, bottoms, params, training, transposed=True)


ORACLES = {
    "Convolution": convolution,
    # The layers have set the group that was implied.
    "ConvolutionDepthwise": convolution,
    "DepthwiseConvolution": convolution,
    "Deconvolution": deconvolution,
}
