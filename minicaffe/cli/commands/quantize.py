r"""Measure how many bits the layers of a net need, and write the smallest net.

Weights, and activations if asked for, are rounded in simulation to each number of --bits, in all
layers and in one layer alone, and the net is scored on the same batches of the TEST phase. Then a
search gives each layer the fewest bits with which the score stays within --error_margin.
Normalisation is folded into convolutions first.

--output writes that net, which `minicaffe test`, `train` and `export onnx` read: PREFIX.prototxt
with Ristretto's layers, PREFIX.caffemodel with weights on the grid, as floats. --table adds
calibration tables of 8 bits: PREFIX.table for ncnn, PREFIX.cache for TensorRT, PREFIX.json.

Example:
  minicaffe quantize --model=lenet_train_test.prototxt --weights=lenet_iter_10000.caffemodel \
      --iterations=20 --bits=8,4,3,2 --per=channel --output=lenet_quantized
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from minicaffe.atomic_file import write_atomically
from minicaffe.cli.flags import flag
from minicaffe.cli.options.backend import BackendFlags, choose_backend
from minicaffe.cli.options.files import MODEL, WEIGHTS_LIST
from minicaffe.cli.options.net_state import NetStateFlags
from minicaffe.errors import UsageError, nearest
from minicaffe.log import log_result, logger, suppress_repeated_warnings

if TYPE_CHECKING:
    from minicaffe.ops.backend import Backend
    from minicaffe.quantization.batches import RecordedBatches
    from minicaffe.quantization.findings import Study
    from minicaffe.quantization.float_net import FloatNet
    from minicaffe.quantization.formats import LayerFormats
    from minicaffe.quantization.score import NetScore
    from minicaffe.schema import LayerBlobs

_FEWEST_BITS, _MOST_BITS = 2, 16
_CALIBRATION_BATCHES = 10


class QuantizeFlags(NetStateFlags, BackendFlags):
    """Flags of the command."""

    model: str = MODEL
    weights: str = WEIGHTS_LIST
    iterations: int = flag(default=50, at_least=1, help="number of batches of a score")
    score: str = flag(default="accuracy", metavar="NAME", help="output by which nets are compared")
    bits: str = flag(default="8,6,4,3,2", metavar="LIST", help="numbers of bits to try, 2 to 16")
    per: str = flag(
        choices=("layer", "channel"),
        default="channel",
        help="whether each output channel has a scale, or all weights of a layer share one",
    )
    scales: str = flag(
        choices=("least_squares", "max", "power_of_two"),
        default="least_squares",
        help="scales of weights: least_squares: weights change least; max: the largest weight is "
        "the largest number; power_of_two: Ristretto's dynamic fixed point, with --per=layer",
    )
    activations: str = flag(
        choices=("none", "max", "percentile", "kl"),
        default="none",
        help="whether and where bottoms and tops of layers are clipped and rounded: at the largest "
        "value, at 99.99 %% of the values, or where the distribution changes least",
    )
    calibration_iterations: int | None = flag(
        at_least=1, help="number of batches that give the ranges of activations (default: 10)"
    )
    error_margin: float = flag(
        default=1.0, metavar="POINTS", help="how much worse the score may be, in percent points"
    )
    output: str = flag(metavar="PREFIX", help="write PREFIX.prototxt and PREFIX.caffemodel")
    table: str = flag(
        metavar="LIST", help="calibration tables to write as well: ncnn, tensorrt, json"
    )
    plot: str = flag(metavar="FILE", help="draw bits against score and size: .png, .svg or .pdf")


@dataclass(frozen=True)
class _Request:
    """The flags, read.

    Attributes
    ----------
    bits : list of int
        Descending.
    tables : list of str
    rule : str
        Of the ranges of activations, "" for none.
    calibration_batches : int
        0 if ranges are not needed.
    """

    bits: list[int]
    tables: list[str]
    rule: str
    calibration_batches: int

    @classmethod
    def of(cls, flags: QuantizeFlags) -> _Request:
        """Read and check the flags."""
        rule = "" if flags.activations == "none" else flags.activations
        tables = _read_tables(flags, bool(rule))
        if flags.scales == "power_of_two" and flags.per == "channel":
            raise UsageError("--scales=power_of_two needs --per=layer: a layer has one such scale")
        if not 0 <= flags.error_margin <= 100:
            raise UsageError(f"--error_margin={flags.error_margin:g}: must be from 0 to 100")
        if flags.calibration_iterations and not rule:
            logger.warning(
                "--calibration_iterations has no effect, because activations are not quantised. "
                "Give --activations=kl, or remove it."
            )
        _check_folders(flags)
        batches = (flags.calibration_iterations or _CALIBRATION_BATCHES) if rule else 0
        return cls(_read_bits(flags.bits), tables, rule, batches)


def _read_bits(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(w.isdecimal() and _FEWEST_BITS <= int(w) <= _MOST_BITS for w in words):
        raise UsageError(
            f"--bits={text}: must be numbers from {_FEWEST_BITS} to {_MOST_BITS}, separated by "
            "commas, as 8,4,2"
        )
    return sorted({int(word) for word in words}, reverse=True)


def _read_tables(flags: QuantizeFlags, has_ranges: bool) -> list[str]:
    from minicaffe.quantization.tables import TABLES

    names = [word.strip() for word in flags.table.split(",") if word.strip()]
    for name in names:
        if name not in TABLES:
            raise UsageError(f"--table={flags.table}: no table {name}. {nearest(name, TABLES)}")
        if TABLES[name].needs_ranges and not has_ranges:
            raise UsageError(
                f"--table={name} needs the ranges of activations: give --activations=kl"
            )
    if names and not flags.output:
        raise UsageError("--table needs --output=PREFIX: its files are called like the net")
    return names


def _check_folders(flags: QuantizeFlags) -> None:
    """Raise an error for files that could not be written, before anything is computed."""
    for name in ("output", "plot"):
        path: str = getattr(flags, name)
        if path and not Path(path).parent.is_dir():
            raise UsageError(f"--{name}={path}: the folder {Path(path).parent} does not exist")
    if flags.plot:
        from minicaffe.pictures.figure import check_figure_type, new_figure

        check_figure_type(flags.plot)
        new_figure(1, 1)


def run(flags: QuantizeFlags) -> int:
    """Run the command."""
    # The warnings about a net would come again with each net that is made of it.
    with suppress_repeated_warnings():
        _run(flags)
    return 0


def _run(flags: QuantizeFlags) -> None:
    request = _Request.of(flags)
    from minicaffe.quantization.calibration import calibrate
    from minicaffe.quantization.formats import FormatRules, LayerFormats
    from minicaffe.quantization.report import study_report
    from minicaffe.quantization.study import study_net
    from minicaffe.quantization.trials import Trials

    backend = choose_backend(flags, model=flags.model)
    score, batches, net, others = _read(flags, request, backend)
    calibration = None
    if request.rule:
        logger.info(f"Measuring activations in {request.calibration_batches} batches")
        calibration = calibrate(net, batches, request.calibration_batches, backend)
    rules = FormatRules(flags.per == "channel", flags.scales, request.rule)
    formats = LayerFormats(net, rules, calibration)
    trials = Trials(net, batches, flags.iterations, score, backend)
    study = study_net(formats, trials, score, request.bits, flags.error_margin)
    _write(flags, request.tables, study, formats, others)
    print("\n".join(study_report(study, net)))


def _read(
    flags: QuantizeFlags, request: _Request, backend: Backend
) -> tuple[NetScore, RecordedBatches, FloatNet, list[LayerBlobs]]:
    """Return the score, batches, the net, and weights of layers outside the TEST phase."""
    from minicaffe.cli.data_checks import warn_of_repeated_samples, warn_of_unfilled_inputs
    from minicaffe.net import Net
    from minicaffe.net.weights import copy_trained_layers
    from minicaffe.quantization.batches import RecordedBatches
    from minicaffe.quantization.float_net import FloatNet
    from minicaffe.quantization.score import NetScore
    from minicaffe.schema import TEST, NetState, read_net_weights

    state = NetState(phase=TEST)
    flags.apply_to(state)
    files = [name for name in map(str.strip, flags.weights.split(",")) if name]
    with closing(Net(flags.model, state, backend=backend)) as net:
        warn_of_unfilled_inputs(net)
        score = NetScore.of(net, flags.score)
        copy_trained_layers(net, *files)
        n = max(flags.iterations, request.calibration_batches)
        warn_of_repeated_samples(net, flags.iterations)
        logger.info(f"Reading {n} batches")
        batches = RecordedBatches.read(net, n)
        names = {layer.name for layer in net.layers}
        others = {
            layer.name: layer
            for file in files
            for layer in read_net_weights(file)
            if layer.name not in names and layer.blobs
        }
        return score, batches, FloatNet.of(net, batches), list(others.values())


def _write(
    flags: QuantizeFlags,
    names: list[str],
    study: Study,
    formats: LayerFormats,
    others: list[LayerBlobs],
) -> None:
    """Write what the flags ask for."""
    from minicaffe.quantization.quantized_net import write_quantized
    from minicaffe.quantization.tables import TABLES

    if flags.plot:
        from minicaffe.pictures.curve_drawing import draw_curves
        from minicaffe.pictures.figure import save_figure
        from minicaffe.pictures.quantization import study_panels

        save_figure(draw_curves(study_panels(study), "bits"), flags.plot)
        log_result(f"Wrote {flags.plot}")
    if not flags.output:
        return
    write_quantized(flags.output, formats, study.found.assignment, others)
    log_result(f"Wrote {flags.output}.prototxt and {flags.output}.caffemodel")
    for name in names:
        path = f"{flags.output}{TABLES[name].suffix}"
        text = TABLES[name].text(study, formats)
        with write_atomically(path) as file:
            file.write(text.encode())
        log_result(f"Wrote {path}")
