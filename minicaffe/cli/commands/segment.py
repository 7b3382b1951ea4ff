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

from contextlib import closing
from pathlib import Path

import numpy as np

from minicaffe.analysis.confusion import Counts
from minicaffe.analysis.segmentation import add_pixels, segmentation_report
from minicaffe.atomic_file import write_atomically
from minicaffe.cli.commands._image_names import png_names
from minicaffe.cli.flags import flag, positional
from minicaffe.cli.options.backend import BackendFlags, choose_backend
from minicaffe.cli.options.files import WEIGHTS_ARGUMENT
from minicaffe.cli.options.log import LogFlags
from minicaffe.data.image import Pixels, image_content, read_label_image
from minicaffe.data.mean import parse_channel_mean
from minicaffe.data.preparation import find_images
from minicaffe.errors import DataError
from minicaffe.pictures.palette import label_png
from minicaffe.prediction import ModelFiles, PixelValues, class_name, open_image_model
from minicaffe.prediction.preparation_check import warn_of_other_preparation


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
    values = PixelValues(parse_channel_mean(flags.mean), flags.input_scale)
    warn_of_other_preparation(flags.weights, values)
    files = ModelFiles(flags.weights, flags.model, flags.labels, values=values)
    with closing(open_image_model(files, choose_backend(flags), "segment")) as model:
        counts = np.zeros((model.n_classes, model.n_classes), np.int64)
        for path, name in zip(images, names, strict=True):
            (answer,) = model.predict([model.prepare(image_content(path), path)])
            with write_atomically(output / name) as file:
                file.write(label_png(answer.classes))
            print(output / name)
            if flags.truth:
                _compare(counts, Path(flags.truth) / name, answer.classes, flags.ignore_label)
        classes = [class_name(model.labels, k) for k in range(model.n_classes)]
    if flags.truth:
        for line in segmentation_report(counts, classes):
            print(line)
    return 0


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
