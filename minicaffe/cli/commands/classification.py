r"""Classify images and print the five most likely classes of each.

Images are resized to the net's input, and the mean of each channel of MEAN is subtracted. MEAN is a
.binaryproto or .npy file, or one number for each channel (104,117,123), or 0. Each line of LABELS
is the name of a class. Several images and folders may be given.

Example:
  minicaffe classification models/caffenet/deploy.prototxt caffenet.caffemodel \
      imagenet_mean.binaryproto synset_words.txt cat.jpg
  minicaffe classification models/lenet/deploy.prototxt lenet_iter_10000.caffemodel 0 \
      digits.txt images/ --input_scale 0.00390625
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import numpy as np

from minicaffe.cli.flags import flag, positional
from minicaffe.cli.options.backend import BackendFlags, choose_backend
from minicaffe.cli.options.files import WEIGHTS_ARGUMENT
from minicaffe.cli.options.log import LogFlags
from minicaffe.data.mean import channel_means
from minicaffe.data.preparation import find_images, prepare, read_classes
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers
from minicaffe.ops.backend import HostArray
from minicaffe.prediction import PixelValues
from minicaffe.prediction.opening import image_input_shape
from minicaffe.prediction.preparation_check import warn_of_other_preparation

_TOP = 5


class ClassificationFlags(LogFlags, BackendFlags):
    """Flags of the command."""

    model: str = positional(metavar="DEPLOY", help="net prototxt with an Input layer")
    weights: str = WEIGHTS_ARGUMENT
    mean: str = positional(metavar="MEAN", help="mean file, or numbers")
    labels: str = positional(metavar="LABELS", help="file with one class name per line")
    images: list[str] = positional(metavar="IMG", nargs="+", help="images or folders of images")
    input_scale: float = flag(default=1.0, help="factor applied after the mean is subtracted")


def run(flags: ClassificationFlags) -> int:
    """Classify."""
    flags.shorten_log()
    images = find_images(flags.images)
    with closing(Net(flags.model, "TEST", backend=choose_backend(flags, model=flags.model))) as net:
        copy_trained_layers(net, flags.weights)
        shape = image_input_shape(net, flags.model)
        n_classes = net.outputs[0].count // net.outputs[0].shape[0]
        labels = read_classes(flags.labels, n_classes)
        mean = channel_means(flags.mean, shape[0])
        warn_of_other_preparation(flags.weights, PixelValues(mean, flags.input_scale))
        net.inputs[0].reshape((1, *shape))
        for path in images:
            net.inputs[0].data.set(prepare(path, shape, mean, flags.input_scale)[None])
            net.forward()
            print_best(path, net.outputs[0].data.get().ravel(), labels)
    return 0


def print_best(path: str, scores: HostArray, labels: Sequence[str]) -> None:
    """Print the five largest scores of an image."""
    print(f"---------- Prediction for {path} ----------")
    for k in np.argsort(-scores, kind="stable")[:_TOP]:
        print(f'{scores[k]:.4f} - "{labels[k]}"')
