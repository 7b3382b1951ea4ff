"""Train or fine-tune a net with the settings of a solver prototxt.

Each training writes a folder runs/NAME-N with its log, metrics, settings and last weights. On a
terminal, a line for each test and a summary are shown; with --log, or on a pipe, Caffe's log.

Ctrl-C (SIGINT) and SIGTERM stop after the current iteration and write a snapshot (unless the solver
sets snapshot_after_train: false); the exit code is then 0. A second one stops at once, without a
snapshot: exit code 130 after Ctrl-C, and SIGTERM ends the process. SIGHUP writes a snapshot, and
training goes on. --sigint_effect, --sigterm_effect and --sighup_effect change these effects.

Example:
  minicaffe train models/lenet/lenet_solver.prototxt
  minicaffe train lenet_solver.prototxt --max_iter=500 --set base_lr=0.001
  minicaffe train --solver=lenet_solver.prototxt --snapshot=lenet_iter_5000.solverstate
  minicaffe train --solver=finetune_solver.prototxt --weights=lenet_iter_10000.caffemodel
  mpiexec -n 4 minicaffe train --solver=lenet_solver.prototxt
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

from minicaffe.cli.flags import flag, positional
from minicaffe.cli.options.backend import BackendFlags, choose_backend
from minicaffe.cli.options.files import INITIAL_WEIGHTS
from minicaffe.cli.options.gpus import count_selected_gpus
from minicaffe.cli.options.log import LogFlags
from minicaffe.cli.options.net_state import NetStateFlags
from minicaffe.cli.options.overrides import OverrideFlags
from minicaffe.cli.options.parallel import ParallelFlags
from minicaffe.cli.options.run_folder import RunFlags
from minicaffe.cli.progress import training_progress
from minicaffe.cli.screen import background_output
from minicaffe.cli.streams import terminal
from minicaffe.distributed.processes import process_communicator
from minicaffe.errors import MinicaffeError, SnapshotError, UsageError
from minicaffe.log import LogRecorder, logger, recorded_log

if TYPE_CHECKING:  # importing these takes long, and --help must not
    from minicaffe.distributed.communicator import Communicator
    from minicaffe.ops.backend import Backend
    from minicaffe.runs.recorder import RunRecorder
    from minicaffe.schema import SolverSource
    from minicaffe.solver.memory import MemoryUse
    from minicaffe.solver.parallel.settings import DataParallel
    from minicaffe.solver.signals import SignalActions
    from minicaffe.solver.solver import Solver

_EFFECTS = ("stop", "snapshot", "none")


class TrainFlags(OverrideFlags, ParallelFlags, RunFlags, LogFlags, NetStateFlags, BackendFlags):
    """Flags of the command."""

    solver_file: str = positional(
        metavar="SOLVER", nargs="?", default="", help="solver prototxt, or --solver=FILE"
    )
    solver: str = flag(metavar="FILE", help="solver prototxt")
    snapshot: str = flag(metavar="FILE", help=".solverstate to resume training from")
    resume: str = flag(
        choices=("auto",),
        help="auto: resume from the newest snapshot of snapshot_prefix; without one, begin",
    )
    weights: str = INITIAL_WEIGHTS
    optimize_memory: bool = flag(
        help="less memory, same numbers: blobs share it, cheap layers run forward again in backward"
    )
    sigint_effect: str = flag(choices=_EFFECTS, default="stop", help="effect of Ctrl-C")
    sigterm_effect: str = flag(
        choices=_EFFECTS, default="stop", help="effect of SIGTERM, which `kill` and clusters send"
    )
    sighup_effect: str = flag(choices=_EFFECTS, default="snapshot", help="effect of SIGHUP")


def n_processes(flags: TrainFlags) -> int:
    """Return the number of processes to start: one for each GPU of --gpu."""
    return count_selected_gpus(flags.gpu) or 1


def run(flags: TrainFlags) -> int:
    """Run the command."""
    return run_process(flags, process_communicator())


def run_process(flags: TrainFlags, communicator: Communicator) -> int:
    """Run the command as one of the processes of a training, and return the exit code."""
    _check_flags(flags)
    flags.shorten_log()
    with background_output(), recorded_log() as log:
        if communicator.size > 1:
            logger.info(
                f"{communicator.size} processes train, {communicator.local_size} of them on this "
                f"machine ({communicator.library})."
            )
        source, state = _read_source(flags, communicator)
        backend = choose_backend(flags, source.param, communicator=communicator)
        parallel = flags.data_parallel(communicator, flags.batch_is_total, backend)
        solver = _built(flags, source, backend, parallel)
        try:
            if state:
                logger.info(f"Resuming from {state}")
                solver.restore(state)
            if flags.resume:
                solver.snapshots.recent.adopt(solver.iter)
            recorder = _train(flags, solver, log)
        finally:
            solver.close()
        logger.info("Optimization Done.")
        if recorder is not None:
            _print_summary(recorder)
    return 0


def _check_flags(flags: TrainFlags) -> None:
    if flags.snapshot and flags.weights:
        raise UsageError(
            "--snapshot resumes training, --weights starts from trained weights; give one of them"
        )
    if flags.snapshot and flags.resume:
        raise UsageError("--snapshot and --resume exclude each other; give one of them")
    if bool(flags.solver) == bool(flags.solver_file):
        raise UsageError(
            f'the solver is given twice: "{flags.solver_file}" and --solver={flags.solver}'
            if flags.solver
            else "missing: SOLVER or --solver=FILE (solver prototxt)"
        )
    flags.solver_file, flags.solver = flags.solver or flags.solver_file, ""
    flags.check_run(resumes=bool(flags.snapshot or flags.resume))
    if flags.snapshot.removesuffix(".h5").endswith(".caffemodel"):
        raise SnapshotError(
            f"--snapshot={flags.snapshot}: a .caffemodel holds weights only. Resume from the "
            ".solverstate beside it, or start from these weights with --weights."
        )


def _read_source(flags: TrainFlags, communicator: Communicator) -> tuple[SolverSource, str]:
    """Return the solver, and the .solverstate to resume from or "", which rank 0 chooses."""
    from minicaffe.schema import read_solver
    from minicaffe.solver.snapshots.snapshot_prefix import snapshot_iterations

    source = read_solver(flags.solver_file, flags.overrides())
    flags.apply_to(source.param.train_state)
    state, prefix = flags.snapshot, source.param.snapshot_prefix
    if flags.resume:
        newest = next(map(str, reversed(snapshot_iterations(prefix).values())), "")
        state = communicator.from_root(newest)
        if not state:
            logger.info(f"There is no snapshot {prefix}_iter_N.solverstate to resume from.")
    if state:
        source.param.ClearField("weights")
    elif flags.weights:
        source.param.weights[:] = [flags.weights]
    return source, state


def _built(
    flags: TrainFlags, source: SolverSource, backend: Backend, parallel: DataParallel
) -> Solver:
    from minicaffe.cli.data_checks import warn_of_unfilled_inputs
    from minicaffe.solver.solver import Solver

    try:
        # Nothing reads the gradients of blobs after an iteration.
        memory: MemoryUse = "optimize" if flags.optimize_memory else "share_gradients"
        solver = Solver(source, backend, parallel=parallel, memory=memory)
    except MinicaffeError as error:
        words = " ".join(flags.given_words(OverrideFlags))
        if words and not str(error).startswith("--"):
            error.add_note(f"The settings are those of the files with {words}")
        raise
    for net in (solver.net, *solver.test_nets) if parallel.communicator.is_root else ():
        warn_of_unfilled_inputs(net)
    return solver


def _train(flags: TrainFlags, solver: Solver, log: LogRecorder) -> RunRecorder | None:
    """Train until the end; return the recorder of the run, None if another process has it."""
    from minicaffe.runs.folder import continue_log_of_rank
    from minicaffe.solver.signals import Action, SignalActions

    communicator = solver.parallel.communicator
    signals = SignalActions(*map(Action, _effects(flags)))
    solver.poll = signals.poll
    is_root, hosts = communicator.is_root, communicator.allgather(platform.node())
    folder = communicator.from_root(flags.run_folder(flags.solver_file) if is_root else None)
    if is_root:
        return _train_as_root(flags, solver, signals, folder, hosts, log)
    continue_log_of_rank(log, folder, communicator.rank)
    signals.tell = _tell_nothing  # rank 0 tells it
    with signals.installed():
        logger.info("Starting Optimization")
        solver.solve()
    return None


def _train_as_root(
    flags: TrainFlags,
    solver: Solver,
    signals: SignalActions,
    folder: Path | None,
    hosts: list[str],
    log: LogRecorder,
) -> RunRecorder:
    """Train until the end, with what the user sees and keeps; return the recorder of the run."""
    from minicaffe.cli.training_table import TrainingTable
    from minicaffe.runs.record import RunRecord
    from minicaffe.runs.recorder import RunRecorder

    record = RunRecord(
        command=["train", *flags.given_words()],
        overrides=flags.given_words(OverrideFlags),
        effects=dict(zip(("SIGINT", "SIGHUP", "SIGTERM"), _effects(flags), strict=True)),
        hosts=hosts if len(hosts) > 1 else [],
    )
    recorder = RunRecorder(solver, record, folder, flags.tensorboard)
    table = TrainingTable(solver, recorder) if flags.is_log_short else None
    with (
        training_progress(solver) as line,
        signals.installed(),
        recorder.recording(log),
    ):
        if line is not None:
            signals.tell = line.print_at_once
        if table is not None:
            table.print_head()
        logger.info("Starting Optimization")
        solver.solve()
    return recorder


def _effects(flags: TrainFlags) -> tuple[str, str, str]:
    return flags.sigint_effect, flags.sighup_effect, flags.sigterm_effect


def _tell_nothing(message: str) -> None:
    pass


def _print_summary(recorder: RunRecorder) -> None:
    """Print the summary on the terminal, if there is one; it is no part of the log."""
    from minicaffe.cli.live_line import LiveLine
    from minicaffe.cli.overview import COMMANDS
    from minicaffe.runs.summary import summary_lines

    lines = ["", *summary_lines(recorder.record, recorder.folder, COMMANDS)]
    if (stream := terminal()) is not None:
        print(*lines, sep="\n", file=stream)
        return
    with LiveLine.on_terminal() as line:
        if line is not None:
            line.print_below(lines)
