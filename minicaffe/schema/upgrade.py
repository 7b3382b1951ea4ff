"""Upgrade of nets and solvers from old formats to the current one.

The steps run in this order: V0 layers, transformation fields in data layers, V1 layers, `input`
fields, names of the old form in the current form, BatchNorm layers that list their parameters,
`solver_type`. Each of Caffe's steps logs Caffe's messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from google.protobuf.message import Message

from minicaffe.errors import SchemaError
from minicaffe.log import logger
from minicaffe.schema.minicaffe_pb2 import (
    LayerParameter,
    NetParameter,
    SolverParameter,
    V1LayerParameter,
)
from minicaffe.schema.upgrade_v0 import upgrade_v0

Origin = list[int | None]

# V1 names whose layer type is not the capitalised name.
_SPELLINGS = {
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "IM2COL": "Im2col",
    "LRN": "LRN",
    "MVN": "MVN",
    "NONE": "",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}
_SOLVER_TYPES = {
    SolverParameter.SGD: "SGD",
    SolverParameter.NESTEROV: "Nesterov",
    SolverParameter.ADAGRAD: "AdaGrad",
    SolverParameter.RMSPROP: "RMSProp",
    SolverParameter.ADADELTA: "AdaDelta",
    SolverParameter.ADAM: "Adam",
}
_TRANSFORM_FIELDS = ("scale", "mean_file", "crop_size", "mirror")
_DATA_BLOCKS = {
    V1LayerParameter.DATA: "data_param",
    V1LayerParameter.IMAGE_DATA: "image_data_param",
    V1LayerParameter.WINDOW_DATA: "window_data_param",
    V1LayerParameter.VIDEO_DATA: "image_data_param",
}
# The types of C3D 1.0 that share a message with others: the field that has theirs now.
_C3D_BLOCKS = {
    V1LayerParameter.CONVOLUTION3D: ("convolution_param", "convolution3d_param"),
    V1LayerParameter.DECONVOLUTION3D: ("convolution_param", "convolution3d_param"),
    V1LayerParameter.POOLING3D: ("pooling_param", "pooling3d_param"),
    V1LayerParameter.VIDEO_DATA: ("image_data_param", "video_data_param"),
}
# Names of the old form that some files write in the current form.
_OLD_NAMES = {"SoftmaxLoss": "SoftmaxWithLoss"}


def net_is_current(net: NetParameter) -> bool:
    """Return whether `upgrade_net` would find nothing to upgrade."""
    return not (
        net.layers or net.input or _layers_with_old_names(net) or _batch_norms_with_param(net)
    )


def upgrade_net(net: NetParameter, path: str) -> Origin:
    """Upgrade a net to the current format, in place.

    Parameters
    ----------
    net : NetParameter
        The net, with or without weights.
    path : str
        The file, for error messages.

    Returns
    -------
    list of int or None
        For each layer, its previous index in `layers` or `layer`; None for an added Input layer.

    Raises
    ------
    SchemaError
        The net mixes `layers` with `layer`, or an old field has an invalid value.
    """
    if net.layers and net.layer:
        raise SchemaError(
            f"{path}: the net has {len(net.layers)} `layers` (the old format) and {len(net.layer)} "
            "`layer` (the current one); it must have one kind. Write all of them as `layer`"
        )
    try:
        return _upgrade_parts(net, path)
    except UnicodeDecodeError as error:
        raise SchemaError(
            f"{path}: the name {error.object[:100]!r} is not UTF-8 text; the file is damaged"
        ) from error


def join_forms(net: NetParameter, is_old: Sequence[bool], path: str) -> None:
    """Convert the `layers` of a net that also has `layer`, in place.

    Caffe refuses such a net, because a message does not keep the order of two fields; a text does.

    Parameters
    ----------
    net : NetParameter
    is_old : sequence of bool
        For each layer in the order of the text, whether it is one of `layers`.
    path : str
        The file, for messages.
    """
    logger.warning(
        f"{path}: the net has {len(net.layers)} `layers` (the old format) and {len(net.layer)} "
        "`layer` (the current one), which Caffe refuses. They are read in the order of the text; "
        "write all of them as `layer`"
    )
    _move_transforms(net)
    old = iter([_upgrade_v1(layer, path) for layer in net.layers])
    new = iter([LayerParameter.FromString(x.SerializePartialToString()) for x in net.layer])
    layers = [next(old if is_one else new) for is_one in is_old]
    net.ClearField("layers")
    net.ClearField("layer")
    net.layer.extend(layers)


def _upgrade_parts(net: NetParameter, path: str) -> Origin:
    origin = _upgrade_layers(net, path)
    if net.input:
        _attempt("input fields", path)
        origin = _upgrade_inputs(net, path) + origin
        logger.info("Successfully upgraded file specified using deprecated input fields.")
    for layer in _layers_with_old_names(net):
        layer.type = _OLD_NAMES[layer.type]
    if layers := _batch_norms_with_param(net):
        logger.info("Attempting to upgrade batch norm layers using deprecated params: %s", path)
        _freeze(layers)
        logger.info("Successfully upgraded batch norm layers using deprecated params.")
    return origin


def _upgrade_layers(net: NetParameter, path: str) -> Origin:
    """Convert `layers` in V0 and V1 format to `layer`."""
    origin: Origin = list(range(len(net.layers) or len(net.layer)))
    if any(layer.HasField("layer") for layer in net.layers):
        _attempt("V0LayerParameter", path)
        origin = list(upgrade_v0(net, path))
        logger.info("Successfully upgraded file specified using deprecated V0LayerParameter")
    if any(_misplaced_transforms(layer) for layer in net.layers):
        _attempt("transformation parameters", path)
        _move_transforms(net)
        logger.info(
            "Successfully upgraded file specified using deprecated data transformation parameters."
        )
    if net.layers:
        _attempt("V1LayerParameter", path)
        net.layer.extend(_upgrade_v1(layer, path) for layer in net.layers)
        net.ClearField("layers")
        logger.info("Successfully upgraded file specified using deprecated V1LayerParameter")
    return origin


def _attempt(what: str, path: str) -> None:
    logger.info("Attempting to upgrade input file specified using deprecated %s: %s", what, path)


def _misplaced_transforms(layer: V1LayerParameter) -> list[str]:
    """Return the transformation fields that a data layer sets in its own block."""
    block = _DATA_BLOCKS.get(layer.type)
    if block is None:
        return []
    return [name for name in _TRANSFORM_FIELDS if getattr(layer, block).HasField(name)]


def _move_transforms(net: NetParameter) -> None:
    for layer in net.layers:
        for name in _misplaced_transforms(layer):
            block = getattr(layer, _DATA_BLOCKS[layer.type])
            setattr(layer.transform_param, name, getattr(block, name))
            block.ClearField(name)


def current_type(old: int) -> str:
    """Return the current name of a V1 layer type: CONVOLUTION is "Convolution"."""
    word = V1LayerParameter.LayerType.Name(old)
    return _SPELLINGS.get(word, word.title().replace("_", ""))


def _move_c3d_settings(layer: LayerParameter, old_name: str, new_name: str, path: str) -> None:
    """Move the settings of a layer of C3D 1.0 to the message that C3D 1.1 has for its type.

    Raises
    ------
    SchemaError
        A field has no counterpart there, or several values.
    """
    old, new = getattr(layer, old_name), getattr(layer, new_name)
    for field, value in old.ListFields():
        target = new.DESCRIPTOR.fields_by_name.get(field.name)
        values = [value] if isinstance(value, int | float | str | Message) else list(value)
        if target is None or len(values) > 1:
            rule = "has no meaning" if target is None else "takes one value"
            raise SchemaError(
                f'{path}: layer "{layer.name}": {old_name} {{ {field.name} }} {rule} in a layer of '
                f"type {layer.type}"
            )
        if target.message_type is not None:
            getattr(new, field.name).CopyFrom(value)
        else:
            setattr(new, field.name, values[0])
    layer.ClearField(old_name)


def _upgrade_v1(old: V1LayerParameter, path: str) -> LayerParameter:
    new = LayerParameter(name=old.name) if old.HasField("name") else LayerParameter()
    if old.HasField("type"):
        new.type = current_type(old.type)
    for field, value in old.ListFields():
        if field.name.endswith("_param"):
            getattr(new, field.name).CopyFrom(value)
        elif field.name in ("bottom", "top", "include", "exclude", "blobs", "loss_weight"):
            getattr(new, field.name).extend(value)
    specs: tuple[tuple[str, Iterable[object]], ...] = (
        ("name", old.param),
        ("share_mode", old.blob_share_mode),
        ("lr_mult", old.blobs_lr),
        ("decay_mult", old.weight_decay),
    )
    for name, values in specs:
        for index, value in enumerate(values):
            while len(new.param) <= index:
                new.param.add()
            setattr(new.param[index], name, value)
    if old.type == V1LayerParameter.CROP:
        logger.warning(
            f'{path}: layer "{old.name}": type CROP of early forks finds its offsets by the layers '
            "between its bottoms; Crop cuts at offset 0. Write it as a `layer` with crop_param "
            "{ axis: 2 offset: ... }; caffe.coord_map.crop computes the offsets"
        )
    if old.type in _C3D_BLOCKS:
        _move_c3d_settings(new, *_C3D_BLOCKS[old.type], path)
    return new


def _upgrade_inputs(net: NetParameter, path: str) -> Origin:
    """Replace `input` fields by an Input layer if they have shapes; return its origin."""
    expected = len(net.input) if net.input_shape else 4 * len(net.input)
    given = len(net.input_shape or net.input_dim)
    if given not in (0, expected):
        field = "input_shape" if net.input_shape else "input_dim"
        each = "one" if net.input_shape else "four"
        raise SchemaError(
            f"{path}: the net has {len(net.input)} input and {given} {field}; it must have {each} "
            f"{field} for each input, {expected} in all"
        )
    if given:
        layer = LayerParameter(name="input", type="Input", top=net.input)
        for index in range(len(net.input)):
            legacy_dims = net.input_dim[4 * index : 4 * index + 4]
            dims = net.input_shape[index].dim if net.input_shape else legacy_dims
            layer.input_param.shape.add(dim=dims)
        layers = [
            layer,
            *(LayerParameter.FromString(x.SerializePartialToString()) for x in net.layer),
        ]
        net.ClearField("layer")
        net.layer.extend(layers)
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)
    return [None] if given else []


def _layers_with_old_names(net: NetParameter) -> list[LayerParameter]:
    return [layer for layer in net.layer if layer.type in _OLD_NAMES]


def _batch_norms_with_param(net: NetParameter) -> list[LayerParameter]:
    """Return the BatchNorm layers with param entries, which may train their three statistics."""
    return [layer for layer in net.layer if layer.type == "BatchNorm" and len(layer.param) == 3]


def _freeze(layers: list[LayerParameter]) -> None:
    """Set lr_mult and decay_mult to 0, because statistics are measured, not learned."""
    for layer in layers:
        for spec in layer.param:
            spec.lr_mult = spec.decay_mult = 0


def upgrade_solver(solver: SolverParameter, path: str) -> None:
    """Replace `solver_type` by `type`, in place.

    Raises
    ------
    SchemaError
        Both are set.
    """
    if not solver.HasField("solver_type"):
        return
    what = "'solver_type' field (enum)"
    _attempt(what, path)
    if solver.HasField("type"):
        raise SchemaError(
            f"{path}: solver_type (the old field) and type are both set; remove solver_type"
        )
    solver.type = _SOLVER_TYPES[solver.solver_type]
    solver.ClearField("solver_type")
    logger.info(
        "Successfully upgraded file specified using deprecated %s to 'type' field (string).", what
    )


def complete_snapshot_prefix(solver: SolverParameter, path: str) -> None:
    """Set snapshot_prefix from the solver file's name if it is missing or is only a folder."""
    stem = Path(path).with_suffix("")
    if not solver.HasField("snapshot_prefix"):
        solver.snapshot_prefix = str(stem)
        logger.info("snapshot_prefix was not specified and is set to %s", stem)
    elif solver.snapshot_prefix.endswith("/") or Path(solver.snapshot_prefix).is_dir():
        solver.snapshot_prefix = str(Path(solver.snapshot_prefix) / stem.name)
        logger.info("snapshot_prefix was a directory and is replaced to %s", solver.snapshot_prefix)
