r"""Segment images: write the class of each pixel as an image with a palette.

Images are resized to the net's input, and the mean of each channel is subtracted. The net's output
is one score per class and pixel, (1, classes, rows, columns), or a map of classes, (1, 1, rows,
columns). OUTPUT receives a PNG file of each image's size, named like the image, whose pixels are
the classes, in PASCAL VOC's colours. With --truth, they are compared with true label images of
the same names, and the intersection over union (IoU) of each class is printed.

Example:
  minicaffe segment models/segnet_scenes/deploy.prototxt segnet.caffemodel photos/ \
      --output=labels --mean=104,117,123
"""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image

from minicaffe.analysis.confusion import Counts
from minicaffe.analysis.segmentation import add_pixels, segmentation_report
from minicaffe.atomic_file import write_atomically
from minicaffe.cli.commands._image_names import png_names
from minicaffe.cli.commands.classification import image_input_shape
from minicaffe.cli.flags import flag, positional
from minicaffe.cli.options.backend import BackendFlags, choose_backend
from minicaffe.cli.options.files import WEIGHTS_ARGUMENT
from minicaffe.cli.options.log import LogFlags
from minicaffe.data.image import Pixels, read_image, read_label_image, resize_nearest
from minicaffe.data.mean import channel_means
from minicaffe.data.preparation import find_images, prepare, read_classes
from minicaffe.errors import DataError, NetError
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers
from minicaffe.pictures.palette import class_palette
from minicaffe.project.preparation_check import warn_of_other_preparation

_MOST_CLASSES = 256  # of an image file with a palette


class SegmentFlags(LogFlags, BackendFlags):
    """Flags of the command."""

    model: str = positional(metavar="DEPLOY", help="net prototxt with an Input layer")
    weights: str = WEIGHTS_ARGUMENT
    images: list[str] = positional(metavar="IMG", nargs="+", help="images or folders of images")
    output: str = flag(required=True, metavar="FOLDER", help="folder for the label images")
    mean: str = flag(default="0", help="mean file, or numbers")
    input_scale: float = flag(default=1.0, help="factor applied after the mean is subtracted")
    truth: str = flag(metavar="FOLDER", help="true label images to compare with, NAME.png")
    ignore_label: int = flag(default=255, help="true label of pixels that do not count")
    labels: str = flag(metavar="FILE", help="file with one class name per line, for --truth")


def run(flags: SegmentFlags) -> int:
    """Segment, and compare with the truth."""
    flags.shorten_log()
    images = find_images(flags.images)
    names = png_names(images, "--output")
    output = Path(flags.output)
    output.mkdir(parents=True, exist_ok=True)
    with closing(Net(flags.model, "TEST", backend=choose_backend(flags))) as net:
        copy_trained_layers(net, flags.weights)
        shape = image_input_shape(net, flags.model)
        net.inputs[0].reshape((1, *shape))
        net.reshape()
        n_classes = _count_classes(net, flags)
        classes = read_classes(flags.labels, n_classes) if flags.labels else None
        mean = channel_means(flags.mean, shape[0])
        warn_of_other_preparation(flags.weights, flags.input_scale, mean)
        counts = np.zeros((n_classes, n_classes), np.int64)
        for path, name in zip(images, names, strict=True):
            net.inputs[0].data.set(prepare(path, shape, mean, flags.input_scale)[None])
            net.forward()
            labels = resize_nearest(_label_map(net), *read_image(path).shape[1:])
            _write(output / name, labels)
            print(output / name)
            if flags.truth:
                _compare(counts, Path(flags.truth) / name, labels, flags.ignore_label)
    if flags.truth:
        for line in segmentation_report(
            counts, classes or [f"class {k}" for k in range(n_classes)]
        ):
            print(line)
    return 0


def _count_classes(net: Net, flags: SegmentFlags) -> int:
    """Return the number of classes; of a map of classes, the largest that it can have."""
    shape = net.outputs[0].shape if len(net.outputs) == 1 else ()
    if len(shape) != 4 or shape[0] != 1 or shape[1] > _MOST_CLASSES:
        found = ", ".join(f"{blob.name} {blob.shape}" for blob in net.outputs)
        raise NetError(
            f"{flags.model}: needs one output of shape (1, classes, rows, columns) with at most "
            f"{_MOST_CLASSES} classes; it has {found}. Use the deploy net"
        )
    return shape[1] if shape[1] > 1 else _MOST_CLASSES


def _label_map(net: Net) -> Pixels:
    """Return the classes of the pixels, (1, rows, columns), from the net's output."""
    scores = net.outputs[0].data.get()[0]
    return np.asarray(scores.argmax(axis=0)[None] if len(scores) > 1 else scores, np.uint8)


def _write(path: Path, labels: Pixels) -> None:
    image = Image.fromarray(labels[0], "P")
    image.putpalette(class_palette().tobytes())
    content = io.BytesIO()
    image.save(content, "PNG")
    with write_atomically(path) as file:
        file.write(content.getvalue())


def _compare(counts: Counts, path: Path, labels: Pixels, ignored: int) -> None:
    true = read_label_image(path)
    if true.shape != labels.shape:
        raise DataError(
            f"{path}: {true.shape[1]} x {true.shape[2]} labels for an image of "
            f"{labels.shape[1]} x {labels.shape[2]} pixels (rows x columns); they must be equally "
            "large"
        )
    try:
        add_pixels(counts, true, labels, ignored)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
