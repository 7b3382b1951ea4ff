r"""Draw the filters of a net, its activations for an image, or augmented training images.

filters draws the kernels of a convolution (the first one, or --layer): one tile for each filter of
one or three channels, otherwise a row of tiles for each. activations draws a blob's feature maps
for an image (--image), or for the first sample of the net's own data. The number of a filter or of
a channel is above its tile; --zoom sets the size of the tiles. augment draws images of the training
data, each followed by random versions as the net reads them, before mean and scale.

Example:
  minicaffe show filters --weights lenet_iter_10000.caffemodel --output conv1.png
  minicaffe show activations --model models/lenet/deploy.prototxt \
      --weights lenet_iter_10000.caffemodel --blob conv1 --image digit.png \
      --input_scale 0.00390625 --output maps.png
  minicaffe show augment lenet_train_test.prototxt -o augmented.png
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from minicaffe.atomic_file import write_atomically
from minicaffe.cli.flags import flag, positional
from minicaffe.cli.options.backend import BackendFlags, choose_backend
from minicaffe.cli.options.files import weights_files
from minicaffe.errors import NetError, SnapshotError, UsageError, nearest
from minicaffe.log import logger

if TYPE_CHECKING:
    from PIL.Image import Image

    from minicaffe.net import Net

# The flags that only some pictures read, with their defaults.
_OF_IMAGE = {"mean": "", "input_scale": 1.0}
_FLAGS: dict[str, dict[str, object]] = {
    "filters": {"weights": "", "layer": ""},
    "activations": {"weights": "", "model": "", "blob": "", "image": "", **_OF_IMAGE},
    "augment": {"model": "", "images": 4, "versions": 7},
}


class ShowFlags(BackendFlags):
    """Flags of the command."""

    what: str = positional(choices=tuple(_FLAGS), help="what to draw")
    net: str = positional(
        nargs="?", default="", metavar="NET", help="net prototxt, the same as --model"
    )
    weights: str = flag(
        metavar="FILE",
        type=weights_files,
        help="trained weights, or a run: RUN/best; for filters and activations",
    )
    layer: str = flag(metavar="NAME", help="layer of the filters")
    model: str = flag(metavar="FILE", help="net prototxt, for activations and augment")
    blob: str = flag(metavar="NAME", help="blob of the activations")
    image: str = flag(metavar="FILE", help="image for the net's input")
    mean: str = flag(metavar="MEAN", help="mean file, or numbers, subtracted from the image")
    input_scale: float = flag(default=1.0, help="factor applied after the mean is subtracted")
    images: int = flag(default=4, at_least=1, metavar="N", help="images to augment")
    versions: int = flag(default=7, at_least=1, metavar="N", help="versions of each image")
    zoom: int | None = flag(
        metavar="N", at_least=1, help="pixels for each value, along a side (default: 96 a tile)"
    )
    output: str = flag("--output", "-o", metavar="FILE", help="image file (default: WHAT.png)")


def run(flags: ShowFlags) -> int:
    """Draw."""
    from minicaffe.data.image import image_format

    if flags.net and flags.model:
        raise UsageError(f"the net is given twice: {flags.net} and --model={flags.model}")
    flags.model = flags.model or flags.net
    _warn_of_unread_flags(flags)
    if "weights" in _FLAGS[flags.what] and not flags.weights:
        raise UsageError(f"show {flags.what} needs trained weights: --weights=FILE")
    output = flags.output or f"{flags.what}.png"
    kind = image_format(Path(output).suffix[1:])
    image = {"filters": _filters, "activations": _activations, "augment": _augmented}[flags.what](
        flags
    )
    with write_atomically(output) as file:
        image.save(file, kind)
    logger.info("Wrote %s", output)
    return 0


def _warn_of_unread_flags(flags: ShowFlags) -> None:
    read = set(_FLAGS[flags.what])
    without = ""
    if flags.what == "activations" and not flags.image:
        read -= set(_OF_IMAGE)
        without = " without --image"
    defaults = {name: default for flags_of in _FLAGS.values() for name, default in flags_of.items()}
    for name, default in defaults.items():
        if name not in read and getattr(flags, name) != default:
            of = without if name in _OF_IMAGE else ""
            logger.warning(f"--{name} has no effect on {flags.what}{of}. Remove it.")


def _filters(flags: ShowFlags) -> Image:
    from minicaffe.pictures.layer_values import filter_image, filters_of
    from minicaffe.schema import read_net_weights

    kernels = filters_of(read_net_weights(flags.weights))
    if not kernels:
        raise SnapshotError(
            f"{flags.weights}: no layer has filters of more than one pixel. Give the weights of a "
            "net with convolutions."
        )
    name = flags.layer or next(iter(kernels))
    if name not in kernels:
        raise SnapshotError(f'{flags.weights}: no filters "{name}". {nearest(name, kernels)}')
    return filter_image(name, kernels[name], flags.zoom)


def _activations(flags: ShowFlags) -> Image:
    if not flags.model or not flags.blob:
        raise UsageError("show activations needs a net and a blob: --model=FILE --blob=NAME")
    from minicaffe.net import Net
    from minicaffe.net.weights import copy_trained_layers
    from minicaffe.pictures.layer_values import activation_image

    with closing(Net(flags.model, "TEST", backend=choose_backend(flags, model=flags.model))) as net:
        if flags.blob not in net.blobs:
            raise NetError(
                f'{flags.model}: no blob "{flags.blob}". {nearest(flags.blob, net.blobs)}'
            )
        copy_trained_layers(net, flags.weights)
        if flags.image:
            _set_input(net, flags)
        elif net.inputs:
            raise UsageError(f"{flags.model} has no data layer; give an image with --image=FILE")
        # Later layers are not needed.
        sources = [k for k, step in enumerate(net.steps) if net.blobs[flags.blob] in step.top]
        net.forward(end=sources[-1])
        return activation_image(flags.blob, net.blobs[flags.blob].data.get(), flags.zoom)


def _set_input(net: Net, flags: ShowFlags) -> None:
    from minicaffe.data.mean import channel_means
    from minicaffe.data.preparation import prepare
    from minicaffe.prediction.opening import image_input_shape

    shape = image_input_shape(net, flags.model)
    mean = channel_means(flags.mean, shape[0])
    net.inputs[0].reshape((1, *shape))
    net.inputs[0].data.set(prepare(flags.image, shape, mean, flags.input_scale)[None])


def _augmented(flags: ShowFlags) -> Image:
    from minicaffe.cli.commands._augmented_images import augmented_images

    if not flags.model:
        raise UsageError("show augment needs the net that is trained: show augment NET.prototxt")
    backend = choose_backend(flags, model=flags.model)
    return augmented_images(flags.model, backend, flags.images, flags.versions)
