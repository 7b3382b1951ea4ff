"""Snapshots: weights and solver state, for exact resuming.

A resumed run computes the same values as an uninterrupted one. Three files are written, each first
under another name and then renamed, so that a file of a snapshot is complete, or is the older one
of that name:

* ``PREFIX_iter_N.caffemodel``: the net with its weights
* ``PREFIX_iter_N.solverstate.json``: position in the data and random steps (ours)
* ``PREFIX_iter_N.solverstate``: iteration and history; written last, so that its presence implies
  the other two

The first and the last are Caffe's and are exchanged with it; without the second one a run resumes
as Caffe does, from the beginning of the data.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minicaffe.atomic_file import write_atomically
from minicaffe.errors import Problems, SnapshotError, SolverError
from minicaffe.layers.base import State
from minicaffe.log import logger
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers, save_net
from minicaffe.ops.backend import Tensor
from minicaffe.path_hints import unexpanded
from minicaffe.schema import (
    SolverParameter,
    SolverStateFile,
    read_solver_state,
    write_solver_state,
)
from minicaffe.solver.loss_history import LossHistory
from minicaffe.solver.lr_policy import current_step


@dataclass(frozen=True)
class SnapshotContents:
    """The objects of a training that a snapshot saves and restores.

    Parameters
    ----------
    param : SolverParameter
    net : Net
        The net being trained.
    test_nets : sequence of Net
    history : sequence of Tensor
        The rule's history, in the order of a .solverstate file.
    losses : LossHistory
    """

    param: SolverParameter
    net: Net
    test_nets: Sequence[Net]
    history: Sequence[Tensor]
    losses: LossHistory


def check_snapshot_prefix(prefix: str, where: str) -> None:
    """Make the folder for snapshots, and check that it is writable.

    Parameters
    ----------
    prefix : str
        The solver's snapshot_prefix.
    where : str
        File and line of that setting.

    Raises
    ------
    SolverError
        If the folder cannot be made or written to.
    """
    folder = Path(prefix).parent
    if unexpanded(prefix) and not folder.exists():
        logger.warning(
            f'{where}: snapshot_prefix: "{prefix}": ~ and variables such as $HOME are not expanded '
            f"here; the folder {folder} is made in {Path.cwd()}. Write the whole path."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=f".{Path(prefix).name}.", dir=folder):
            pass
    except (OSError, ValueError) as error:  # ValueError: a NUL byte, or not in the locale
        reason = getattr(error, "strerror", None) or error
        raise SolverError(
            f'{where}: snapshot_prefix: "{prefix}" cannot be written: {reason}. Give a '
            "writable folder, or switch snapshots off: snapshot: 0 snapshot_after_train: false"
        ) from error


def write_snapshot(
    contents: SnapshotContents, iteration: int, test_states: Sequence[State]
) -> None:
    """Write weights and solver state.

    Parameters
    ----------
    contents : SnapshotContents
    iteration : int
        Number of updates made.
    test_states : sequence of dict
        States of the test nets for a resumed run.

    Raises
    ------
    SnapshotError
        If a file cannot be written; files of earlier snapshots are unchanged.
    """
    param = contents.param
    as_hdf5 = param.snapshot_format == SolverParameter.HDF5
    suffix, kind = (".h5", "HDF5 file") if as_hdf5 else ("", "binary proto file")
    stem = f"{param.snapshot_prefix}_iter_{iteration}"
    weights, path = Path(f"{stem}.caffemodel{suffix}"), Path(f"{stem}.solverstate{suffix}")
    logger.info(f"Snapshotting to {kind} {weights}")
    save_net(contents.net, weights, diffs=bool(param.snapshot_diff))
    logger.info(f"Snapshotting solver state to {kind} {path}")
    _write_side_state(contents, iteration, test_states, _side_file(path))
    state = SolverStateFile(
        iter=iteration,
        learned_net=str(weights),
        current_step=current_step(param, iteration),
        history=[tensor.get() for tensor in contents.history],
    )
    with write_atomically(path) as file:
        write_solver_state(file, state, as_hdf5)


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
    _check_history(contents, state, path)
    copy_trained_layers(contents.net, _weights_of(state, path))
    for tensor, values in zip(contents.history, state.history, strict=True):
        tensor.set(values.reshape(tensor.shape))
    _restore_side_state(contents, state.iter, _side_file(path))
    return state.iter


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


def _write_side_state(
    contents: SnapshotContents, iteration: int, test_states: Sequence[State], path: Path
) -> None:
    side_state = {
        "iter": iteration,
        "losses": contents.losses.values(),
        "backend": contents.net.backend.state(),
        "net": contents.net.state(),
        "test_nets": list(test_states),
    }
    with write_atomically(path) as file:
        file.write(json.dumps(side_state).encode())


def _restore_side_state(contents: SnapshotContents, iteration: int, path: Path) -> None:
    if not path.exists():
        logger.info(f"No {path}: the data starts from the beginning, as in Caffe.")
        return
    try:
        side = json.loads(path.read_bytes())
        if side["iter"] != iteration:
            logger.warning(f"{path} belongs to iteration {side['iter']}; it is not used.")
            return
        contents.net.backend.restore(side.get("backend", {}))
        states = [side["net"], *side["test_nets"]]
        for net, state in zip([contents.net, *contents.test_nets], states, strict=False):
            net.restore(state)
        losses = [float(loss) for loss in side["losses"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SnapshotError(
            f"{path}: damaged ({error!r}). Delete it to resume from the beginning of the data."
        ) from error
    contents.losses.restore(losses)
