"""Snapshots: weights, solver state, and what makes a resumed run equal an uninterrupted one.

Three files are written, each first under another name and then moved into place, so that whatever
happens there is either the old file or the new one:

* ``PREFIX_iter_N.caffemodel``: the net with its weights
* ``PREFIX_iter_N.solverstate.json``: position in the data and random steps (ours)
* ``PREFIX_iter_N.solverstate``: iteration and history; written last, so that where it is, all are

The first and the last are Caffe's and go both ways; without the second one a run resumes as Caffe
does, from the beginning of the data.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicaffe.atomic_file import write_atomically
from minicaffe.errors import Problems, SnapshotError, SolverError
from minicaffe.log import logger
from minicaffe.net.weights import copy_trained_layers, save_net
from minicaffe.schema import SolverStateFile, read_solver_state, write_solver_state
from minicaffe.solver.lr_policy import current_step

if TYPE_CHECKING:
    from minicaffe.solver.solver import Solver


def check_prefix(prefix: str, where: str) -> None:
    """Make the folder that snapshots go to, and see that it can be written.

    Parameters
    ----------
    prefix : str
        The solver's snapshot_prefix.
    where : str
        File and line that say so.

    Raises
    ------
    SolverError
        If it cannot.
    """
    folder = Path(prefix).parent
    probe = Path(f"{prefix}.writable")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SolverError(
            f'{where}: snapshot_prefix: "{prefix}" cannot be written: {error.strerror}. '
            "Give a folder that can, or want none: snapshot: 0 snapshot_after_train: false"
        ) from error


def write(solver: Solver) -> None:
    """Write weights and solver state for the current iteration.

    Raises
    ------
    SnapshotError
        If a file cannot be written; files of earlier snapshots are as they were.
    """
    param = solver.param
    as_hdf5 = param.snapshot_format == type(param).HDF5
    suffix, kind = (".h5", "HDF5 file") if as_hdf5 else ("", "binary proto file")
    stem = f"{solver.snapshot_prefix}_iter_{solver.iter}"
    weights, state = Path(f"{stem}.caffemodel{suffix}"), Path(f"{stem}.solverstate{suffix}")
    logger.info(f"Snapshotting to {kind} {weights}")
    save_net(solver.net, weights, diffs=bool(param.snapshot_diff))
    logger.info(f"Snapshotting solver state to {kind} {state}")
    with write_atomically(_side_file(state)) as file:
        file.write(json.dumps(_side_state(solver)).encode())
    contents = SolverStateFile(
        iter=solver.iter,
        learned_net=str(weights),
        current_step=current_step(param, solver.iter),
        history=[tensor.get() for tensor in solver.history],
    )
    with write_atomically(state) as file:
        write_solver_state(file, contents, as_hdf5)


def restore(solver: Solver, path: str | Path) -> None:
    """Set a solver to where a .solverstate file was written.

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
    _check_history(solver, state, path)
    copy_trained_layers(solver.net, _weights_of(state, path))
    solver.iter = state.iter
    for tensor, values in zip(solver.history, state.history, strict=True):
        tensor.set(values.reshape(tensor.shape))
    _restore_side_state(solver, _side_file(path))


def _check_history(solver: Solver, state: SolverStateFile, path: Path) -> None:
    expected, found = len(solver.history), len(state.history)
    if expected != found:
        raise SnapshotError(
            f"{path}: holds {found} history blobs; solver type {solver.rule.type} on net "
            f'"{solver.net.name}" has {expected}. It was written for another solver type or net.'
        )
    problems = Problems(SnapshotError)
    for i, (tensor, values) in enumerate(zip(solver.history, state.history, strict=True)):
        parameter = solver.net.parameters[i % len(solver.net.parameters)]
        if values.size != parameter.blob.count:
            problems.add(
                f"{path}: history blob {i} has shape {values.shape}; parameter {parameter.index} "
                f'of layer "{parameter.layer.name}" has {tensor.shape}'
            )
    problems.raise_if_any()


def _weights_of(state: SolverStateFile, path: Path) -> Path:
    """Return the weights file, which may have moved together with the state file."""
    named = Path(state.learned_net)
    beside = path.parent / named.name
    # They are written side by side: what is in the old place now may be of another run.
    for candidate in (beside, named):
        if candidate.is_file():
            return candidate
    raise SnapshotError(
        f'{path}: its weights file "{named}" does not exist, nor does {beside}. Copy it there.'
    )


def _side_file(state: Path) -> Path:
    return state.with_name(f"{state.name}.json")


def _side_state(solver: Solver) -> dict[str, Any]:
    return {
        "iter": solver.iter,
        "losses": solver.losses.values(),
        "backend": solver.backend.state(),
        "net": solver.net.state(),
        "test_nets": solver.test_states(),
    }


def _restore_side_state(solver: Solver, path: Path) -> None:
    if not path.exists():
        logger.info(f"No {path}: the data starts from the beginning, as in Caffe.")
        return
    try:
        side = json.loads(path.read_bytes())
        if side["iter"] != solver.iter:
            logger.warning(f"{path} belongs to iteration {side['iter']}; it is not used.")
            return
        solver.backend.restore(side.get("backend", {}))
        states = [side["net"], *side["test_nets"]]
        for net, state in zip([solver.net, *solver.test_nets], states, strict=False):
            net.restore(state)
        losses = [float(loss) for loss in side["losses"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SnapshotError(
            f"{path}: damaged ({error!r}). Delete it to resume from the beginning of the data."
        ) from error
    solver.losses.restore(losses)
