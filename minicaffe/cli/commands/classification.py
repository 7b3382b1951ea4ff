r"""Classify pictures: print the five likeliest classes of each.

Pictures are resized to the net's input, and the mean of each channel of MEAN is subtracted. MEAN is
a .binaryproto or .npy file, or one number for each channel (104,117,123), or 0. LABELS has the name
of a class in each line. Several pictures and folders may be given.

Example:
  minicaffe classification models/caffenet/deploy.prototxt caffenet.caffemodel \
      imagenet_mean.binaryproto synset_words.txt cat.jpg
  minicaffe classification models/lenet/deploy.prototxt lenet_iter_10000.caffemodel 0 \
      digits.txt pictures/ --input_scale 0.00390625
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minicaffe.cli.options import backend as device
from minicaffe.data.mean import channel_means
from minicaffe.data.preparation import find_images, prepare, read_classes
from minicaffe.errors import NetError
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers
from minicaffe.ops.backend import HostArray

_TOP = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", metavar="DEPLOY", help="the net prototxt, with an Input layer")
    parser.add_argument("weights", metavar="WEIGHTS", help="the trained weights")
    parser.add_argument("mean", metavar="MEAN", help="mean file, or numbers")
    parser.add_argument("labels", metavar="LABELS", help="file with a class name in each line")
    parser.add_argument("images", metavar="IMG", nargs="+", help="pictures or folders of pictures")
    parser.add_argument(
        "--input_scale",
        type=float,
        default=1.0,
        help="factor after the mean is subtracted (%(default)s)",
    )
    device.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Classify."""
    images = find_images(args.images)
    net = Net(args.model, "TEST", backend=device.choose(args))
    try:
        copy_trained_layers(net, args.weights)
        shape = input_shape(net, args.model)
        n_classes = net.outputs[0].count // net.outputs[0].shape[0]
        labels = read_classes(args.labels, n_classes)
        mean = channel_means(args.mean, shape[0])
        net.inputs[0].reshape((1, *shape))
        for path in images:
            net.inputs[0].data.set(prepare(path, shape, mean, args.input_scale)[None])
            net.forward()
            print_best(path, net.outputs[0].data.get().ravel(), labels)
    finally:
        net.close()
    return 0


def input_shape(net: Net, path: str | Path) -> tuple[int, int, int]:
    """Return channels, rows and columns of the net's one input for pictures.

    Raises
    ------
    NetError
        If it has none, several, or one for something else.
    """
    shapes = [blob.shape for blob in net.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] not in (1, 3):
        raise NetError(
            f"{path}: needs one input of shape (N, 1 or 3, rows, columns) for pictures; it has "
            f"{shapes or 'none'}. Use the deploy net"
        )
    _, channels, height, width = shapes[0]
    return channels, height, width


def print_best(path: str, scores: HostArray, labels: Sequence[str]) -> None:
    """Print the five largest scores of a picture."""
    print(f"---------- Prediction for {path} ----------")
    for k in np.argsort(-scores, kind="stable")[:_TOP]:
        print(f'{scores[k]:.4f} - "{labels[k]}"')
