"""The nets that a solver trains and tests, with their NetStates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from minicaffe.errors import SolverError, UsageError, nearest
from minicaffe.log import logger, suppress_info
from minicaffe.net import Net
from minicaffe.net.include_rules import filter_layers
from minicaffe.net.weights import copy_trained_layers
from minicaffe.path_hints import missing_file_hint
from minicaffe.schema import TEST, TRAIN, NetSource, NetState, SolverSource
from minicaffe.solver.parallel.effective_batch import check_divisible
from minicaffe.solver.parallel.settings import IN_ONE_PROCESS, DataParallel

StatedSource = tuple[NetSource, NetState]


def train_net_source(solver: SolverSource, parallel: DataParallel = IN_ONE_PROCESS) -> StatedSource:
    """Return the net to train and its NetState; its batch_size is that of one part of a batch.

    Raises
    ------
    SolverError
        Unless exactly one of net, net_param, train_net and train_net_param is given.
    UsageError
        If a batch size of the command line finds no layer, or cannot be divided.
    """
    param = solver.param
    fields = [f for f in ("net", "net_param", "train_net", "train_net_param") if param.HasField(f)]
    if len(fields) != 1:
        found = "none is" if not fields else f"{' and '.join(fields)} are"
        raise SolverError(
            f"{solver.path}: give exactly one of net, net_param, train_net and train_net_param; "
            f"{found} given"
        )
    field = fields[0]
    if field.endswith("_param"):
        logger.info(f"Creating training net specified in {field.removesuffix('_net_param')}_param.")
        source = solver.inline_net(field)
    else:
        kind = "net" if field == "net" else "train_net"
        logger.info(f"Creating training net from {kind} file: {getattr(param, field)}")
        source = _read(solver, field)
    state = NetState(phase="TRAIN")
    state.MergeFrom(source.param.state)
    state.MergeFrom(param.train_state)
    state.phase = TRAIN
    _set_batch_size(solver, source, state, parallel)
    return source, state


def check_overrides(solver: SolverSource) -> None:
    """Check the overrides of nets before one is built.

    Raises
    ------
    UsageError
        If a field does not exist or does not take the value, or no net has a layer of the name.
    """
    param, overrides = solver.param, list(solver.overrides.of_nets)
    if not overrides:
        return
    with suppress_info():
        nets = [
            *(_read(solver, f) for f in ("net", "train_net") if param.HasField(f)),
            *(_read(solver, "test_net", k) for k in range(len(param.test_net))),
            *(solver.inline_net(f) for f in ("net_param", "train_net_param") if param.HasField(f)),
            *(solver.inline_net("test_net_param", k) for k in range(len(param.test_net_param))),
        ]
    names = {layer.name for net in nets for layer in net.param.layer}
    for override in overrides:
        if nets and not sum(override.set_in(net.param) for net in nets):
            name = override.path[0].which or ""
            raise UsageError(
                f'{override.flag}: no net of {solver.path} has a layer "{name}". '
                f"{nearest(name, names)}"
            )


def _set_batch_size(
    solver: SolverSource, source: NetSource, state: NetState, parallel: DataParallel
) -> None:
    """Override the batch size of the training net's data layers, and divide it into parts."""
    override, n_parts = solver.overrides.batch_size, parallel.n_divisions
    if override is None and n_parts == 1:
        return
    with suppress_info():
        nodes = filter_layers(source, state)
    places = [
        (source.param.layer[node.index], value)
        for node in nodes
        if node.index is not None
        for field, value in source.param.layer[node.index].ListFields()
        if field.message_type is not None
        and "batch_size" in field.message_type.fields_by_name
        and value.HasField("batch_size")
    ]
    flag = override.flag if override is not None else "--batch_size=total"
    if not places:
        raise UsageError(f"{flag}: no layer of the training net in {source.path} has a batch_size.")
    for layer, value in places:
        if override is not None:
            override.set_in(value)
        check_divisible(value.batch_size, n_parts, f'{flag}: {source.path}, layer "{layer.name}"')
        value.batch_size //= n_parts


def test_net_sources(solver: SolverSource) -> Iterator[StatedSource]:
    """Yield the nets to test and their NetStates, in Caffe's order.

    The test_net_params come first, then the test_nets, then `net` or `net_param`, once for each
    entry of test_iter that is left.

    Raises
    ------
    SolverError
        If the numbers of nets, test_iter and test_state do not agree.
    """
    param = solver.param
    own = [f for f in ("net_param", "net") if param.HasField(f)]
    n_own = _check_counts(solver, bool(own))
    sources = [
        *(("test_net_param", i) for i in range(len(param.test_net_param))),
        *(("test_net", i) for i in range(len(param.test_net))),
        *((own[0], None) for _ in range(n_own)),
    ]
    for index, (field, k) in enumerate(sources):
        value = getattr(param, field) if k is None else getattr(param, field)[k]
        is_file = isinstance(value, str)
        what = f"{field} file: {value}" if is_file else field
        logger.info(f"Creating test net (#{index}) specified by {what}")
        source = _read(solver, field, k) if is_file else solver.inline_net(field, k or 0)
        state = NetState(phase="TEST")
        state.MergeFrom(source.param.state)
        if len(param.test_state):
            state.MergeFrom(param.test_state[index])
        state.phase = TEST
        yield source, state


def fill_nets(solver: SolverSource, net: Net, test_nets: Sequence[Net]) -> None:
    """Fill the parameters of the nets, and copy the initial weights that the solver names."""
    for one in (net, *test_nets):
        one.fill()
    copy_initial_weights(solver, net, test_nets)


def copy_initial_weights(solver: SolverSource, net: Net, test_nets: Sequence[Net]) -> None:
    """Copy the initial weights that the solver names; commas separate files in one entry.

    Test nets share the training net's layers; their other layers are copied as well.

    Raises
    ------
    SnapshotError
        If a file cannot be read or does not fit.
    """
    param = solver.param
    words = [word.strip() for entry in param.weights for word in entry.split(",")]
    paths = [word for word in words if word]
    if not paths:
        return
    for path in paths:
        logger.info(f"Finetuning from {path}")
    shared = {layer.name for layer in net.layers}
    copy_trained_layers(net, *paths)
    for test_net in test_nets:
        if any(layer.blobs and layer.name not in shared for layer in test_net.layers):
            copy_trained_layers(test_net, *paths, optional=shared)


def _check_counts(solver: SolverSource, has_own: bool) -> int:
    """Return how many test nets are the training net's file in the TEST phase."""
    param = solver.param
    n_extra, n_iter = len(param.test_net_param) + len(param.test_net), len(param.test_iter)
    if n_iter < n_extra or (n_iter > n_extra and not has_own):
        raise SolverError(
            f"{solver.path}: test_iter is given {n_iter} times for {n_extra} test nets; give it "
            "once for each"
        )
    if len(param.test_state) not in (0, n_iter):
        raise SolverError(
            f"{solver.path}: test_state is given {len(param.test_state)} times for {n_iter} test "
            "nets; give it once for each, or not at all"
        )
    for k, batches in enumerate(param.test_iter):
        if batches < 0:
            raise SolverError(
                f"{solver.where('test_iter', k)}: test_iter: {batches}; it must not be negative"
            )
    if n_iter and param.test_interval < 1:
        raise SolverError(
            f"{solver.path}: test_iter is given, so test_interval must be at least 1; it is the "
            "number of iterations between tests"
        )
    return n_iter - n_extra


def _read(solver: SolverSource, field: str, k: int | None = None) -> NetSource:
    """Read a net whose path is relative to the working directory, or else to the solver file."""
    path = getattr(solver.param, field) if k is None else getattr(solver.param, field)[k]
    if Path(path).exists():
        return solver.net_of_file(path)
    beside = Path(solver.path).parent / path
    if not beside.exists():
        there = "" if beside == Path(path) else f", nor as {beside}"
        raise SolverError(
            f'{solver.where(field, k or 0)}: {field}: "{path}" does not exist in {Path.cwd()}'
            f"{there}.{missing_file_hint(path)} Correct the path, or start in the folder that it "
            "is relative to."
        )
    logger.info(f"{path} is not below the working directory; using {beside}")
    return solver.net_of_file(beside)
