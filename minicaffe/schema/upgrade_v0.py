"""Upgrade of V0 layers (2013, ``layers { layer { type: "conv" } }``) to V1 layers (2014).

A V0 layer has the fields of all layer types in one message; in V1 each type has its own block. In
V0 padding is a layer; in V1 it is a field of the convolution or pooling layer after it.
"""

from __future__ import annotations

from minicaffe.errors import SchemaError
from minicaffe.log import logger
from minicaffe.schema.minicaffe_pb2 import NetParameter, V0LayerParameter, V1LayerParameter

_FILLED = {
    "num_output": "num_output",
    "biasterm": "bias_term",
    "weight_filler": "weight_filler",
    "bias_filler": "bias_filler",
}
_WINDOWS = {"pad": "pad", "kernelsize": "kernel_size", "stride": "stride"}
_SOURCE = {"source": "source", "batchsize": "batch_size"}
_TRANSFORM = {
    "scale": "scale",
    "meanfile": "mean_file",
    "cropsize": "crop_size",
    "mirror": "mirror",
}

# V0 type: (V1 type, the block for its fields, {V0 field: field in that block})
_TYPES: dict[str, tuple[str, str, dict[str, str]]] = {
    "accuracy": ("ACCURACY", "", {}),
    "bnll": ("BNLL", "", {}),
    "concat": ("CONCAT", "concat_param", {"concat_dim": "concat_dim"}),
    "conv": ("CONVOLUTION", "convolution_param", {**_FILLED, **_WINDOWS, "group": "group"}),
    "data": ("DATA", "data_param", {**_SOURCE, "rand_skip": "rand_skip"}),
    "dropout": ("DROPOUT", "dropout_param", {"dropout_ratio": "dropout_ratio"}),
    "euclidean_loss": ("EUCLIDEAN_LOSS", "", {}),
    "flatten": ("FLATTEN", "", {}),
    "hdf5_data": ("HDF5_DATA", "hdf5_data_param", _SOURCE),
    "hdf5_output": ("HDF5_OUTPUT", "", {}),
    "im2col": ("IM2COL", "convolution_param", _WINDOWS),
    "images": (
        "IMAGE_DATA",
        "image_data_param",
        {
            **_SOURCE,
            "rand_skip": "rand_skip",
            "shuffle_images": "shuffle",
            "new_height": "new_height",
            "new_width": "new_width",
        },
    ),
    "infogain_loss": ("INFOGAIN_LOSS", "infogain_loss_param", {"source": "source"}),
    "innerproduct": ("INNER_PRODUCT", "inner_product_param", _FILLED),
    "lrn": ("LRN", "lrn_param", {name: name for name in ("local_size", "alpha", "beta", "k")}),
    "multinomial_logistic_loss": ("MULTINOMIAL_LOGISTIC_LOSS", "", {}),
    "pool": ("POOLING", "pooling_param", {**_WINDOWS, "pool": "pool"}),
    "relu": ("RELU", "", {}),
    "sigmoid": ("SIGMOID", "", {}),
    "softmax": ("SOFTMAX", "", {}),
    "softmax_loss": ("SOFTMAX_LOSS", "", {}),
    "split": ("SPLIT", "", {}),
    "tanh": ("TANH", "", {}),
    "window_data": (
        "WINDOW_DATA",
        "window_data_param",
        {
            **_SOURCE,
            "det_fg_threshold": "fg_threshold",
            "det_bg_threshold": "bg_threshold",
            "det_fg_fraction": "fg_fraction",
            "det_context_pad": "context_pad",
            "det_crop_mode": "crop_mode",
        },
    ),
}


def upgrade_v0(net: NetParameter, path: str) -> list[int]:
    """Upgrade all V0 layers of a net to V1, in place.

    Returns
    -------
    list of int
        For each remaining layer, its previous index; padding layers are removed.

    Raises
    ------
    SchemaError
        A type is unknown, or a padding layer precedes a layer that cannot pad.
    """
    indices = _fold_padding(net, path)
    layers = [net.layers[index] for index in indices]
    upgraded = [
        _upgrade_layer(layer, path) if layer.HasField("layer") else layer for layer in layers
    ]
    copies = [V1LayerParameter.FromString(layer.SerializePartialToString()) for layer in upgraded]
    del net.layers[:]
    net.layers.extend(copies)
    return indices


def _fold_padding(net: NetParameter, path: str) -> list[int]:
    """Move the pad of padding layers to the layers after them; return the other layers' indices."""
    padded: dict[str, V1LayerParameter] = {}  # by the name of the padded blob
    indices = []
    for index, layer in enumerate(net.layers):
        if layer.layer.type == "padding":
            if len(layer.bottom) != 1 or len(layer.top) != 1:
                raise SchemaError(
                    f'{path}: padding layer "{layer.layer.name}" has {len(layer.bottom)} bottoms '
                    f"and {len(layer.top)} tops; it must have one of each"
                )
            padded[layer.top[0]] = layer
            continue
        for position, bottom in enumerate(layer.bottom):
            if bottom in padded:
                _set_pad(layer, position, padded[bottom], path)
        for top in layer.top:
            padded.pop(top, None)
        indices.append(index)
    return indices


def _set_pad(layer: V1LayerParameter, position: int, padding: V1LayerParameter, path: str) -> None:
    """Set the pad of a layer and connect it to the bottom of the padding layer."""
    if layer.layer.type not in ("conv", "pool"):
        raise SchemaError(
            f'{path}: layer "{layer.layer.name}" ({layer.layer.type}) reads from padding layer '
            f'"{padding.layer.name}"; only conv and pool can pad. Upgrade this net manually'
        )
    layer.layer.pad = padding.layer.pad
    layer.bottom[position] = padding.bottom[0]


def _upgrade_layer(old: V1LayerParameter, path: str) -> V1LayerParameter:
    v0 = old.layer
    if v0.type not in _TYPES:
        raise SchemaError(
            f'{path}: layer "{v0.name}" has the unknown V0 type "{v0.type}". '
            f"Known: {', '.join(_TYPES)}"
        )
    new = V1LayerParameter(bottom=old.bottom, top=old.top, name=v0.name)
    new.type = V1LayerParameter.LayerType.Value(_TYPES[v0.type][0])  # type: ignore[assignment]
    new.blobs.extend(v0.blobs)
    new.blobs_lr.extend(v0.blobs_lr)
    new.weight_decay.extend(v0.weight_decay)
    _move_settings(v0, new, path)
    return new


def _move_settings(v0: V0LayerParameter, new: V1LayerParameter, path: str) -> None:
    _, block, fields = _TYPES[v0.type]
    for field, value in v0.ListFields():
        if field.name in ("name", "type", "blobs", "blobs_lr", "weight_decay"):
            continue
        if field.name in _TRANSFORM:
            setattr(new.transform_param, _TRANSFORM[field.name], value)
        elif field.name == "hdf5_output_param" and v0.type == "hdf5_output":
            new.hdf5_output_param.CopyFrom(value)
        elif field.name not in fields:
            logger.error("Unknown parameter %s for layer type %s (%s)", field.name, v0.type, path)
        else:
            _set(getattr(new, block), fields[field.name], value)


def _set(block: object, name: str, value: object) -> None:
    """Set a field that is a single value, a repeated field, or a message."""
    target = getattr(block, name)
    if hasattr(target, "CopyFrom"):
        target.CopyFrom(value)
    elif hasattr(target, "append"):
        target.append(value)
    else:
        setattr(block, name, value)
