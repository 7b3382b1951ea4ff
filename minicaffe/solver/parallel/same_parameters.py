"""Equal parameters on all processes: sent at the start, compared during the training."""

from __future__ import annotations

import zlib
from itertools import zip_longest

import numpy as np

from minicaffe.distributed.communicator import Communicator
from minicaffe.errors import SolverError
from minicaffe.net import Net
from minicaffe.net.parameters import LearnableParameter
from minicaffe.ops.backend import Shape
from minicaffe.solver.parallel.settings import DataParallel


def check_same_net(net: Net, communicator: Communicator) -> None:
    """Raise a SolverError on all processes unless they have the same parameters of the same shapes.

    Otherwise a sum over the processes would wait for ever, or add what does not belong together.
    """
    own = [(p.layer.name, p.index, p.blob.shape, p.lr_mult != 0) for p in net.parameters]
    by_rank = communicator.allgather(own)
    for rank, other in enumerate(by_rank):
        if other == by_rank[0]:
            continue
        differing = (pair for pair in zip_longest(by_rank[0], other) if pair[0] != pair[1])
        first, found = next(differing)
        raise SolverError(
            f"{net.source.where()}: the training nets of the processes differ: rank 0 has "
            f"{_parameter_text(first)} where rank {rank} has {_parameter_text(found)}. Give all "
            "machines the same prototxt files, stages and version of minicaffe."
        )


def _parameter_text(entry: tuple[str, int, Shape, bool] | None) -> str:
    if entry is None:
        return "no parameter"
    layer, index, shape, is_trained = entry
    fixed = "" if is_trained else " and lr_mult: 0"
    return f'parameter {index} of layer "{layer}" with shape {shape}{fixed}'


def broadcast_parameters(net: Net, communicator: Communicator) -> None:
    """Overwrite all parameters of a net with those of rank 0."""
    if communicator.size == 1:
        return
    for parameter in net.parameters:
        values = parameter.blob.data.get()
        communicator.broadcast(values)
        if not communicator.is_root:
            with net.backend.lock:
                parameter.blob.data.set(values)


class ParameterCheck:
    """Compares the trained parameters of all processes every check_interval iterations.

    Running statistics are not compared: they differ until they are averaged.

    Parameters
    ----------
    net : Net
    parallel : DataParallel
    """

    def __init__(self, net: Net, parallel: DataParallel) -> None:
        self._backend, self._communicator = net.backend, parallel.communicator
        self._interval = parallel.check_interval if parallel.communicator.size > 1 else 0
        self._parameters = [p for p in net.parameters if p.lr_mult]

    def run(self, iteration: int) -> None:
        """Compare checksums if the iteration is a multiple of check_interval.

        Raises
        ------
        SolverError
            On all processes, if a parameter differs; names the first such parameter and the ranks.
        """
        if not self._interval or iteration % self._interval:
            return
        own = [self._checksum(parameter) for parameter in self._parameters]
        by_rank = self._communicator.allgather(own)
        for index, parameter in enumerate(self._parameters):
            values = [checksums[index] for checksums in by_rank]
            if len(set(values)) > 1:
                raise SolverError(_difference(parameter, values, iteration))

    def _checksum(self, parameter: LearnableParameter) -> int:
        with self._backend.lock:
            values = parameter.blob.data.get()
        return zlib.crc32(np.ascontiguousarray(values).data)


def _difference(parameter: LearnableParameter, values: list[int], iteration: int) -> str:
    others = [str(rank) for rank, value in enumerate(values) if value != values[0]]
    ranks = f"rank {others[0]}" if len(others) == 1 else f"ranks {', '.join(others)}"
    name = f'"{parameter.name}"' if parameter.name else str(parameter.index)
    return (
        f"{parameter.layer.where}: after iteration {iteration}, parameter {name} of layer "
        f'"{parameter.layer.name}" differs between the processes: {ranks} from rank 0. All must '
        "stay equal. Look for Python layers or callbacks that change parameters or gradients by "
        "random or local values; otherwise suspect the memory or network of these ranks. Go on "
        "from the last snapshot."
    )
