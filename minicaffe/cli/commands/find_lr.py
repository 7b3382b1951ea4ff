r"""Find a learning rate for a solver: a range test, drawn as a chart.

The solver trains from its initial weights while the rate grows exponentially, from --start_lr to
--end_lr. The test ends early when the loss is four times its smallest value. A good base_lr is the
rate at which the loss falls fastest. Nothing of the training is saved; the solver file stays as it
is.

Example:
  minicaffe find_lr models/lenet/lenet_solver.prototxt
  minicaffe find_lr solver.prototxt --start_lr=1e-6 --end_lr=1 --iterations=200 --output=rates.svg
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from minicaffe.cli.flags import flag, positional
from minicaffe.cli.options.backend import BackendFlags, choose_backend
from minicaffe.cli.options.files import INITIAL_WEIGHTS
from minicaffe.cli.options.log import LogFlags
from minicaffe.cli.options.net_state import NetStateFlags
from minicaffe.errors import DivergedError, UsageError
from minicaffe.log import log_result

if TYPE_CHECKING:
    from minicaffe.analysis.rate_range import RateRange

_FEWEST = 2  # losses that say something


class FindLrFlags(NetStateFlags, LogFlags, BackendFlags):
    """Flags of the command."""

    solver: str = positional(metavar="SOLVER", help="solver prototxt")
    weights: str = INITIAL_WEIGHTS
    start_lr: float = flag(default=1e-6, metavar="RATE", help="rate of the first iteration")
    end_lr: float = flag(default=10.0, metavar="RATE", help="rate of the last iteration")
    iterations: int = flag(default=100, at_least=10, metavar="N", help="number of iterations")
    output: str = flag("--output", "-o", default="find_lr.png", metavar="FILE", help="the chart")


def run(flags: FindLrFlags) -> int:
    """Measure, print, draw."""
    flags.shorten_log()
    from minicaffe.pictures.figure import check_figure_type, new_figure, save_figure
    from minicaffe.pictures.rate_range import draw_rate_range

    if not 0 < flags.start_lr < flags.end_lr:
        raise UsageError(
            f"--start_lr={flags.start_lr:g} --end_lr={flags.end_lr:g}: the rate grows from the one "
            "to the other, and both are positive"
        )
    check_figure_type(flags.output)
    new_figure(1, 1)  # fails before the measurement if there is no matplotlib
    found = _measure(flags)
    if len(found.losses) < _FEWEST:
        raise DivergedError(
            f"{flags.solver}: the loss diverges at once, at the learning rate {flags.start_lr:g}. "
            "Check the data and their scale, or begin with a smaller --start_lr."
        )
    print("\n".join(_report(found)))
    save_figure(draw_rate_range(found), flags.output)
    log_result(f"Wrote {flags.output}")
    return 0


def _measure(flags: FindLrFlags) -> RateRange:
    from minicaffe.analysis.rate_range import measure_rates, prepare_range_test
    from minicaffe.cli.progress import training_progress
    from minicaffe.schema import read_solver
    from minicaffe.solver.signals import Action, SignalActions
    from minicaffe.solver.solver import Solver

    source = read_solver(flags.solver)
    flags.apply_to(source.param.train_state)
    prepare_range_test(source.param, flags.start_lr, flags.end_lr, flags.iterations)
    if flags.weights:
        source.param.weights[:] = [flags.weights]
    signals = SignalActions(Action.STOP, Action.NONE, Action.STOP)
    with (
        closing(Solver(source, choose_backend(flags, source.param))) as solver,
        training_progress(solver) as line,
        signals.installed(),
    ):
        if line is not None:
            signals.tell = lambda _: line.print_at_once("Stopping; the chart is drawn so far.")
        return measure_rates(solver, lambda: signals.poll() is Action.STOP)


def _report(found: RateRange) -> Iterator[str]:
    if found.steepest is None:
        yield "The loss does not fall: no learning rate can be suggested. Try more --iterations."
    else:
        yield f"base_lr: {found.steepest:.2g}  (the loss falls fastest)"
        yield f"smallest loss at {found.smallest:.2g}"
    if found.diverged_at is None:
        yield f"does not diverge up to {found.rates[-1]:.2g}"
    else:
        yield f"diverges at {found.diverged_at:.2g}"
