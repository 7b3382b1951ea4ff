"""Images of the training data beside random versions of them, as the net reads these."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.data.augmentation import AUGMENTATION_FIELDS
from minicaffe.data.batches import ImageBatches, ImagePreview
from minicaffe.data.datum import ImageArray
from minicaffe.errors import DataError, NetError
from minicaffe.layers.batch_layer import ImageBatchLayer
from minicaffe.layers.context import LayerContext
from minicaffe.layers.registry import layer_class
from minicaffe.log import logger
from minicaffe.net.include_rules import filter_layers
from minicaffe.ops.backend import Backend
from minicaffe.pictures.grid import Pixels, before_and_after
from minicaffe.schema import TRAIN, NetSource, NetState, read_net

if TYPE_CHECKING:
    from PIL.Image import Image

_SEED = 1
_LARGEST = 255
_COLOURS = 3  # channels
# Fields of transform_param, besides augmentation, that change what is seen.
_OTHERS = ("mirror", "crop_size", "crop_h", "crop_w", "mixup_alpha")


def augmented_images(path: str, backend: Backend, n_images: int, n_versions: int) -> Image:
    """Draw images of a net's training data, each followed by random versions.

    Parameters
    ----------
    path : str
        The net's prototxt.
    backend : Backend
        The layer that reads the data belongs to it.
    n_images, n_versions : int

    Raises
    ------
    NetError
        If no layer of the training net reads images.
    DataError
        If the images cannot be read or shown.
    """
    source = read_net(path)
    layer = _image_layer(source, backend)
    with closing(layer), closing(layer.open()) as batches:
        if not isinstance(batches, ImageBatches):
            raise DataError(
                f"{layer.where}: its images cannot be shown, because {layer.type} changes them "
                "together with boxes or label images. Data and ImageData can be shown."
            )
        previews = batches.preview(n_images, n_versions)
    if all((one == seen.versions[0]).all() for seen in previews for one in seen.versions[1:]):
        logger.warning(
            f"{layer.where}: all versions of an image are the same, because transform_param has no "
            "random change. Add mirror, random_resized_crop or cutout."
        )
    return _draw(layer, previews)


def _image_layer(source: NetSource, backend: Backend) -> ImageBatchLayer:
    """Return the first layer of the training net that reads images."""
    for node in filter_layers(source, NetState(phase=TRAIN)):
        kind = layer_class(node.param.type)
        if issubclass(kind, ImageBatchLayer) and kind.has_own_source:
            return kind(node.param, LayerContext(node.where(source), True, backend, _SEED))
    raise NetError(
        f"{source.where()}: no layer of the training net reads images from files. Give the net "
        "that is trained, with a layer such as Data or ImageData."
    )


def _draw(layer: ImageBatchLayer, previews: list[ImagePreview]) -> Image:
    transform = layer.param.transform_param
    reverses = transform.bgr2rgb or transform.cvt_bgr2rgb
    fields = ", ".join(_visible_fields(layer)) or "nothing that can be seen"
    _, rows, columns = previews[0].versions[0].shape
    title = f"{layer.where}: transform_param with {fields}; the net reads {rows} x {columns} pixels"
    sheet = []
    for seen in previews:
        _, height, width = seen.original.shape
        lines = [
            seen.record.key.decode("utf-8", "replace"),
            f"label {seen.record.label:g}, {height} x {width}",
        ]
        versions = [one[::-1] if reverses else one for one in seen.versions]
        sheet.append((_pixels(seen.original), lines, [_pixels(one) for one in versions]))
    return before_and_after(sheet, title)


def _visible_fields(layer: ImageBatchLayer) -> Iterator[str]:
    for field, _ in layer.param.transform_param.ListFields():
        if field.name in AUGMENTATION_FIELDS or field.name in _OTHERS:
            yield field.name


def _pixels(image: ImageArray) -> Pixels:
    """Return an image of three channels, or of one without its axis; others show their first."""
    pixels = np.rint(image).clip(0, _LARGEST).astype(np.uint8)
    return pixels if len(pixels) == _COLOURS else pixels[0]
