r"""Classify images as Caffe's classify.py does, and save the scores.

INPUT is an image, a folder (of files that end in --ext) or a .npy array of images (N x rows x
columns x channels, RGB, 0 to 1). OUTPUT is a .npy array, N x classes: the mean over ten crops, or
the centre crop only. With --labels, the five most likely classes are also printed.

Example:
  minicaffe classify images/ scores.npy --model_def models/caffenet/deploy.prototxt \
      --pretrained_model caffenet.caffemodel --labels synset_words.txt
"""

from __future__ import annotations

import time
from pathlib import Path

from minicaffe.atomic_file import write_atomically
from minicaffe.cli.commands.classification import print_best
from minicaffe.cli.flags import flag, positional
from minicaffe.cli.options.log import LogFlags
from minicaffe.cli.options.preprocessing import PreprocessingFlags, parse_integers
from minicaffe.data.npy import read_npy, write_npy
from minicaffe.data.preparation import read_classes
from minicaffe.errors import DataError
from minicaffe.ops.backend import HostArray


class ClassifyFlags(LogFlags, PreprocessingFlags):
    """Flags of the command."""

    input_file: str = positional(metavar="INPUT", help="image, folder or .npy")
    output_file: str = positional(metavar="OUTPUT", help=".npy file to write; the ending is added")
    center_only: bool = flag(help="classify the centre crop instead of ten crops")
    images_dim: str = flag(default="256,256", help="rows and columns to resize to before cropping")
    ext: str = flag(default="jpg", help="extension of images in a folder")
    labels: str = flag(metavar="FILE", help="file with one class name per line")


def run(flags: ClassifyFlags) -> int:
    """Load, classify, save."""
    flags.shorten_log()
    from minicaffe.pycaffe import Classifier

    image_dims = parse_integers(flags.images_dim, "images_dim", 2)
    preprocessing = flags.preprocessing()
    flags.set_mode()
    classifier = Classifier(flags.model_def, flags.pretrained_model, image_dims, **preprocessing)
    names, images = _load(flags, color=classifier.blobs[classifier.inputs[0]].shape[1] == 3)
    print(f"Classifying {len(images)} inputs.")
    began = time.perf_counter()
    scores = classifier.predict(images, not flags.center_only)
    print(f"Done in {time.perf_counter() - began:.2f} s.")
    print(f"Saving results into {flags.output_file}")
    # np.save of Caffe's classify.py adds the extension to a name without it.
    is_complete = flags.output_file.endswith(".npy")
    with write_atomically(flags.output_file + ("" if is_complete else ".npy")) as file:
        write_npy(file, scores)
    if flags.labels:
        labels = read_classes(flags.labels, scores[0].size)
        for name, one in zip(names, scores, strict=True):
            print_best(name, one.ravel(), labels)
    return 0


def _load(flags: ClassifyFlags, color: bool) -> tuple[list[str], list[HostArray]]:
    """Return names and images of INPUT: rows x columns x channels, 0 to 1."""
    from minicaffe.pycaffe.images import load_image

    path = Path(flags.input_file)
    if path.suffix == ".npy":
        print(f"Loading file: {path}")
        return _load_array(path)
    if path.is_dir():
        print(f"Loading folder: {path}")
        files = sorted(path.glob(f"*.{flags.ext}"))
        if not files:
            raise DataError(f"{path}: the folder has no file that ends in .{flags.ext}; see --ext")
    else:
        print(f"Loading image file: {path}")
        files = [path]
    try:
        return [str(file) for file in files], [load_image(file, color) for file in files]
    except OSError as error:
        raise DataError(f"{path}: an image cannot be read: {error}") from error


def _load_array(path: Path) -> tuple[list[str], list[HostArray]]:
    array = read_npy(path)
    if array.ndim != 4 or not len(array):
        raise DataError(f"{path}: has shape {array.shape}; must be N x rows x columns x 3")
    return [f"{path}[{k}]" for k in range(len(array))], list(array)
