"""The prototxt of the net to deploy, made from that of the training net."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from google.protobuf.message import Message

from minicaffe.errors import MinicaffeError, NetError
from minicaffe.layers import LAYERS
from minicaffe.log import suppress_info
from minicaffe.net import Net
from minicaffe.net.deployment.data_layer import data_layer, stored_image_shape
from minicaffe.net.deployment.inference_net import inference_net, with_batch
from minicaffe.ops.backend import Shape
from minicaffe.schema import (
    TEST,
    LayerParameter,
    NetParameter,
    NetSource,
    NetState,
    format_prototxt,
)

# What the names of training nets end in, and what replaces it.
_ENDINGS = ("train_val", "train_test", "trainval", "train")
_DEPLOY = "deploy"


def deploy_path(path: Path) -> Path:
    """Return the usual name beside a training net: train_val.prototxt gives deploy.prototxt."""
    for ending in _ENDINGS:
        if path.stem.endswith(ending):
            return path.with_name(f"{path.stem.removesuffix(ending)}{_DEPLOY}.prototxt")
    return path.with_name(f"{path.stem}_{_DEPLOY}.prototxt")


def make_deploy_net(
    source: NetSource, state: NetState, batch: int | None, image: Shape = ()
) -> NetParameter:
    """Return the net to deploy, which has been built once; logs each layer that changes.

    Parameters
    ----------
    source : NetSource
        The training net.
    state : NetState
        Level and stages for rules of layers; the phase is TEST.
    batch : int, optional
        Number of images; by default 1, or for inputs that are no images that of the net.
    image : tuple of int
        Channels, rows and columns of the input; by default those of the data.

    Raises
    ------
    NetError
        If the size of the input is not known, or nothing in the net is to be deployed.
    """
    state.phase = TEST
    shape, problem = image, ""
    node = data_layer(source, state)
    if node is not None and not image:
        try:
            shape = stored_image_shape(source, node)
        except MinicaffeError as error:
            problem = str(error)
    try:
        deployed = inference_net(source, state, shape)
    except NetError as error:
        if problem:
            error.add_note(f"It could not be read from the data: {problem}")
        raise
    shapes = _input_shapes(deployed)
    if not shapes:
        raise NetError(
            f"{source.path}: no layer becomes an input of a deployed net. Give the net that was "
            "trained, with its data layers"
        )
    if batch is None and len(shapes[0]) == 4:
        batch = 1
    deployed = with_batch(deployed, batch)
    with suppress_info(), closing(Net(deployed, state, seed=0, fills=False)):
        return deployed.param


def _input_shapes(source: NetSource) -> list[Shape]:
    return [
        tuple(shape.dim)
        for layer in source.param.layer
        if layer.type in LAYERS and LAYERS[layer.type].is_filled_by_program
        for shape in layer.input_param.shape
    ]


def deploy_text(param: NetParameter, origin: str) -> str:
    """Return the prototxt of a net to deploy, without settings of its training.

    Parameters
    ----------
    param : NetParameter
    origin : str
        The training net, for the comment.
    """
    plain = NetParameter()
    plain.CopyFrom(param)
    for layer in plain.layer:
        _remove_training(layer)
    return (
        f"# The net of {origin} as it is used: an input instead of data, probabilities instead of\n"
        "# a loss. Written by: minicaffe deploy\n" + format_prototxt(plain)
    )


def _remove_training(layer: LayerParameter) -> None:
    for field in ("loss_weight", "propagate_down"):
        layer.ClearField(field)
    if any(spec.name for spec in layer.param):  # which shares parameters
        for spec in layer.param:
            spec.ClearField("lr_mult")
            spec.ClearField("decay_mult")
    else:
        layer.ClearField("param")
    for _, settings in layer.ListFields():
        for name in ("weight_filler", "bias_filler"):
            if name in _field_names(settings):
                settings.ClearField(name)


def _field_names(settings: object) -> Collection[str]:
    return settings.DESCRIPTOR.fields_by_name if isinstance(settings, Message) else ()
