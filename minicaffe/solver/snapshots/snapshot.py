"""Snapshots: weights and solver state, for exact resuming.

A resumed run computes the same values as an uninterrupted one. These files are written, each first
under another name and then renamed, so that a file of a snapshot is complete, or is the older one
of that name:

* ``PREFIX_iter_N.caffemodel``: the net with its weights
* ``PREFIX_iter_N.solverstate.json``: position in the data and random steps (ours)
* ``PREFIX_iter_N.raw.caffemodel``: the parameters that training goes on with, if the solver keeps
  an average of them (ours); the first file then holds the average, and the .solverstate names this
  one
* ``PREFIX_iter_N.solverstate``: iteration and history; written last, so that its presence implies
  the others. An older one is removed before they are replaced; otherwise a process that is
  killed in between would leave the weights of one run with the history of another

The first and the last are Caffe's and are exchanged with it; without the .json a run resumes
as Caffe does, from the beginning of the data.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minicaffe.atomic_file import write_atomically
from minicaffe.errors import DivergedError, Problems, SnapshotError
from minicaffe.log import logger
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers, save_net
from minicaffe.ops.backend import Tensor
from minicaffe.schema import (
    SolverParameter,
    SolverStateFile,
    read_solver_state,
    write_solver_state,
)
from minicaffe.solver.averaging.averaged_weights import AveragedWeights
from minicaffe.solver.averaging.share import has_average
from minicaffe.solver.loss_history import LossHistory
from minicaffe.solver.lr_policy import current_step
from minicaffe.solver.parallel.effective_batch import effective_batch_size
from minicaffe.solver.parallel.settings import DataParallel
from minicaffe.solver.schedule import Plateau
from minicaffe.solver.scores.evaluation import Evaluation, EvaluationState
from minicaffe.solver.snapshots.snapshot_prefix import raw_weights_file


@dataclass(frozen=True)
class SnapshotContents:
    """The objects of a training that a snapshot saves and restores.

    Parameters
    ----------
    param : SolverParameter
    net : Net
        The net being trained.
    evaluation : Evaluation
    history : sequence of Tensor
        The rule's history, in the order of a .solverstate file.
    average : AveragedWeights or None
        The average of the parameters, if the solver keeps one.
    losses : LossHistory
    plateau : Plateau
    parallel : DataParallel
        How several processes divide the training.
    """

    param: SolverParameter
    net: Net
    evaluation: Evaluation
    history: Sequence[Tensor]
    average: AveragedWeights | None
    losses: LossHistory
    plateau: Plateau
    parallel: DataParallel

    @property
    def batch_size(self) -> int | None:
        """Number of images of an update, None if a program fills the net."""
        return effective_batch_size(self.net, self.parallel, self.param.iter_size)


def snapshot_names(param: SolverParameter, iteration: int) -> tuple[Path, Path]:
    """Return the paths of the weights and of the solver state of an iteration."""
    suffix = ".h5" if param.snapshot_format == SolverParameter.HDF5 else ""
    stem = f"{param.snapshot_prefix}_iter_{iteration}"
    return Path(f"{stem}.caffemodel{suffix}"), Path(f"{stem}.solverstate{suffix}")


def write_snapshot(contents: SnapshotContents, iteration: int) -> None:
    """Write weights and solver state.

    Parameters
    ----------
    contents : SnapshotContents
    iteration : int
        Number of updates made.

    Raises
    ------
    SnapshotError
        If a file cannot be written; files of earlier snapshots are unchanged.
    DivergedError
        If a weight is not finite; no file is changed.
    """
    _check_finite(contents.net, iteration)
    param = contents.param
    as_hdf5 = param.snapshot_format == SolverParameter.HDF5
    kind = "HDF5 file" if as_hdf5 else "binary proto file"
    weights, path = snapshot_names(param, iteration)
    learned = _save_weights(contents, iteration, weights, path)
    logger.info(f"Snapshotting solver state to {kind} {path}")
    _write_side_state(contents, iteration, _side_file(path))
    plateau = contents.plateau
    state = SolverStateFile(
        iter=iteration,
        learned_net=str(learned),
        current_step=current_step(param, iteration, plateau.reductions),
        history=[tensor.get() for tensor in contents.history],
        minimum_loss=plateau.minimum_loss if param.lr_policy == "plateau" else None,
        iter_last_event=plateau.iter_last_event,
    )
    with write_atomically(path) as file:
        write_solver_state(file, state, as_hdf5)


def _save_weights(contents: SnapshotContents, iteration: int, weights: Path, state: Path) -> Path:
    """Save the parameters, and their average if there is one; return the file of the former."""
    average = contents.average if has_average(contents.param, iteration) else None
    if average is None:
        _save_shown_weights(contents, weights, state)
        return weights
    learned = raw_weights_file(weights)
    with average.shown(False):
        _save_shown_weights(contents, learned, state)
    with average.shown():
        _save_shown_weights(contents, weights, state)
    return learned


def _save_shown_weights(contents: SnapshotContents, path: Path, state: Path) -> None:
    kind = "HDF5 file" if path.suffix == ".h5" else "binary proto file"
    logger.info(f"Snapshotting to {kind} {path}")
    remove = functools.partial(_remove_file, state)
    diffs = bool(contents.param.snapshot_diff)
    save_net(contents.net, path, diffs=diffs, before_replace=remove)


def _check_finite(net: Net, iteration: int) -> None:
    """Raise an error that names a parameter with NaN, or with infinity if it is learned."""
    learned = {id(p.blob) for p in net.parameters if p.lr_mult}
    for layer in net.layers:
        for index, blob in enumerate(layer.blobs):
            values = blob.data.get()
            if np.isfinite(values).all() or not (id(blob) in learned or np.isnan(values).any()):
                continue
            raise DivergedError(
                f"Iteration {iteration}: no snapshot is written, because parameter {index} of "
                f'layer "{layer.name}" is not finite; earlier snapshots are unchanged. Resume from '
                "the last of them with a lower base_lr, or with clip_gradients."
            )


def _remove_file(path: Path) -> None:
    """Remove the file that a path leads to, if it is one."""
    real = Path(os.path.realpath(path))
    if real.is_file():
        real.unlink()


def restore_snapshot(contents: SnapshotContents, path: str | Path) -> int:
    """Restore weights and solver state from a .solverstate file, and return its iteration.

    Raises
    ------
    SnapshotError
        If the file is something else, is damaged, or belongs to another net or solver type.
    """
    path = Path(path)
    if ".caffemodel" in path.name:
        raise SnapshotError(
            f"{path} holds weights, not a solver state. To go on training where it stopped give "
            "the .solverstate file beside it; to start from these weights use --weights."
        )
    state = read_solver_state(path)
    if state.iter < 0:
        raise SnapshotError(f"{path}: damaged: it is a snapshot of iteration {state.iter}.")
    _check_history(contents, state, path)
    _restore_weights(contents, _weights_of(state, path), state.iter)
    for tensor, values in zip(contents.history, state.history, strict=True):
        tensor.set(values.reshape(tensor.shape))
    if contents.param.lr_policy == "plateau":
        contents.plateau.restore(state.minimum_loss, state.iter_last_event, state.current_step)
    _restore_side_state(contents, state.iter, _side_file(path))
    return state.iter


def _restore_weights(contents: SnapshotContents, learned: Path, iteration: int) -> None:
    """Restore the parameters and their average, which begins anew if the snapshot has none."""
    average = contents.average if has_average(contents.param, iteration) else None
    if average is None:
        copy_trained_layers(contents.net, learned)
        return
    averaged = learned.with_name(learned.name.replace(".raw.caffemodel", ".caffemodel"))
    if averaged == learned:
        logger.warning(f"{learned}: holds no average of the parameters; it begins anew with these.")
    elif not averaged.is_file():
        raise SnapshotError(
            f"{learned}: the file with the average of the parameters, {averaged}, does not exist. "
            "Copy it there."
        )
    copy_trained_layers(contents.net, averaged)
    average.begin()
    copy_trained_layers(contents.net, learned)


def _check_history(contents: SnapshotContents, state: SolverStateFile, path: Path) -> None:
    net = contents.net
    expected, found = len(contents.history), len(state.history)
    if expected != found:
        raise SnapshotError(
            f"{path}: holds {found} history blobs; solver type {contents.param.type} on net "
            f'"{net.name}" has {expected}. It was written for another solver type or net.'
        )
    problems = Problems(SnapshotError)
    for i, (tensor, values) in enumerate(zip(contents.history, state.history, strict=True)):
        parameter = net.parameters[i % len(net.parameters)]
        if values.size != parameter.blob.count:
            problems.add(
                f"{path}: history blob {i} has shape {values.shape}; parameter {parameter.index} "
                f'of layer "{parameter.layer.name}" has {tensor.shape}'
            )
    problems.raise_if_any()


def _weights_of(state: SolverStateFile, path: Path) -> Path:
    """Return the weights file, which may have been moved together with the state file."""
    named = Path(state.learned_net)
    beside = path.parent / named.name
    # Both are written side by side, so a file at the old path may now belong to another run.
    for candidate in (beside, named):
        if candidate.is_file():
            return candidate
    raise SnapshotError(
        f'{path}: its weights file "{named}" does not exist, nor does {beside}. Copy it there.'
    )


def _side_file(state: Path) -> Path:
    return state.with_name(f"{state.name}.json")


def _write_side_state(contents: SnapshotContents, iteration: int, path: Path) -> None:
    evaluation = contents.evaluation.state()
    side_state = {
        "iter": iteration,
        "losses": contents.losses.without_others(),
        "backend": contents.net.backend.state(),
        "net": contents.net.state(),
        "test_nets": evaluation.nets,
        "selection": evaluation.selection,
        "processes": contents.parallel.communicator.size,
        "batch_size": contents.batch_size,
    }
    with write_atomically(path) as file:
        file.write(json.dumps(side_state).encode())


def _restore_side_state(contents: SnapshotContents, iteration: int, path: Path) -> None:
    if not path.exists():
        logger.info(f"No {path}: the data starts from the beginning, as in Caffe.")
        return
    try:
        side = json.loads(path.read_bytes())
        _check_whole_numbers(side)
        if side["iter"] != iteration:
            logger.warning(f"{path} belongs to iteration {side['iter']}; it is not used.")
            return
        contents.net.backend.restore(side.get("backend", {}))
        contents.net.restore(side["net"])
        tests = EvaluationState(side["test_nets"], side.get("selection", {}))
        contents.evaluation.restore(tests)
        losses = [float(loss) for loss in side["losses"]]
        _compare_batches(contents, side.get("batch_size"), side.get("processes"), path)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise SnapshotError(
            f"{path}: damaged ({error!r}). Delete it to resume from the beginning of the data."
        ) from error
    contents.losses.restore(losses)


def _compare_batches(
    contents: SnapshotContents, size: int | None, processes: int | None, path: Path
) -> None:
    """Warn if the batch of an update was of another size when the snapshot was written."""
    now, communicator = contents.batch_size, contents.parallel.communicator
    if size and now and size != now and communicator.is_root:
        before, after = _processes(processes), _processes(communicator.size)
        logger.warning(
            f"{path}: an update was made of {size} images ({before}), and is made of {now} now "
            f"({after}): iterations, max_iter and base_lr mean something else. "
            f"--batch_size={size // contents.param.iter_size}:total keeps the size."
        )


def _processes(n: int | None) -> str:
    return "1 process" if n == 1 else f"{n} processes"


def _check_whole_numbers(value: object) -> None:
    """Raise ValueError for seeds, steps and positions that no run has written."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _check_whole_numbers(part)
    elif isinstance(value, int) and not 0 <= value < 1 << 63:
        raise ValueError(f"number {value} is outside 0 .. 2^63 - 1")
