"""APL."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.apl import PiecewiseLinear
from minicaffe.schema.forks_pb2 import APLParameter


@register("APL")
class APL(Layer[APLParameter]):
    """Apply adaptive piecewise linear units (APL): a ReLU with learned hinges for each place.

    Shapes: x (N, ...) -> y (N, ...)

    Notes
    -----
    y = max(x, 0) + sum over s of a[s] max(b[s] - x, 0), with `sums` hinges s for each of the K
    values of a sample. The layer of Agostinelli's Caffe.

    Parameters: slopes a, then offsets b, (1, 1, sums, K) in the order of a (K, sums) array.

    References
    ----------
    Agostinelli et al., "Learning activation functions to improve deep neural networks", 2015.
    """

    role = "activation"
    in_place = True

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create slopes and offsets."""
        proto, shape = self.settings, bottom[0].shape
        self.require_shape(
            len(shape) >= 2, f'bottom "{bottom[0].name}" must be (N, ...), it is {shape}'
        )
        self.require(proto.sums > 0, "apl_param: sums must be at least 1")
        hinges = (1, 1, int(proto.sums), math.prod(shape[1:]))
        self.add_parameter(hinges, proto.slope_filler)
        self.add_parameter(hinges, proto.offset_filler)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        x, places = bottom[0], self.blobs[0].shape[3]
        self.require_shape(
            len(x.shape) >= 2 and math.prod(x.shape[1:]) == places,
            f'bottom "{x.name}" now has shape {x.shape}; the hinges are of {places} values',
        )
        top[0].reshape(x.shape)
        a, b = (blob.data for blob in self.blobs)
        self.kernel = self.plan(PiecewiseLinear(self.settings.sums), x.data, a, b, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        a, b = (blob.data for blob in self.blobs)
        self.kernel.forward(bottom[0].data, a, b, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Add to the parameters' diffs, then overwrite the bottom's, which may be the top's."""
        x, dy, (a, b) = bottom[0].data, top[0].diff, (blob.data for blob in self.blobs)
        da, db = self.weight_diffs()
        if da is not None or db is not None:
            self.kernel.backward_weights(x, a, b, dy, da, db)
        if propagate_down[0]:
            self.kernel.backward_data(x, a, b, dy, bottom[0].diff)
