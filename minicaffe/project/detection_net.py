"""The net of models/ssd_scenes, adapted to the objects of a project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message

from minicaffe.project.net_texts import ImageInput, value_lines
from minicaffe.project.plan import TrainingPlan
from minicaffe.schema import LayerParameter, NetParameter, format_prototxt, read_net

# The sizes of its prior boxes are pixels of images of this size.
SIZE = 128
# Ends the names of the layers with a score for each class and prior box.
_SCORES = "mbox_conf"


def detection_net(path: str, name: str, images: ImageInput, plan: TrainingPlan, n: int) -> str:
    """Return the prototxt of a net for training and validation.

    Parameters
    ----------
    path : str
        The prototxt of ssd_scenes.
    name : str
    images : ImageInput
    plan : TrainingPlan
    n : int
        Number of classes, the background among them.
    """
    param = NetParameter()
    param.CopyFrom(read_net(path).param)
    layers = [layer for layer in param.layer if layer.bottom]
    old = max(layer.multibox_loss_param.num_classes for layer in layers)
    for layer in layers:
        _set_classes(layer, old, n)
    return (
        f'name: "{name}"\n\n'
        "# Data: images with boxes, in batches. A pass through all training images is an epoch.\n"
        f"{_data(images, plan.batch, True)}{_data(images, plan.test_batch, False)}\n"
        "# The net: SSD (Liu and others 2016). Layers that end in mbox_loc and mbox_conf predict,\n"
        "# for each prior box, the place of an object and the scores of the classes.\n"
        f"# num_classes: {n} are the classes of labelmap.prototxt, the background among them.\n"
        f"{format_prototxt(NetParameter(layer=layers))}"
    )


def _set_classes(layer: LayerParameter, old: int, new: int) -> None:
    """Set the number of classes wherever a layer has it."""
    if layer.name.endswith(_SCORES) and layer.HasField("convolution_param"):
        layer.convolution_param.num_output = layer.convolution_param.num_output // old * new
    dims: Sequence[int] = layer.reshape_param.shape.dim
    if old in dims:
        layer.reshape_param.shape.dim[:] = [new if dim == old else dim for dim in dims]
    settings: list[Any] = [value for _, value in layer.ListFields()]
    for message in settings:
        if isinstance(message, Message) and "num_classes" in message.DESCRIPTOR.fields_by_name:
            message.num_classes = new  # type: ignore[attr-defined]  # checked in its descriptor


def _data(images: ImageInput, batch: int, is_training: bool) -> str:
    phase, source = ("TRAIN", "train_lmdb") if is_training else ("TEST", "val_lmdb")
    who = "this layer is used for training" if is_training else "this one is used for validation"
    mirror = "    mirror: true        # half of the images are mirrored, with their boxes\n"
    return f"""layer {{
  name: "data"
  type: "AnnotatedData"  # reads images with boxes from a database
  top: "data"           # a batch of images: {batch} x 3 x {SIZE} x {SIZE}
  top: "label"          # the objects of all images: class and box
  include {{ phase: {phase} }}  # {who}
  transform_param {{
    resize_param {{ height: {SIZE} width: {SIZE} }}
{mirror if is_training else ""}{value_lines(images)}  }}
  data_param {{ source: "{source}" backend: LMDB batch_size: {batch} }}
  annotated_data_param {{ anno_type: BBOX }}
}}
"""
