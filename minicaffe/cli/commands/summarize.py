"""Print a net, or trained weights, as a table: shapes, parameters, multiply-adds, memory.

Learning-rate and decay multipliers that are not 1 follow the number of parameters: x2 is a doubled
rate, D0 no decay. Multiply-adds are those of one sample; memory is that of the whole batch. If the
database does not exist, its images have the size of crop_size, or of --input_shape. If a net has
types or fields of a fork of Caffe, the last lines name the fork.

Of weights (.caffemodel, .h5, .npz, .safetensors, or a run) the table has shape, range, mean and
standard deviation of each array. Exit code 1 if values are NaN or infinite, 0 otherwise.

Example:
  minicaffe summarize models/alexnet/train_val.prototxt
  minicaffe summarize lenet_iter_10000.caffemodel
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from minicaffe import log
from minicaffe.analysis.sizes import LayerSizes, NetSizes, measure
from minicaffe.analysis.weight_statistics import BlobStatistics, blob_statistics
from minicaffe.cli.flags import flag, positional
from minicaffe.cli.options.files import weights_files
from minicaffe.cli.options.input_shape import InputShapeFlags, warn_of_assumed_shapes
from minicaffe.cli.options.net_state import phase_flag
from minicaffe.layers import summary_of
from minicaffe.net.include_rules import filter_layers
from minicaffe.schema import LayerBlobs, LayerParameter, NetSource, NetState, read_net
from minicaffe.schema.fork_names import FORKS, forks_of
from minicaffe.text.colours import coloured, has_colours
from minicaffe.text_width import display_width, padded
from minicaffe.weights.files import read_weights_file

_COLUMNS = (
    *("layer", "type", "settings", "bottoms -> tops", "output"),
    *("parameters", "mult-adds", "memory"),
)
_RIGHT = (5, 6, 7)
_WEIGHT_COLUMNS = (
    *("layer", "type", "array", "shape", "min", "max", "mean", "std", "zeros", "not finite"),
)
_WEIGHT_RIGHT = tuple(range(4, len(_WEIGHT_COLUMNS)))
_WEIGHTS = (".caffemodel", ".h5", ".npz", ".safetensors")
_PHASE = "TRAIN"


class SummarizeFlags(InputShapeFlags):
    """Flags of the command."""

    net: str = positional(
        metavar="NET_OR_WEIGHTS", type=weights_files, help="net prototxt, trained weights, or a run"
    )
    max_name: int = flag(
        "-w",
        "--max_name",
        at_least=4,
        default=30,
        metavar="N",
        help="cut names to N characters",
    )
    phase: str = phase_flag(_PHASE)


def run(flags: SummarizeFlags) -> int:
    """Measure and print."""
    if Path(flags.net).suffix.lower() in _WEIGHTS:
        return _summarize_weights(flags)
    image_shape = flags.image_shape()
    source = read_net(flags.net)
    state = NetState(phase=flags.phase)
    sizes = measure(source, state, image_shape)
    warn_of_assumed_shapes(sizes)
    rows = [
        _row(source.param.layer[i], sizes.layers.get(i), sizes.batch, flags.max_name)
        for i in _indices(source, state)
    ]
    _print(_COLUMNS, rows, _RIGHT)
    if not sizes.problem:
        _print_totals(source, sizes)
    for fork, why in forks_of(source.param):
        print(f"Written for {fork} ({FORKS[fork]}): {', '.join(why)}")
    return 0


def _indices(source: NetSource, state: NetState) -> list[int]:
    with log.suppress_info():
        return [node.index for node in filter_layers(source, state) if node.index is not None]


def _row(layer: LayerParameter, sizes: LayerSizes | None, batch: int, width: int) -> list[str]:
    def short(name: str) -> str:
        return name if len(name) <= width else f"{name[: width - 3]}..."

    blobs = [", ".join(map(short, names)) for names in (layer.bottom, layer.top)]
    row = [short(layer.name), layer.type, summary_of(layer), " -> ".join(blobs).strip()]
    if sizes is None:
        return [*row, "", "", "", ""]
    shapes = dict.fromkeys(" x ".join(map(str, shape)) for shape in sizes.tops)
    return [
        *row,
        ", ".join(shapes),
        f"{sizes.parameters:,}{_multipliers(layer)}" if sizes.parameters else "",
        f"{sizes.multiply_adds // max(batch, 1):,}" if sizes.multiply_adds else "",
        bytes_text(sizes.memory_bytes) if sizes.memory_bytes else "",
    ]


def _multipliers(layer: LayerParameter) -> str:
    """Return multipliers that are not 1: " (x1 x2 D1 D0)" for a bias of rate 2 without decay."""
    rates = [spec.lr_mult for spec in layer.param]
    decays = [spec.decay_mult for spec in layer.param]
    words = [f"x{rate:g}" for rate in rates] if any(rate != 1 for rate in rates) else []
    words += [f"D{decay:g}" for decay in decays] if any(decay != 1 for decay in decays) else []
    return f" ({' '.join(words)})" if words else ""


def bytes_text(size_bytes: int) -> str:
    """Format a size with a unit and three digits."""
    size, unit = float(size_bytes), "B"
    for bigger in ("KiB", "MiB", "GiB"):
        if size < 1024:
            break
        size, unit = size / 1024, bigger
    return f"{size:.3g} {unit}" if size < 1000 else f"{size:.0f} {unit}"


def _print(columns: Sequence[str], rows: list[list[str]], right: Sequence[int]) -> None:
    """Print a table without its empty columns; those of `right` are aligned on the right."""
    colours = has_colours(sys.stdout)
    used = [k for k in range(len(columns)) if any(row[k] for row in rows)]
    table = [[row[k] for k in used] for row in [list(columns), *rows]]
    widths = [max(map(display_width, column)) for column in zip(*table, strict=True)]
    for number, row in enumerate(table):
        cells = [
            padded(cell, width, on_the_left=k in right)
            for k, cell, width in zip(used, row, widths, strict=True)
        ]
        if colours:
            cells[0] = coloured(cells[0], "bold")
            cells[1] = coloured(cells[1], "faint") if number else cells[1]
        print("  ".join(cells).rstrip())


def _print_totals(source: NetSource, sizes: NetSizes) -> None:
    layers = sizes.layers.values()
    parameters = sum(layer.parameters for layer in layers)
    multiply_adds = sum(layer.multiply_adds for layer in layers) // max(sizes.batch, 1)
    memory = sum(layer.memory_bytes for layer in layers)
    print(
        f"\n{source.param.name or source.path}: {len(layers)} layers, {parameters:,} parameters "
        f"({bytes_text(4 * parameters)}), {multiply_adds:,} multiply-adds a sample, "
        f"{bytes_text(memory)} for the blobs of a batch of {sizes.batch}"
    )


def _summarize_weights(flags: SummarizeFlags) -> int:
    """Print the statistics of trained weights; return the exit code."""
    if flags.input_shape or flags.phase != _PHASE:
        log.logger.warning(f"{flags.net}: --input_shape and --phase have no effect on weights.")
    layers = [layer for layer in read_weights_file(flags.net) if layer.blobs]
    rows, statistics = [], []
    for layer in layers:
        for index, values in zip(layer.indices, layer.blobs, strict=True):
            found = blob_statistics(values)
            statistics.append(found)
            rows.append(_weights_row(layer, index, values.shape, found, flags.max_name))
    if not rows:
        print(f"{flags.net}: no layer has weights")
        return 0
    _print(_WEIGHT_COLUMNS, rows, _WEIGHT_RIGHT)
    count = sum(one.count for one in statistics)
    bad = sum(one.n_nan + one.n_infinite for one in statistics)
    print(
        f"\n{flags.net}: {len(layers)} layers with weights, {count:,} parameters "
        f"({bytes_text(4 * count)}), " + (f"{bad:,} of them not finite" if bad else "all finite")
    )
    return 1 if bad else 0


def _weights_row(
    layer: LayerBlobs, index: int, shape: tuple[int, ...], found: BlobStatistics, width: int
) -> list[str]:
    name = layer.name if len(layer.name) <= width else f"{layer.name[: width - 3]}..."
    numbers = (found.low, found.high, found.average, found.deviation)
    bad = {"NaN": found.n_nan, "infinite": found.n_infinite}
    return [
        *(name, layer.type, str(index), " x ".join(map(str, shape))),
        *(f"{number:.4g}" for number in numbers),
        f"{found.n_zero / found.count:.0%}" if found.n_zero else "",
        ", ".join(f"{n:,} {what}" for what, n in bad.items() if n),
    ]
