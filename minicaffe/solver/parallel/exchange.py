"""The exchange of gradients between processes during the backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from minicaffe.distributed.buckets import group_into_buckets
from minicaffe.distributed.communicator import Communicator
from minicaffe.distributed.device_sum import DeviceSum
from minicaffe.distributed.gradient_sums import AllreduceSum, GradientSum, PairwiseSum
from minicaffe.distributed.reduction_thread import (
    DeferredReductions,
    Reductions,
    ReductionThread,
)
from minicaffe.distributed.rounded_sum import FORMATS, RoundedSum
from minicaffe.net import Net
from minicaffe.ops.backend import Array, HostArray, Task, Tensor
from minicaffe.solver.parallel.completion import find_completions
from minicaffe.solver.parallel.partial_sums import PartialSums
from minicaffe.solver.parallel.same_parameters import check_same_net
from minicaffe.solver.parallel.settings import DataParallel


class GradientExchange:
    """Sums the gradients of the parts of a batch, over the parts and the processes.

    Gradients are grouped into buckets in the order in which the backward pass completes them. A
    thread sums a bucket as soon as it is complete. All processes sum the same buckets in the same
    order, as arrays in C order: the layouts of the backends may differ between machines.

    Parameters
    ----------
    net : Net
        The net to train.
    parallel : DataParallel

    Raises
    ------
    SolverError
        If the processes have different nets.

    Attributes
    ----------
    share : float
        1 / number of parts, the factor of the sums that makes them means.
    """

    def __init__(self, net: Net, parallel: DataParallel) -> None:
        check_same_net(net, parallel.communicator)
        self._net, self._parts = net, parallel.parts
        self.share = 1 / self._parts.count
        self._completions = find_completions(net)
        self._gradients = [c.parameter.blob.diff for c in self._completions]
        item_bytes = net.backend.dtype.itemsize
        self._buckets = group_into_buckets(
            [c.parameter.blob.count * item_bytes for c in self._completions]
        )
        self._partial = PartialSums(self._gradients, self._parts.n)
        self._is_on_device = net.backend.free_bytes() is not None
        self._is_rounded = parallel.gradient_type != "float32"
        takes_device = self._is_on_device and not parallel.reason_for_main_memory
        self._device_sum = parallel.device_sum if takes_device else None
        whole = parallel.communicator
        # The only bucket is complete when the backward pass ends: there is nothing to overlap.
        uses_thread = whole.size > 1 and whole.allows_threads and len(self._buckets) > 1
        self._reductions: Reductions = ReductionThread() if uses_thread else DeferredReductions()
        own = whole.duplicate() if uses_thread else whole
        self._sum = _gradient_sum(parallel, own)
        # Gradients of a device, and their sums in main memory.
        self._staged: list[tuple[Tensor, HostArray]] = []

    @property
    def n_sets(self) -> int:
        """The number of sets of gradients that are kept: sums of parts, what is still unsent."""
        return self._partial.n_sets + self._is_rounded

    def keep_part(self, part: int) -> None:
        """Keep the gradients of a part that is not the last of this process."""
        with self._net.backend.lock:
            self._partial.keep_part(part)

    def tasks(self, factor: float) -> list[Task]:
        """Return the tasks of the last part's backward pass, with the exchange between them.

        Parameters
        ----------
        factor : float
            Factor of the sums.
        """
        tasks: list[Task] = []
        for index, task in enumerate(self._net.backward_tasks()):
            complete = (n for n in range(len(self._buckets)) if self._last_task(n) == index)
            tasks += [task, *(partial(self._send, number, factor) for number in complete)]
        return [*tasks, self._receive]

    def run(self, factor: float) -> None:
        """Sum all gradients after a backward pass; see `tasks`."""
        for number in range(len(self._buckets)):
            self._send(number, factor)
        self._receive()

    def _last_task(self, number: int) -> int:
        """Return the index of the backward task that completes a bucket."""
        return self._completions[self._buckets[number][-1]].task

    def _send(self, number: int, factor: float) -> None:
        """Add up the parts of a bucket's gradients, and start their sum over the processes."""
        bucket = self._buckets[number]
        with self._net.backend.lock:
            arrays = [self._total(index) for index in bucket]
            if self._device_sum is not None:
                _sum_on_device(self._device_sum, arrays, factor)
                return
        self._reductions.append_job(partial(self._sum, number, arrays, factor))

    def _total(self, index: int) -> Array:
        """Return a gradient, summed over the parts of this process, in memory to change."""
        gradient = self._gradients[index]
        array = gradient.update()
        self._partial.add_kept(index, array)
        if not self._is_on_device or self._device_sum is not None:
            return array
        values = gradient.get()
        self._staged.append((gradient, values))
        return values

    def _receive(self) -> None:
        """Wait for the sums, and copy them to the device if there is one."""
        staged, self._staged = self._staged, []
        self._reductions.wait_for_jobs()
        if self._device_sum is not None:
            self._device_sum.raise_if_failed()
        with self._net.backend.lock:
            for gradient, values in staged:
                gradient.set(values)


def _gradient_sum(parallel: DataParallel, communicator: Communicator) -> GradientSum:
    if parallel.summation_parts:
        return PairwiseSum(communicator)
    if parallel.gradient_type != "float32":
        return RoundedSum(communicator, FORMATS[parallel.gradient_type])
    return AllreduceSum(communicator)


def _sum_on_device(device_sum: DeviceSum, arrays: Sequence[Array], factor: float) -> None:
    for array in arrays:
        # The stream is the one that the backend computes on.
        interface = array.__cuda_array_interface__
        device_sum.enqueue_sum(interface["data"][0], array.size, interface["stream"])
        if factor != 1:
            array *= factor
