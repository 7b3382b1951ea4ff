r"""Draw the loss, accuracy and learning rate of trainings, from their logs.

Several logs are drawn into the same charts, a colour each. With --solver instead of logs, draws the
learning rate that a solver will use, before anything is trained.

Example:
  minicaffe plot lenet.log --output lenet.png
  minicaffe plot fixed.log step.log adam.log --by seconds --average 10 --output runs.svg
  minicaffe plot --solver models/lenet/lenet_solver.prototxt --output rate.png
"""

from __future__ import annotations

import argparse

from minicaffe.analysis.training_log import read_log
from minicaffe.errors import Problems, SolverError, UsageError
from minicaffe.log import logger
from minicaffe.pictures.curves import (
    Panel,
    draw_curves,
    rate_panel,
    short_names,
    training_panels,
)
from minicaffe.pictures.figure import check_figure_type, save_figure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("logs", metavar="LOG", nargs="*", help="logs of trainings")
    parser.add_argument(
        "--solver", default="", metavar="FILES", help="solvers instead, separated by commas"
    )
    parser.add_argument(
        "--output", default="plot.png", metavar="FILE", help=".png, .svg or .pdf (%(default)s)"
    )
    parser.add_argument(
        "--by", choices=("iterations", "seconds"), default="iterations", help="the x axis"
    )
    parser.add_argument(
        "--average", type=int, default=1, metavar="N", help="draw means of N points of training"
    )
    parser.add_argument("--log", action="store_true", help="a logarithmic axis for the loss")


def run(args: argparse.Namespace) -> int:
    """Read, draw, write."""
    if bool(args.logs) == bool(args.solver):
        raise UsageError("plot needs the log of a training, or --solver=FILE; one of the two")
    if args.average < 1:
        raise UsageError(f"--average={args.average}: must be at least 1")
    check_figure_type(args.output)
    if args.solver:
        panels = [_rates(args.solver.split(","))]
        picture = draw_curves(panels, "iteration")
    else:
        panels = training_panels([read_log(path) for path in args.logs], args.by, args.log)
        x_label = "iteration" if args.by == "iterations" else "seconds of training"
        picture = draw_curves(panels, x_label, args.average)
    save_figure(picture, args.output)
    logger.info("Wrote %s", args.output)
    return 0


def _rates(paths: list[str]) -> Panel:
    from minicaffe.schema import SolverParameter, read_prototxt
    from minicaffe.solver import lr_policy

    params = [read_prototxt(path, SolverParameter).message for path in paths]
    problems = Problems(SolverError)
    for path, param in zip(paths, params, strict=True):
        for _, message in lr_policy.problems(param):
            problems.add(f"{path}: {message}")
        if param.max_iter < 1:
            problems.add(f"{path}: max_iter must be at least 1, it is {param.max_iter}")
    problems.raise_if_any()
    return rate_panel(params, short_names(paths))
