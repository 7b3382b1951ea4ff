r"""Show what a net has learned, and what it does with a picture.

filters draws the kernels of a convolution (the first one, or --layer): one tile for each filter if
they see one or three channels, else a row of tiles for each. activations draws a blob's feature
maps for a picture (--image), or for the first sample of the net's own data.

Example:
  minicaffe show filters --weights lenet_iter_10000.caffemodel --output conv1.png
  minicaffe show activations --model models/lenet/deploy.prototxt \
      --weights lenet_iter_10000.caffemodel --blob conv1 --image digit.png \
      --input_scale 0.00390625 --output maps.png
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.atomic_file import write_atomically
from minicaffe.cli.options import backend as device
from minicaffe.errors import NetError, SnapshotError, UsageError, nearest
from minicaffe.log import logger
from minicaffe.ops.backend import HostArray

if TYPE_CHECKING:
    from PIL.Image import Image

    from minicaffe.net import Net

_MOST_ROWS = 32  # of filters or channels that are no pictures by themselves
_MOST_MAPS = 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("what", choices=("filters", "activations"))
    parser.add_argument("--weights", default="", metavar="FILE", help="the trained weights")
    parser.add_argument("--layer", default="", metavar="NAME", help="layer of the filters")
    parser.add_argument("--model", default="", metavar="FILE", help="net for activations")
    parser.add_argument("--blob", default="", metavar="NAME", help="blob to show")
    parser.add_argument("--image", default="", metavar="FILE", help="picture for the net's input")
    parser.add_argument(
        "--mean", default="", metavar="MEAN", help="mean file, or numbers, to subtract from it"
    )
    parser.add_argument(
        "--input_scale", type=float, default=1.0, help="factor after that (%(default)s)"
    )
    parser.add_argument(
        "--output", default="", metavar="FILE", help=".png or another picture (WHAT.png)"
    )
    device.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Draw."""
    from minicaffe.data.image import image_format

    output = args.output or f"{args.what}.png"
    kind = image_format(Path(output).suffix[1:])
    if not args.weights:
        raise UsageError("show needs trained weights: --weights=FILE")
    picture = _filters(args) if args.what == "filters" else _activations(args)
    with write_atomically(output) as file:
        picture.save(file, kind)
    logger.info("Wrote %s", output)
    return 0


def _filters(args: argparse.Namespace) -> Image:
    from minicaffe.schema import read_net_weights

    kernels = {
        layer.name: layer.blobs[0]
        for layer in read_net_weights(args.weights)
        if layer.blobs and layer.blobs[0].ndim == 4 and layer.blobs[0].shape[2:] != (1, 1)
    }
    # Files from before N-D blobs give the weights of every layer four axes.
    kernels = {name: w for name, w in kernels.items() if w.shape[:2] != (1, 1)}
    if not kernels:
        raise SnapshotError(
            f"{args.weights}: no layer has filters of more than one pixel. Give the weights of a "
            "net with convolutions."
        )
    name = args.layer or next(iter(kernels))
    if name not in kernels:
        raise SnapshotError(f'{args.weights}: no filters "{name}". {nearest(name, kernels)}')
    return filter_picture(name, kernels[name])


def filter_picture(name: str, kernels: HostArray) -> Image:
    """Return the filters of a layer, shape (filters, channels, rows, columns), as a picture."""
    from minicaffe.pictures.grid import enlargement, tile_grid, to_pixels

    n, channels, height, width = kernels.shape
    # Grey is zero, so that excitation is light and inhibition dark.
    limit = float(np.abs(kernels).max())
    pixels = to_pixels(kernels, -limit, limit)
    caption = f"{name}: {n} filters, {channels} x {height} x {width}, -{limit:.3g} to {limit:.3g}"
    if channels in (1, 3):
        tiles = [tile if channels == 3 else tile[0] for tile in pixels]
        across = math.ceil(math.sqrt(n))
    else:
        rows, across = min(n, _MOST_ROWS), min(channels, _MOST_ROWS)
        caption += "; a row is a filter, a column a channel"
        if (rows, across) != (n, channels):
            caption += f" (the first {rows} and {across})"
        tiles = [tile for one in pixels[:rows] for tile in one[:across]]
    return tile_grid(tiles, across, caption, enlargement(height, width, across))


def _activations(args: argparse.Namespace) -> Image:
    if not args.model or not args.blob:
        raise UsageError("show activations needs a net and a blob: --model=FILE --blob=NAME")
    from minicaffe.net import Net
    from minicaffe.net.weights import copy_trained_layers

    net = Net(args.model, "TEST", backend=device.choose(args))
    try:
        if args.blob not in net.blobs:
            raise NetError(f'{args.model}: no blob "{args.blob}". {nearest(args.blob, net.blobs)}')
        copy_trained_layers(net, args.weights)
        if args.image:
            _feed(net, args)
        elif net.inputs:
            raise UsageError(
                f"{args.model} has no data of its own; give it a picture: --image=FILE"
            )
        # Layers behind the blob might change it in place, and are not needed.
        makers = [k for k, step in enumerate(net.steps) if net.blobs[args.blob] in step.top]
        net.forward(end=makers[-1])
        return activation_picture(args.blob, net.blobs[args.blob].data.get())
    finally:
        net.close()


def _feed(net: Net, args: argparse.Namespace) -> None:
    from minicaffe.cli.commands.classification import input_shape
    from minicaffe.data.mean import channel_means
    from minicaffe.data.preparation import prepare

    shape = input_shape(net, args.model)
    mean = channel_means(args.mean, shape[0])
    net.inputs[0].reshape((1, *shape))
    net.inputs[0].data.set(prepare(args.image, shape, mean, args.input_scale)[None])


def activation_picture(name: str, values: HostArray) -> Image:
    """Return the maps of a blob's first sample as tiles, or as bars if it has none."""
    from minicaffe.pictures.grid import bar_chart, enlargement, tile_grid, to_pixels

    sample = values[0] if values.ndim > 1 else values
    finite = sample[np.isfinite(sample)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    shape = " x ".join(map(str, sample.shape))
    caption = f"{name}: {shape}, {low:.3g} to {high:.3g}"
    if finite.size < sample.size:
        caption += f", {sample.size - finite.size} values not finite"
    if sample.ndim < 3 or sample.shape[1:] == (1, 1):
        flat = sample.ravel()
        best = ", ".join(f"{k} ({flat[k]:.3g})" for k in np.argsort(-flat, kind="stable")[:5])
        return bar_chart(flat, f"{caption}; largest: {best}")
    height, width = sample.shape[-2:]
    maps = sample.reshape(-1, height, width)
    if len(maps) > _MOST_MAPS:
        maps, caption = maps[:_MOST_MAPS], f"{caption} (the first {_MOST_MAPS} maps)"
    across = math.ceil(math.sqrt(len(maps)))
    return tile_grid(
        list(to_pixels(maps, low, high)), across, caption, enlargement(height, width, across)
    )
