"""oneDNN's batch normalisation primitives, forward and backward, for each layout."""

from __future__ import annotations

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.runtime.call import Call, Port
from minicaffe.backends.onednn.runtime.library import (
    FUSE_RELU,
    USE_GLOBAL_STATS,
    USE_SCALE,
    USE_SHIFT,
    Arg,
    Prop,
)
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.primitive import Engine, Primitive
from minicaffe.ops.backend import Shape

STATISTICS = (Arg.MEAN, Arg.VARIANCE)


class BatchNormPrimitives:
    """y = s (x - mu) / sqrt(var + eps) + b, and its gradients.

    Parameters
    ----------
    engine : Engine
    channels : tuple of int
        The shape of mu, var, s and b.
    eps : float
    use_stored : bool
        Whether mu and var are inputs of the forward pass, not outputs.
    scales : bool
        Whether there are s and b, and gradients of them.
    rectifies : bool
        Whether a ReLU follows, in both passes; it replaces NaN by 0.

    Attributes
    ----------
    forward : callable
        Returns the call for a layout: x[, mu, var][, s, b], then y[, mu, var].
    backward : callable
        Returns the call for a layout: x, mu, var[, s], dy, then dx[, ds, db].
    """

    def __init__(
        self,
        engine: Engine,
        channels: Shape,
        eps: float,
        *,
        use_stored: bool = False,
        scales: bool = False,
        rectifies: bool = False,
    ) -> None:
        self._engine, self._channels, self._eps = engine, channels, eps
        self._use_stored, self._scales = use_stored, scales
        self._flags = (USE_GLOBAL_STATS if use_stored else 0) | (FUSE_RELU if rectifies else 0)
        self._flags |= USE_SCALE | USE_SHIFT if scales else 0
        self.forward = cache_method(self._plan_forward)
        self.backward = cache_method(self._plan_backward)

    def _plan_forward(self, layout: Layout) -> Call:
        arguments = (Prop.TRAINING, layout, layout, self._eps, self._flags)
        primitive = Primitive(self._engine, "batch_normalization_forward", *arguments)
        primitive.use_workspace(primitive.new_workspace())
        statistics = self._ports(*STATISTICS)
        scaling = self._ports(Arg.SCALE, Arg.SHIFT) if self._scales else []
        x, y = (Arg.SRC, layout), (Arg.DST, layout)
        if self._use_stored:
            return Call(primitive, [x, *statistics, *scaling], [y])
        return Call(primitive, [x, *scaling], [y, *statistics])

    def _plan_backward(self, layout: Layout) -> Call:
        hint = self.forward(layout).primitive
        prop = Prop.BACKWARD if self._scales else Prop.BACKWARD_DATA
        arguments = (prop, layout, layout, layout, self._eps, self._flags)
        primitive = Primitive(self._engine, "batch_normalization_backward", *arguments, hint=hint)
        primitive.use_workspace(hint.workspace)
        inputs = self._ports(*STATISTICS, *((Arg.SCALE,) if self._scales else ()))
        sums = self._ports(Arg.DIFF_SCALE, Arg.DIFF_SHIFT) if self._scales else []
        reads = [(Arg.SRC, layout), *inputs, (Arg.DIFF_DST, layout)]
        return Call(primitive, reads, [(Arg.DIFF_SRC, layout), *sums])

    def _ports(self, *arguments: Arg) -> list[Port]:
        layout = Layout.plain(self._channels)
        return [(argument, layout) for argument in arguments]
