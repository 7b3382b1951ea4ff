"""RReLU."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer, TopReads
from minicaffe.layers.registry import register
from minicaffe.ops.activation import Relu
from minicaffe.ops.rrelu import RandomRelu
from minicaffe.schema.forks_pb2 import RReLUParameter


@register("RReLU")
class RReLU(Layer[RReLUParameter]):
    """Apply the randomized leaky ReLU: divide negative values by random numbers while training.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = x if x > 0, else x / a. In the TRAIN phase each value has an a of its own, uniform from lb
    to ub, which the gradient uses as well; in the TEST phase a = (lb + ub) / 2.

    References
    ----------
    Xu et al., "Empirical evaluation of rectified activations in convolutional network", 2015.
    """

    role = "activation"
    in_place = True
    reads_bottoms = False

    @property
    def reads_tops(self) -> TopReads:
        """Whether values are positive, in the TEST phase; forward saves it in the TRAIN phase."""
        return "nothing" if self.is_training else "signs"

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the range."""
        low, high = self.settings.lb, self.settings.ub
        self.require(
            0 < low <= high,
            f"rrelu_param: lb: {low:g} must be more than 0, and at most ub: {high:g}",
        )

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        top[0].reshape(bottom[0].shape)
        low, high = self.settings.lb, self.settings.ub
        x, y = bottom[0].data, top[0].data
        if self.is_training:
            self.kernel = self.plan(RandomRelu(low, high), x, y)
        else:
            self.mean = self.plan(Relu(2 / (low + high)), x, y)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        if self.is_training:
            self.kernel.forward(bottom[0].data, top[0].data, self.stream("slopes"))
        else:
            self.mean.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if not propagate_down[0]:
            return
        if self.is_training:
            self.kernel.backward(top[0].diff, bottom[0].diff)
        else:
            self.mean.backward(bottom[0].data, top[0].data, top[0].diff, bottom[0].diff)
