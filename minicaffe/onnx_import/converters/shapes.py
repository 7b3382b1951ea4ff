"""Converters of operators that move values: shapes, parts, order of axes, padding, enlarging."""

from __future__ import annotations

import numpy as np

from minicaffe.onnx_import.converters.activations import ends
from minicaffe.onnx_import.registry import converter
from minicaffe.onnx_import.writer import Floats, NetWriter, PendingPads

_MOST_PIECES = 16  # layers that take the place of one Permute


@converter("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def _reshape(writer: NetWriter) -> None:
    node = writer.node
    old, new = writer.shape(node.inputs[0]), writer.shape(node.outputs[0])
    if old == new:
        writer.alias(node.outputs[0], writer.bottom(node.inputs[0]))
        return
    source, target = ends(writer)
    writer.reshape(source, target, old, new)


@converter("Concat")
def _concat(writer: NetWriter) -> None:
    node = writer.node
    sources = [writer.bottom(name) for name in node.inputs]
    axis = node.attributes["axis"] % len(writer.shape(node.inputs[0]))
    target = writer.top(node.outputs[0])
    layer = writer.add("Concat", sources, [target])
    if axis != 1:
        layer.concat_param.axis = axis


@converter("Split")
def _split(writer: NetWriter) -> None:
    node = writer.node
    shape = writer.shape(node.inputs[0])
    axis = node.attributes.get("axis", 0) % len(shape)
    sizes = [writer.shape(name)[axis] for name in node.outputs]
    source = writer.bottom(node.inputs[0])
    _add_slice(writer, source, axis, sizes, [writer.top(name) for name in node.outputs])


def _add_slice(
    writer: NetWriter, source: str, axis: int, sizes: list[int], tops: list[str]
) -> None:
    layer = writer.add("Slice", [source], tops)
    if axis != 1:
        layer.slice_param.axis = axis
    layer.slice_param.slice_point.extend(np.cumsum(sizes[:-1]).tolist())


@converter("Slice")
def _slice(writer: NetWriter) -> None:
    node = writer.node
    shape = writer.shape(node.inputs[0])
    starts = writer.integer_list(1, "starts") or []
    stops = writer.integer_list(2, "ends") or []
    axes = writer.integer_list(3, "axes") or list(range(len(starts)))
    steps = writer.integer_list(4, "steps") or [1] * len(starts)
    writer.require(set(steps) <= {1}, f"steps {steps} have no layer")
    cuts = []
    for start, stop, any_axis in zip(starts, stops, axes, strict=True):
        axis = any_axis % len(shape)
        first, last, _ = slice(start, stop).indices(shape[axis])
        writer.require(first < last, f"nothing of axis {axis} is left")
        if (first, last) != (0, shape[axis]):
            cuts.append((axis, first, last))
    source = writer.bottom(node.inputs[0])
    if not cuts:
        writer.alias(node.outputs[0], source)
    for k, (axis, first, last) in enumerate(cuts):
        is_last = k == len(cuts) - 1
        kept = writer.top(node.outputs[0]) if is_last else writer.temporary("part")
        sizes = [first, last - first, shape[axis] - last]
        tops = [kept if i == 1 else writer.temporary("rest") for i in range(3) if sizes[i]]
        _add_slice(writer, source, axis, [n for n in sizes if n], tops)
        for rest in tops:
            if rest != kept:
                writer.add("Silence", [rest], [], suffix="rest")
        source = kept


@converter("Transpose")
def _transpose(writer: NetWriter) -> None:
    node = writer.node
    shape = writer.shape(node.inputs[0])
    order = list(node.attributes.get("perm", range(len(shape))[::-1]))
    new = tuple(shape[axis] for axis in order)
    source, target = ends(writer)
    if [axis for axis in order if shape[axis] != 1] == [
        axis for axis in range(len(shape)) if shape[axis] != 1
    ]:
        writer.reshape(source, target, shape, new)  # only axes of size 1 move
    elif writer.dialect.has_permute:
        layer = writer.add("Permute", [source], [target])
        layer.permute_param.order.extend(order)
    else:
        _move_axis(writer, source, target, shape, order)


def _move_axis(
    writer: NetWriter, source: str, target: str, shape: tuple[int, ...], order: list[int]
) -> None:
    """Move one short axis by slicing along it and joining the slices along its new place."""
    moves = [
        (old, order.index(old))
        for old in range(len(order))
        if [a for a in order if a != old] == [a for a in range(len(order)) if a != old]
    ]
    old, new = min(moves, key=lambda move: shape[move[0]], default=(0, 0))
    writer.require(
        moves and shape[old] <= _MOST_PIECES,
        f"perm {order} of shape {shape} needs the layer Permute, which --dialect "
        f"{writer.dialect_name} lacks; ssd has it",
    )
    pieces = [writer.temporary(f"slice{k}") for k in range(shape[old])]
    _add_slice(writer, source, old, [1] * len(pieces), pieces)
    piece = tuple(1 if axis == old else n for axis, n in enumerate(shape))
    moved = tuple(piece[axis] for axis in order)
    tops = [writer.temporary(f"moved{k}") for k in range(shape[old])]
    for bottom, top in zip(pieces, tops, strict=True):
        writer.reshape(bottom, top, piece, moved)
    writer.add("Concat", tops, [target], suffix="join").concat_param.axis = new


@converter("Pad")
def _pad(writer: NetWriter) -> None:
    """Leave the pads to the nodes that read the output: the layers of Caffe pad themselves."""
    node = writer.node
    mode = node.attributes.get("mode", "constant")
    writer.require(mode == "constant", f"mode: {mode} has no layer")
    value = float(writer.floats(2).ravel()[0]) if writer.has(2) else 0.0
    value = node.attributes.get("value", value)
    writer.require(value == 0, f"pads of value {value:g} have no layer")
    pads, rank = writer.integer_list(1, "pads") or [], len(writer.shape(node.inputs[0]))
    if writer.has(3):
        axes = [int(axis) % rank for axis in writer.constant_input(3).ravel()]
        wide = [0] * 2 * rank
        for k, axis in enumerate(axes):
            wide[axis], wide[rank + axis] = pads[k], pads[len(axes) + k]
        pads = wide
    if not any(pads):
        writer.alias(node.outputs[0], writer.bottom(node.inputs[0]))
        return
    writer.require(node.outputs[0] not in writer.graph.outputs, "the padded image is an output")
    writer.paddings[node.outputs[0]] = PendingPads(node.inputs[0], pads[:rank], pads[rank:])


@converter("Resize", "Upsample")
def _resize(writer: NetWriter) -> None:
    node = writer.node
    old, new = writer.shape(node.inputs[0]), writer.shape(node.outputs[0])
    factors = [b // a for a, b in zip(old, new, strict=True)]
    writer.require(
        len(old) == 4
        and factors[:2] == [1, 1]
        and all(a * f == b for a, b, f in zip(old, new, factors, strict=True)),
        f"{old} to {new}: only images can be enlarged, by whole factors",
    )
    mode = node.attributes.get("mode", "nearest")
    is_old = node.op == "Upsample" or writer.graph.opset < 11
    place = node.attributes.get(
        "coordinate_transformation_mode", "asymmetric" if is_old else "half_pixel"
    )
    if mode == "nearest":
        rounding = node.attributes.get("nearest_mode", "round_prefer_floor")
        repeats = is_old or (place, rounding) == ("asymmetric", "floor")
        writer.require(
            repeats or place in ("half_pixel", "pytorch_half_pixel"),
            f"nearest pixels by {place} and {rounding} are not repeated pixels",
        )
        kernels = [np.ones(f, np.float32) for f in factors[2:]]
    else:
        writer.require(
            mode == "linear" and place in ("half_pixel", "pytorch_half_pixel"),
            f"mode {mode} by {place} has no layer; linear by half_pixel has one",
        )
        kernels = [_bilinear(f) for f in factors[2:]]
    _add_enlargement(writer, old, factors[2:], kernels)


def _bilinear(factor: int) -> Floats:
    size = 2 * factor - factor % 2
    centre = (size - 1) / 2
    return np.asarray(1 - np.abs(np.arange(size) - centre) / factor, np.float32)


def _add_enlargement(
    writer: NetWriter, shape: tuple[int, ...], factors: list[int], kernels: list[Floats]
) -> None:
    """Add a Deconvolution of each channel by one kernel, divided at the borders by its weights."""
    channels = shape[1]
    source, target = ends(writer)
    weights = np.broadcast_to(np.outer(*kernels), (channels, 1, *map(len, kernels)))
    layer = writer.add("Deconvolution", [source], [target], [weights])
    settings = layer.convolution_param
    settings.num_output = settings.group = channels
    settings.bias_term = False
    pads = [(len(kernel) - factor) // 2 for kernel, factor in zip(kernels, factors, strict=True)]
    settings.kernel_h, settings.kernel_w = map(len, kernels)
    settings.stride_h, settings.stride_w = factors
    settings.pad_h, settings.pad_w = pads
    sums = []
    for size, factor, kernel, pad in zip(shape[2:], factors, kernels, pads, strict=True):
        line = np.zeros((size - 1) * factor + len(kernel))
        for k in range(size):
            line[k * factor : k * factor + len(kernel)] += kernel
        sums.append(line[pad : pad + size * factor])
    total = np.outer(*sums)
    if not np.allclose(total, 1, atol=1e-6):
        # Outside the image ONNX repeats the border, where a Deconvolution has zeros.
        scale = writer.add("Scale", [target], [target], [1 / total], "borders")
        scale.scale_param.axis = 2
        scale.scale_param.num_axes = 2
