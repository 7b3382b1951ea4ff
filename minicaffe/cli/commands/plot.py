r"""Plot loss, accuracy and learning rate of training runs from their logs or run folders.

Several runs are drawn in the same charts, each in its own colour. With --solver instead of logs,
plots the learning-rate schedule of a solver, without training.

Example:
  minicaffe plot runs/lenet-1 runs/lenet-2 --output lenet.png
  minicaffe plot fixed.log step.log adam.log --by seconds --average 10 --output runs.svg
  minicaffe plot --solver models/lenet/lenet_solver.prototxt --output rate.png
"""

from __future__ import annotations

from minicaffe.analysis.training_log import TrainingLog, read_log
from minicaffe.cli.flags import Flags, flag, positional
from minicaffe.errors import Problems, SolverError, UsageError
from minicaffe.log import logger
from minicaffe.pictures.curve_drawing import draw_curves
from minicaffe.pictures.curves import (
    Panel,
    rate_panel,
    short_names,
    training_panels,
)
from minicaffe.pictures.figure import check_figure_type, save_figure
from minicaffe.runs import log_of
from minicaffe.runs.natural_order import naturally_ordered


class PlotFlags(Flags):
    """Flags of the command."""

    logs: list[str] = positional(metavar="LOG", nargs="*", help="training logs, or run folders")
    solver: str = flag(
        metavar="FILES", help="solver prototxts instead of logs, separated by commas"
    )
    output: str = flag(
        "--output", "-o", default="plot.png", metavar="FILE", help=".png, .svg or .pdf"
    )
    by: str = flag(choices=("iterations", "seconds"), default="iterations", help="x axis")
    average: int = flag(
        default=1, at_least=1, metavar="N", help="draw moving averages of N points of training"
    )
    log: bool = flag(help="use a logarithmic axis for the loss")


def run(flags: PlotFlags) -> int:
    """Read, draw, write."""
    if bool(flags.logs) == bool(flags.solver):
        raise UsageError("plot needs either training logs or --solver=FILE")
    check_figure_type(flags.output)
    if flags.solver:
        for name, is_given in (
            ("--by", flags.by != "iterations"),
            ("--average", flags.average > 1),
            ("--log", flags.log),
        ):
            if is_given:
                logger.warning(f"{name} has no effect with --solver, only on training logs.")
        panels = [_rates(naturally_ordered(flags.solver.split(",")))]
        figure = draw_curves(panels, "iteration")
    else:
        panels = training_panels(
            [_read(path) for path in naturally_ordered(flags.logs)], flags.by, flags.log
        )
        x_label = "iteration" if flags.by == "iterations" else "seconds of training"
        figure = draw_curves(panels, x_label, flags.average)
    save_figure(figure, flags.output)
    logger.info("Wrote %s", flags.output)
    return 0


def _read(path: str) -> TrainingLog:
    log = read_log(log_of(path))
    log.path = path  # the legend names a run, not its log.txt
    return log


def _rates(paths: list[str]) -> Panel:
    from minicaffe.schema import SolverParameter, read_prototxt
    from minicaffe.solver import lr_policy

    params = [read_prototxt(path, SolverParameter).message for path in paths]
    problems = Problems(SolverError)
    for path, param in zip(paths, params, strict=True):
        for _, message in lr_policy.lr_policy_problems(param):
            problems.add(f"{path}: {message}")
        if lr_policy.horizon(param) < 1:
            problems.add(f"{path}: max_iter is {param.max_iter}; it must be at least 1")
    problems.raise_if_any()
    return rate_panel(params, short_names(paths))
