"""Train or fine-tune a net as a solver prototxt says.

Ctrl-C stops after the running iteration and writes a snapshot (unless the solver says
snapshot_after_train: false); --sigint_effect and --sighup_effect change what the signals do.

Example:
  minicaffe train --solver=models/lenet/lenet_solver.prototxt
  minicaffe train --solver=lenet_solver.prototxt --snapshot=lenet_iter_5000.solverstate
  minicaffe train --solver=finetune_solver.prototxt --weights=lenet_iter_10000.caffemodel
"""

from __future__ import annotations

import argparse

from minicaffe.cli.options import backend as device
from minicaffe.cli.options.net_state import add_state_arguments, apply_state
from minicaffe.errors import SnapshotError, UsageError
from minicaffe.log import logger


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    effects = ("stop", "snapshot", "none")
    parser.add_argument("--solver", default="", metavar="FILE", help="the solver prototxt")
    parser.add_argument(
        "--snapshot", default="", metavar="FILE", help="a .solverstate to resume training from"
    )
    parser.add_argument(
        "--weights",
        default="",
        metavar="FILES",
        help="weights to fine-tune from, copied by layer name; several separated by commas",
    )
    parser.add_argument(
        "--sigint_effect", choices=effects, default="stop", help="what Ctrl-C does (%(default)s)"
    )
    parser.add_argument(
        "--sighup_effect",
        choices=effects,
        default="snapshot",
        help="what SIGHUP does (%(default)s)",
    )
    add_state_arguments(parser)
    device.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if not args.solver:
        raise UsageError("a solver is needed: --solver=FILE")
    if args.snapshot and args.weights:
        raise UsageError(
            "--snapshot resumes training, --weights starts from trained weights; give one of them"
        )
    from minicaffe.cli.progress import ProgressLine
    from minicaffe.schema import read_solver
    from minicaffe.solver.signals import Action, SignalActions
    from minicaffe.solver.solver import Solver

    source = read_solver(args.solver)
    apply_state(args, source.param.train_state)
    if args.weights or args.snapshot:
        source.param.weights[:] = filter(None, [args.weights])
    if args.snapshot.removesuffix(".h5").endswith(".caffemodel"):
        raise SnapshotError(
            f"--snapshot={args.snapshot}: a .caffemodel holds weights only. Resume from the "
            ".solverstate beside it, or start from these weights with --weights."
        )
    backend = device.choose(args, source.param)
    solver = Solver(source, backend)
    signals = SignalActions(Action(args.sigint_effect), Action(args.sighup_effect))
    solver.poll = signals.poll
    try:
        if args.snapshot:
            logger.info(f"Resuming from {args.snapshot}")
            solver.restore(args.snapshot)
        with signals.installed(), ProgressLine.of(solver):
            logger.info("Starting Optimization")
            solver.solve()
    finally:
        solver.close()
    logger.info("Optimization Done.")
    return 0
