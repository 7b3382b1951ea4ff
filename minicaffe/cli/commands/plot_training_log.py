"""Plot one of the eight charts of Caffe's plot_training_log.py.

`minicaffe plot` plots the most useful ones in one image. CHART_TYPE is one of
  0: Test accuracy  vs. Iters        1: Test accuracy  vs. Seconds
  2: Test loss  vs. Iters            3: Test loss  vs. Seconds
  4: Train learning rate  vs. Iters  5: Train learning rate  vs. Seconds
  6: Train loss  vs. Iters           7: Train loss  vs. Seconds

Example:
  minicaffe plot_training_log 6 loss.png lenet.log
"""

from __future__ import annotations

from minicaffe.analysis.training_log import TrainingLog, read_log
from minicaffe.cli.flags import Flags, positional
from minicaffe.errors import DataError, UsageError
from minicaffe.pictures.curve_drawing import draw_curves
from minicaffe.pictures.curves import (
    Curve,
    Panel,
    best_of_tests,
    output_curve,
    rate_curve,
    short_names,
)
from minicaffe.pictures.figure import check_figure_type, save_figure
from minicaffe.runs.natural_order import naturally_ordered

_QUANTITIES = ("Test accuracy", "Test loss", "Train learning rate", "Train loss")


class ChartFlags(Flags):
    """Flags of the command."""

    chart_type: str = positional(metavar="CHART_TYPE", help="0 to 7, see above")
    output: str = positional(metavar="OUTPUT", help=".png, .svg or .pdf")
    logs: list[str] = positional(metavar="LOG", nargs="+", help="training logs")


def run(flags: ChartFlags) -> int:
    """Read, draw, write."""
    if flags.chart_type not in tuple("01234567"):
        raise UsageError(f"CHART_TYPE {flags.chart_type}: must be 0 to 7")
    check_figure_type(flags.output)
    number = int(flags.chart_type)
    quantity, by = _QUANTITIES[number // 2], ("iterations", "seconds")[number % 2]
    logs = [read_log(path) for path in naturally_ordered(flags.logs)]
    panel = Panel(quantity, clips_start=quantity != "Train learning rate")
    for index, (log, name) in enumerate(
        zip(logs, short_names([log.path for log in logs]), strict=True)
    ):
        panel.curves += _curves(log, quantity, by, name, index)
    save_figure(draw_curves([panel], "Iters" if by == "iterations" else "Seconds"), flags.output)
    return 0


def _curves(log: TrainingLog, quantity: str, by: str, name: str, run: int) -> list[Curve]:
    if quantity == "Train learning rate":
        return [rate_curve(log, name, by, run)]
    if quantity == "Train loss":
        return [output_curve(name, log.loss, "loss", by, run)]
    wants_loss = quantity == "Test loss"
    outputs = [o for o in log.names(log.test) if (o in log.loss_names) == wants_loss]
    if not outputs:
        found = ", ".join(log.names(log.test)) or "nothing"
        raise DataError(
            f"{log.path}: no output of the net in the TEST phase is a {quantity.lower()}; its "
            f"outputs: {found}. Use another CHART_TYPE, or minicaffe plot."
        )
    curves = []
    for nth, output in enumerate(outputs):
        label = name if len(outputs) == 1 else f"{name}: {output}"
        one = output_curve(label, log.test, output, by, run, nth)
        one.best = best_of_tests(log, output)
        curves.append(one)
    return curves
