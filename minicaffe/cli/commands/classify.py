r"""Classify pictures as Caffe's classify.py does, and save the scores.

INPUT is a picture, a folder (of files that end in --ext) or a .npy array of pictures (N x rows x
columns x channels, RGB, 0 to 1). OUTPUT is a .npy array, N x classes: the mean over ten crops, or
the centre only. With --labels, the five likeliest classes are printed as well.

Example:
  minicaffe classify pictures/ scores.npy --model_def models/caffenet/deploy.prototxt \
      --pretrained_model caffenet.caffemodel --labels synset_words.txt
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from minicaffe.atomic_file import write_atomically
from minicaffe.cli.commands.classification import print_best
from minicaffe.cli.options import preprocessing
from minicaffe.data.preparation import read_classes
from minicaffe.errors import DataError
from minicaffe.ops.backend import HostArray


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("input_file", metavar="INPUT", help="picture, folder or .npy")
    parser.add_argument("output_file", metavar="OUTPUT", help=".npy file to write")
    preprocessing.add_arguments(parser)
    parser.add_argument(
        "--center_only", action="store_true", help="look at the centre only, not at ten crops"
    )
    parser.add_argument(
        "--images_dim",
        default="256,256",
        help="rows and columns to resize to before cropping (%(default)s)",
    )
    parser.add_argument("--ext", default="jpg", help="ending of pictures in a folder (%(default)s)")
    parser.add_argument("--labels", default="", metavar="FILE", help="names of the classes")


def run(args: argparse.Namespace) -> int:
    """Load, classify, save."""
    from minicaffe.pycaffe import Classifier

    image_dims = preprocessing.whole_numbers(args.images_dim, "images_dim", 2)
    options = preprocessing.options(args)
    preprocessing.choose_mode(args)
    classifier = Classifier(args.model_def, args.pretrained_model, image_dims, **options)
    names, pictures = _load(args, color=classifier.blobs[classifier.inputs[0]].shape[1] == 3)
    print(f"Classifying {len(pictures)} inputs.")
    began = time.perf_counter()
    scores = classifier.predict(pictures, not args.center_only)
    print(f"Done in {time.perf_counter() - began:.2f} s.")
    print(f"Saving results into {args.output_file}")
    with write_atomically(args.output_file) as file:
        np.save(file, scores)
    if args.labels:
        labels = read_classes(args.labels, scores[0].size)
        for name, one in zip(names, scores, strict=True):
            print_best(name, one.ravel(), labels)
    return 0


def _load(args: argparse.Namespace, color: bool) -> tuple[list[str], list[HostArray]]:
    """Return names and pictures of INPUT: rows x columns x channels, 0 to 1."""
    from minicaffe.pycaffe.images import load_image

    path = Path(args.input_file)
    if path.suffix == ".npy":
        print(f"Loading file: {path}")
        return _load_array(path)
    if path.is_dir():
        print(f"Loading folder: {path}")
        files = sorted(path.glob(f"*.{args.ext}"))
        if not files:
            raise DataError(f"{path}: no file in this folder ends in .{args.ext}; see --ext")
    else:
        print(f"Loading image file: {path}")
        files = [path]
    try:
        return [str(file) for file in files], [load_image(file, color) for file in files]
    except OSError as error:
        raise DataError(f"{path}: a picture cannot be read: {error}") from error


def _load_array(path: Path) -> tuple[list[str], list[HostArray]]:
    try:
        array = np.load(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a NumPy array: {error}") from error
    if array.ndim != 4 or not len(array):
        raise DataError(f"{path}: an array of shape {array.shape}; must be N x rows x columns x 3")
    return [f"{path}[{k}]" for k in range(len(array))], list(array)
