"""Draw one of eight charts of training logs; `minicaffe plot` draws the usual ones at once.

CHART_TYPE is one of
  0: Test accuracy  vs. Iters        1: Test accuracy  vs. Seconds
  2: Test loss  vs. Iters            3: Test loss  vs. Seconds
  4: Train learning rate  vs. Iters  5: Train learning rate  vs. Seconds
  6: Train loss  vs. Iters           7: Train loss  vs. Seconds

Example:
  minicaffe plot_training_log 6 loss.png lenet.log
"""

from __future__ import annotations

import argparse

from minicaffe.analysis.training_log import TrainingLog, read_log
from minicaffe.errors import DataError, UsageError
from minicaffe.pictures.curves import (
    Curve,
    Panel,
    draw_curves,
    output_curve,
    rate_curve,
    short_names,
)
from minicaffe.pictures.figure import check_figure_type, save_figure

_QUANTITIES = ("Test accuracy", "Test loss", "Train learning rate", "Train loss")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("chart_type", metavar="CHART_TYPE", help="0 to 7, see above")
    parser.add_argument("output", metavar="OUTPUT", help=".png, .svg or .pdf")
    parser.add_argument("logs", metavar="LOG", nargs="+", help="logs of trainings")


def run(args: argparse.Namespace) -> int:
    """Read, draw, write."""
    if args.chart_type not in tuple("01234567"):
        raise UsageError(f"CHART_TYPE {args.chart_type}: must be 0 to 7")
    check_figure_type(args.output)
    number = int(args.chart_type)
    quantity, by = _QUANTITIES[number // 2], ("iterations", "seconds")[number % 2]
    logs = [read_log(path) for path in args.logs]
    panel = Panel(quantity)
    for index, (log, name) in enumerate(zip(logs, short_names(args.logs), strict=True)):
        panel.curves += _curves(log, quantity, by, name, index)
    save_figure(draw_curves([panel], "Iters" if by == "iterations" else "Seconds"), args.output)
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
            f"{log.path}: the test net puts out nothing that is a {quantity.lower()}; it puts out "
            f"{found}. Take another CHART_TYPE, or minicaffe plot."
        )
    return [
        output_curve(
            name if len(outputs) == 1 else f"{name}: {output}", log.test, output, by, run, nth
        )
        for nth, output in enumerate(outputs)
    ]
