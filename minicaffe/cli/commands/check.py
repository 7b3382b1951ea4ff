r"""Check a training before it begins: build its nets, read its data, and try some iterations.

Prints shapes, classes, memory and time, and then one line for each problem: where, what, and the
fix. An error means that the training would end or learn nothing; the exit code is then 1. With
warnings alone it is 0. Nothing is trained: no weights and no snapshots are written.

The labels of up to 100,000 records of each data layer are read, without decoding their images, and
ten iterations, or as many as fit into five seconds, are measured.

Example:
  minicaffe check models/lenet/lenet_solver.prototxt
  minicaffe check lenet_solver.prototxt --batch_size=256 --set base_lr=0.1
  minicaffe check finetune_solver.prototxt --weights=lenet_iter_10000.caffemodel
"""

from __future__ import annotations

from minicaffe.cli.flags import positional
from minicaffe.cli.options.backend import BackendFlags, choose_backend
from minicaffe.cli.options.files import INITIAL_WEIGHTS
from minicaffe.cli.options.net_state import NetStateFlags
from minicaffe.cli.options.overrides import OverrideFlags


class CheckFlags(OverrideFlags, NetStateFlags, BackendFlags):
    """Flags of the command."""

    solver: str = positional(metavar="SOLVER", help="solver prototxt")
    weights: str = INITIAL_WEIGHTS


def run(flags: CheckFlags) -> int:
    """Check, and print the report."""
    from minicaffe.cli.commands._check_report import TrainingReport
    from minicaffe.schema import read_solver

    source = read_solver(flags.solver, flags.overrides())
    flags.apply_to(source.param.train_state)
    if flags.weights:
        source.param.weights[:] = [flags.weights]
    report = TrainingReport(source)
    report.check(lambda: choose_backend(flags, source.param))
    print("\n".join(report.lines()))
    return 1 if any(finding.is_error for finding in report.findings) else 0
