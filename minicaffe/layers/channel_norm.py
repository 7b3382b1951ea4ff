"""Base of the batch normalisations of forks, which scale and shift channels themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar
from weakref import WeakKeyDictionary

from minicaffe.blob import Blob
from minicaffe.layers.base import Blobs, Layer, P
from minicaffe.ops.affine_batch_norm import AffineBatchNorm
from minicaffe.ops.backend import EpilogueOp, Tensor
from minicaffe.ops.running_statistics import RunningStatistics, StatisticsForm
from minicaffe.ops.scale import Scale
from minicaffe.ops.sync_batch_norm import SumOverRanks, SyncBatchNorm

_LINEAR = Scale(axis=1, bias=True)


class ChannelNormLayer(Layer[P]):
    """Base of layers that normalise channels, then scale and shift them.

    A subclass creates the parameters in `setup` and sets the attributes. The parameters are scale
    and shift, one value a channel, and the running statistics, if there are any: mean, spread and,
    if the form has it, weight.

    Attributes
    ----------
    statistics : tuple
        Form, fraction and eps of `RunningStatistics`.
    uses_batch : bool
        Whether the statistics are those of the batch; if not, the stored ones, if there are any.
    learns : bool
        Whether scale and shift get gradients.
    is_synchronous : bool
        Whether the statistics of the batch are those of all processes.
    """

    role = "normalization"
    in_place = True
    ignores_ones = True
    # The index of the scale among the parameters; the shift follows it.
    scaling: ClassVar[int] = 0

    statistics: tuple[StatisticsForm, float, float]
    uses_batch: bool
    learns: bool = True
    is_synchronous: bool = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create what kernels exchange, one value a channel."""
        self._views: WeakKeyDictionary[Tensor, Tensor] = WeakKeyDictionary()
        names = ("mean", "variance", "factor", "offset")
        self.mean, self.variance, self.factor, self.offset = (
            Blob(self.context.backend, name, (self.channels(bottom),)) for name in names
        )

    def channels(self, bottom: Blobs) -> int:
        """Return the number of channels of the bottom."""
        shape = bottom[0].shape
        self.require_shape(
            len(shape) >= 2, f'bottom "{bottom[0].name}" must be (N, C, ...), it is {shape}'
        )
        return shape[1]

    def fix(self, *indices: int) -> None:
        """Make the solver leave parameters as they are."""
        specs = self.param.param
        for _ in range(len(specs), len(self.blobs)):
            specs.add()
        for k in indices:
            specs[k].lr_mult = specs[k].decay_mult = 0

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        x, n = bottom[0], self.mean.count
        self.require_shape(
            self.channels(bottom) == n,
            f'bottom "{x.name}" now has shape {x.shape}; the parameters are of {n} channels',
        )
        top[0].reshape(x.shape)
        self._plan_running(math.prod(x.shape) // max(n, 1))
        s, b = self._scaling()
        tensors = (x.data, s, b, self.mean.data, self.variance.data, top[0].data)
        if not self.uses_batch:
            self.linear = self.plan(_LINEAR, x.data, s, top[0].data, b)
        elif self.is_synchronous:
            self.whole_batch = self.plan(SyncBatchNorm(self.statistics[2]), *tensors)
        else:
            self.batch = self.plan(AffineBatchNorm(self.statistics[2]), *tensors)

    def _plan_running(self, m: int) -> None:
        """Plan the running statistics for batches of `m` values a channel."""
        self._m, stored = m, self._stored()
        if stored:
            self.running = self.plan(RunningStatistics(*self.statistics, m), *stored)

    def vector(self, tensor: Tensor) -> Tensor:
        """Return the view of a parameter as one axis, always the same object."""
        if len(tensor.shape) == 1:
            return tensor
        if tensor not in self._views:
            self._views[tensor] = tensor.view((self.mean.count,))
        return self._views[tensor]

    def _scaling(self) -> tuple[Tensor, Tensor]:
        s, b = self.blobs[self.scaling : self.scaling + 2]
        return self.vector(s.data), self.vector(b.data)

    def _stored(self) -> list[Tensor]:
        """Return the running statistics."""
        i = self.scaling
        return [self.vector(blob.data) for blob in (*self.blobs[:i], *self.blobs[i + 2 :])]

    def _linear_function(self) -> tuple[Tensor, Tensor]:
        """Return factor and offset of a channel, folded from the stored statistics."""
        stored = self._stored()
        if not stored:
            return self._scaling()
        self.running.fold(stored, *self._scaling(), self.factor.data, self.offset.data)
        return self.factor.data, self.offset.data

    def epilogue_op(self) -> EpilogueOp | None:
        """Return the linear function, unless the statistics are those of the batch.

        Its gradient reads the bottom for that of the parameters only.
        """
        if self.uses_batch:
            return None
        return EpilogueOp(_LINEAR, self._linear_function, keeps_input=self.learns)

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse ops that follow on the top, where the layer is one linear function."""
        return 0 if self.uses_batch else self.context.backend.fuse(self.linear, epilogue)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top; with statistics of the batch update the running ones."""
        x, y, stored = bottom[0].data, top[0].data, self._stored()
        if not self.uses_batch:
            self.linear.forward(x, *self._linear_function(), y)
            return
        found = (self.mean.data, self.variance.data)
        if self.is_synchronous:
            m = self.whole_batch.forward(x, self._scaling(), found, y, self._add_up)
            if m != self._m:
                self._plan_running(m)
        else:
            self.batch.forward(x, *self._scaling(), *found, y)
        if stored:
            self.running.update(*found, stored)

    @property
    def _add_up(self) -> SumOverRanks:
        return self.context.share.communicator.allreduce

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Add to the parameters' diffs, overwrite the bottom's."""
        dy, dx = top[0].diff, bottom[0].diff if propagate_down[0] else None
        ds, db = (
            self.vector(self.blobs[k].diff) if self.learns and self.param_needs_diff[k] else None
            for k in (self.scaling, self.scaling + 1)
        )
        s = self._scaling()[0]
        if self.uses_batch and self.is_synchronous:
            self.whole_batch.backward(dy, s, dx, ds, db, self._add_up)
            return
        if self.uses_batch:
            self.batch.backward(dy, s, dx, ds, db)
            return
        if ds is not None or db is not None:
            self._backward_weights(bottom[0].data, dy, ds, db)
        if dx is not None:
            self.linear.backward_data(dy, self.factor.data if self._stored() else s, dx)

    def _backward_weights(
        self, x: Tensor, dy: Tensor, ds: Tensor | None, db: Tensor | None
    ) -> None:
        stored = self._stored()
        if not stored:
            self.linear.backward_weights(x, dy, ds, db)
            return
        dfactor, doffset = self.factor.diff, self.offset.diff
        dfactor.clear()
        doffset.clear()
        self.linear.backward_weights(x, dy, dfactor, doffset)
        self.running.unfold(stored, dfactor, doffset, ds, db)
