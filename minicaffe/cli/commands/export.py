"""Export a net with its weights to ONNX, and compare the file with the net.

Training nets are exported as they are deployed: data layers become inputs, losses their
probabilities, and layers that need labels are left out. Blobs keep their names. BatchNorm and Scale
are folded into the convolution before them, unless --no_fold is given. A layer that ONNX cannot
express ends the command with its name and the reason.

The file takes what the input of the net takes: images from which the mean is subtracted already, of
colours in the order blue, green, red. With --transform it takes pixels from 0 to 255, and with
--rgb the order red, green, blue.

--check runs the net in minicaffe and the file in onnxruntime on the same random input and prints
the largest difference of each output, relative to its largest value, and of the bottoms of layers
that would magnify differences; see docs/onnx.md. Exit code: 0 exported, 1 not exported, or a
difference above 1e-4. If bottoms and tops are rounded to grids, values may be rounded to the
neighbour: those within one step are counted instead.

Example:
  minicaffe export onnx deploy.prototxt weights.caffemodel -o net.onnx --batch dynamic --check
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from minicaffe.cli.flags import flag, positional
from minicaffe.cli.options.files import weights_files
from minicaffe.cli.options.input_shape import InputShapeFlags
from minicaffe.cli.options.net_state import NetStateFlags
from minicaffe.log import log_result, logger, suppress_info, suppress_repeated_warnings

if TYPE_CHECKING:
    from minicaffe.net import Net
    from minicaffe.onnx_export.graph import OnnxGraph
    from minicaffe.onnx_export.pixel_transform import PixelTransform
    from minicaffe.schema import NetSource, NetState


def _batch(text: str) -> int:
    """Read --batch: a number from 1 on, 0 for "dynamic"."""
    if text != "dynamic" and not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number from 1 on nor 'dynamic'")
    return 0 if text == "dynamic" else int(text)


class ExportFlags(NetStateFlags, InputShapeFlags):
    """Flags of the command."""

    format: str = positional(metavar="FORMAT", choices=("onnx",), help="onnx")
    net: str = positional(metavar="NET", help="net prototxt")
    weights: str = positional(
        metavar="WEIGHTS",
        type=weights_files,
        help="trained weights, several files separated by commas, or RUN/best",
    )
    output: str = flag(
        "--output",
        "-o",
        "-o",
        "--output",
        metavar="FILE",
        help="file to write (default: NET with suffix .onnx)",
    )
    opset: int = flag(default=13, metavar="N", help="version of the operators, 11 to 22")
    batch: int | None = flag(
        type=_batch, metavar="N", help="number of samples, or 'dynamic' (default: the net's)"
    )
    transform: str = flag(
        metavar="TRAIN.prototxt",
        help="let the file take pixels from 0 to 255: include mean and scale of "
        "the transform_param of the data layer in this net",
    )
    rgb: bool = flag(help="let the file take colours as red, green, blue")
    no_fold: bool = flag(help="keep BatchNorm and Scale apart from convolutions")
    check: bool = flag(help="compare the file in onnxruntime with the net")


def run(flags: ExportFlags) -> int:
    """Export, and check."""
    with suppress_repeated_warnings():  # of the nets that are built for it
        return _run(flags)


def _run(flags: ExportFlags) -> int:
    from minicaffe.net.weights import copy_trained_layers
    from minicaffe.onnx_export import ExportSettings, export_net
    from minicaffe.onnx_export.pixel_transform import ADDED_LAYERS
    from minicaffe.schema import NetState, read_net

    state = NetState()
    flags.apply_to(state)
    files = [name for name in map(str.strip, flags.weights.split(",")) if name]
    transform = _transform(flags, state)

    def fill_weights(net: Net) -> None:
        copy_trained_layers(net, *files, optional=ADDED_LAYERS)
        if transform is not None:
            transform.write_mean(net)

    path = Path(flags.output or Path(flags.net).with_suffix(".onnx"))
    image = flags.image_shape()
    settings = ExportSettings(flags.opset, flags.batch, not flags.no_fold, image, transform)
    net, graph = export_net(read_net(flags.net), fill_weights, path, settings, state)
    n_values = sum(array.size for array in graph.constants.values())
    logger.info(f"{path}: {len(graph.nodes)} nodes, {n_values:,} constants, opset {graph.opset}")
    return _check(path, net, graph, fill_weights, state) if flags.check else 0


def _transform(flags: ExportFlags, state: NetState) -> PixelTransform | None:
    from minicaffe.onnx_export.pixel_transform import PixelTransform, read_transform

    if flags.transform:
        return read_transform(flags.transform, state, flags.rgb)
    return PixelTransform(takes_rgb=True) if flags.rgb else None


def _check(
    path: Path,
    net: NetSource,
    graph: OnnxGraph,
    fill_weights: Callable[[Net], object],
    state: NetState,
) -> int:
    """Print the largest difference of each output and return the exit code."""
    from minicaffe.onnx_export.check import differences
    from minicaffe.onnx_runtime import TOLERANCE

    def fill_silently(net: Net) -> None:
        with suppress_info():
            fill_weights(net)

    found = differences(path, net, graph, fill_silently, state)
    for name, difference in found.items():
        if name in graph.outputs or not difference <= TOLERANCE:
            log_result(f"{name}: largest difference {difference:.2g}")
    bottoms = {name: found[name] for name in found if name not in graph.outputs}
    if bottoms:
        log_result(
            f"bottoms of layers that jump or magnify differences ({len(bottoms)}): largest "
            f"difference {max(bottoms.values()):.2g}"
        )
    wrong = [name for name, difference in found.items() if not difference <= TOLERANCE]
    if wrong:
        names = ", ".join(name if name in bottoms else f'output "{name}"' for name in wrong)
        logger.error(f"{path}: differences of more than {TOLERANCE:g} of the values: {names}")
    return 1 if wrong else 0
