"""Normalize: two layers of this name, told apart by their settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from minicaffe.blob import Blob
from minicaffe.layers.base import Blobs, Layer, TopReads
from minicaffe.layers.registry import register
from minicaffe.ops.backend import Shape
from minicaffe.ops.normalize import Normalize as NormalizeOp
from minicaffe.ops.normalize import VectorNorm
from minicaffe.ops.scale import Scale
from minicaffe.schema import FillerParameter
from minicaffe.schema.forks_pb2 import NormalizeParameter

# Of happynear's layer, which has no setting for it.
_EPS = 1e-6


@register("Normalize")
class Normalize(Layer[NormalizeParameter]):
    """Divide vectors by their length; in SSD's form multiply by learned factors.

    Shapes: x (N, C, ...) -> y (N, C, ...)[, norms (N, 1, ...)]

    Notes
    -----
    With norm_param (SSD): y = s x / sqrt(sum of x^2 + eps), where the sum goes over each sample, or
    with across_spatial: false over the channels of each pixel. s is one factor for each channel, or
    one number with channel_shared: true, initialised to 1 unless scale_filler is set. The gradient
    of x is that of the quotient for dy, times s, as in SSD; it is exact where all s are equal.

    Without it, or with normalize_param (happynear): y = x / sqrt(sum of x^2 + 1e-6), or with
    normalize_type: "L1" x / (sum of abs(x) + 1e-6), over the channels of each pixel. Axes are added
    to the top up to (N, C, H, W). The second top holds the divisors; its gradient is used with
    bp_norm: true only. fix_gradient: true is an error.

    Parameters: factors (C,), or () with channel_shared: true; none without norm_param.

    References
    ----------
    Liu et al., "ParseNet: looking wider to see better", 2015. Wang et al., "NormFace", 2017.
    """

    role = "normalization"
    tops = (1, 2)
    shared_fields = ("normalize_param",)
    reads_bottoms = False

    @property
    def is_scaled(self) -> bool:
        """Whether it is SSD's layer."""
        return self.param.HasField("norm_param")

    @property
    def reads_tops(self) -> TopReads:
        """The vectors and norms, where no blobs of the layer hold them."""
        return "nothing" if self.is_scaled else "values"

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the settings; create the factors."""
        shape, given = bottom[0].shape, self.param.normalize_param
        self.require_shape(
            len(shape) >= 2, f'bottom "{bottom[0].name}" must be (N, C, ...), it is {shape}'
        )
        self.unit, self.norms = (Blob(self.context.backend, name) for name in ("unit", "norms"))
        if self.is_scaled:
            self.require(
                not self.param.HasField("normalize_param"),
                "norm_param is for SSD's layer and normalize_param for happynear's; remove one",
            )
            self.require(len(top) == 1, "the second top (norms) exists without norm_param only")
            factors: Shape = () if self.settings.channel_shared else (shape[1],)
            ones = FillerParameter(type="constant", value=1)
            has_filler = self.settings.HasField("scale_filler")
            self.add_parameter(factors, self.settings.scale_filler if has_filler else ones)
            return
        self.require(
            given.normalize_type in ("L1", "L2"),
            f'normalize_type: "{given.normalize_type}" must be "L1" or "L2"',
        )
        self.require(not given.fix_gradient, "fix_gradient: true is not computed; remove it")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Shape the tops and plan."""
        if self.is_scaled:
            self._reshape_scaled(bottom[0], top[0])
            return
        shape = bottom[0].shape
        shape = (*shape, *(1,) * (4 - len(shape)))
        self.unit = top[0]
        self.norms = top[1] if len(top) > 1 else self.norms
        self.unit.reshape(shape)
        self.norms.reshape((shape[0], 1, *shape[2:]))
        norm = cast(VectorNorm, self.param.normalize_param.normalize_type)
        tensors = (bottom[0].data, self.unit.data, self.norms.data)
        self.kernel = self.plan(NormalizeOp(_EPS, norm=norm), *tensors)

    def _reshape_scaled(self, x: Blob, y: Blob) -> None:
        factors, across = self.blobs[0], self.settings.across_spatial
        self.require_shape(
            factors.shape in ((), x.shape[1:2]),
            f'bottom "{x.name}" now has shape {x.shape}; the factors were made for '
            f"{factors.count} channels",
        )
        y.reshape(x.shape)
        self.unit.reshape(x.shape)
        self.norms.reshape(x.shape[:1] if across else (x.shape[0], 1, *x.shape[2:]))
        op = NormalizeOp(self.settings.eps, across)
        self.kernel = self.plan(op, x.data, self.unit.data, self.norms.data)
        self.scale = self.plan(Scale(1), self.unit.data, factors.data, y.data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops."""
        self.kernel.forward(bottom[0].data, self.unit.data, self.norms.data)
        if self.is_scaled:
            self.scale.forward(self.unit.data, self.blobs[0].data, None, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Add to the factors' diff, overwrite the bottom's."""
        unit, norms = self.unit, self.norms
        dy, dx = top[0].diff, bottom[0].diff
        if self.is_scaled and self.param_needs_diff[0]:
            self.scale.backward_weights(unit.data, dy, self.blobs[0].diff, None)
        if not propagate_down[0]:
            return
        if self.is_scaled:
            self.kernel.backward(unit.data, norms.data, dy, dx)
            self.scale.backward_data(dx, self.blobs[0].data, dx)
            return
        unit, *more = top
        has_slope = more and self.param.normalize_param.bp_norm
        norms = more[0] if more else norms
        dnorms = more[0].diff if has_slope else None
        self.kernel.backward(unit.data, norms.data, dy, dx, dnorms)
