"""Running statistics of the processes of a training, which differ, as one set."""

from __future__ import annotations

import numpy as np

from minicaffe.distributed.communicator import Communicator
from minicaffe.net import Net
from minicaffe.ops.backend import Tensor
from minicaffe.solver.averaging.averaged_weights import AveragedWeights


def average_running_statistics(
    communicator: Communicator, net: Net, average: AveragedWeights | None
) -> None:
    """Replace statistics that forward passes update by their means over all processes.

    Each process updates the mean and variance of BatchNorm with its own parts of the batches. A
    running statistic is a linear function of these, so that means taken more often change nothing
    but rounding.

    Parameters
    ----------
    communicator : Communicator
    net : Net
        The net being trained.
    average : AveragedWeights or None
        The average of the parameters, in which the statistics count as parameters.
    """
    if communicator.size == 1:
        return
    tensors = list(_statistics(net, average))
    if not tensors:
        return
    values = [tensor.get() for tensor in tensors]
    total = np.concatenate([value.ravel() for value in values]).astype(np.float64)
    communicator.allreduce(total)
    total /= communicator.size
    ends = np.cumsum([value.size for value in values])[:-1]
    for tensor, part in zip(tensors, np.split(total, ends), strict=True):
        tensor.set(part.reshape(tensor.shape).astype(np.float32))


def _statistics(net: Net, average: AveragedWeights | None) -> list[Tensor]:
    """Return each statistic of the net once, and its average."""
    blobs = [layer.blobs[k].data_owner for layer in net.layers for k in layer.running_statistics]
    found = list({id(blob): blob.data for blob in blobs}.values())
    if average is not None:
        owners = {id(blob) for blob in blobs}
        found += [
            mean
            for mean, p in zip(average.tensors, net.parameters, strict=True)
            if id(p.blob.data_owner) in owners
        ]
    return found
