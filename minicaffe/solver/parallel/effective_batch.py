"""The size of the batch that an update is made of, over all processes."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.errors import UsageError
from minicaffe.layers.batch_layer import BatchLayer
from minicaffe.log import logger
from minicaffe.net import Net
from minicaffe.solver.parallel.settings import DataParallel


def first_batch_layer(net: Net) -> BatchLayer | None:
    """Return the first layer of a net that reads batches; None if a program fills the net."""
    layers: Sequence[object] = net.layers
    return next((layer for layer in layers if isinstance(layer, BatchLayer)), None)


def effective_batch_size(net: Net, parallel: DataParallel, iter_size: int) -> int | None:
    """Return the number of images of an update, None if a program fills the net.

    Parameters
    ----------
    net : Net
        The net being trained, which reads one part of a batch at a time.
    parallel : DataParallel
    iter_size : int
        The solver's number of batches for an update.
    """
    layer = first_batch_layer(net)
    if layer is None:
        return None
    return int(layer.source.shapes[0][0]) * parallel.parts.count * iter_size


def check_divisible(size: int, n: int, where: str) -> None:
    """Raise UsageError, which begins with `where`, unless a batch can be divided into n parts."""
    if not size % n:
        return
    smaller = size // n * n
    near = f"{smaller} or {smaller + n}" if smaller else f"{n}"
    raise UsageError(
        f"{where}: batch_size: {size} cannot be divided into {n} parts of equal size. The nearest "
        f"that can is {near}: --batch_size={smaller or n}:total"
    )


def log_effective_batch(net: Net, parallel: DataParallel, iter_size: int) -> None:
    """Log the effective batch size of several processes, and that the learning rate stays."""
    size, n = parallel.communicator.size, parallel.parts.count
    total = effective_batch_size(net, parallel, iter_size)
    if n == 1 or total is None:
        return
    factors = [n, total // n // iter_size] + ([iter_size] if iter_size > 1 else [])
    what = [f"{size} process{'es' if size > 1 else ''}"]
    what += [f"summation parts: {n}"] if parallel.summation_parts else []
    what += [f"iter_size: {iter_size}"] if iter_size > 1 else []
    product = " x ".join(map(str, factors))
    logger.info(f"Effective batch size {total} = {product} ({', '.join(what)})")
    if not parallel.batch_is_total:
        logger.info(
            f"The batch is {n} times batch_size; the learning rate is not changed. The linear "
            f"scaling rule (Goyal et al., 2017) multiplies base_lr by {n}, after a warmup; "
            "--batch_size total makes batch_size the size of the whole batch."
        )
