"""Layers that apply one function to every number."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.activation import Activation


class ActivationLayer(Layer):
    """Base of the one-formula layers: a subclass says which op its settings mean."""

    in_place = True

    def op(self) -> Activation:
        """Return the op that the settings describe."""
        raise NotImplementedError

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        top[0].reshape(bottom[0].shape)
        self.kernel = self.plan(self.op(), bottom[0].data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0]:
            self.kernel.backward(bottom[0].data, top[0].data, top[0].diff, bottom[0].diff)


@register("ReLU")
class ReLU(ActivationLayer):
    """Cut off what is negative, or scale it by negative_slope.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = x if x > 0, else negative_slope * x.
    """

    param_field = "relu_param"

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Refuse what cannot be undone in place."""
        self.require(
            self.settings.negative_slope >= 0 or bottom[0] is not top[0],
            "a negative negative_slope does not work in place: the sign of the input is lost. "
            "Give the top a name of its own.",
        )

    def op(self) -> Activation:
        """Return the op."""
        return Activation("relu", alpha=self.settings.negative_slope)


@register("Sigmoid")
class Sigmoid(ActivationLayer):
    """Squash to (0, 1).

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = 1 / (1 + exp(-x)), dy/dx = y (1 - y).
    """

    param_field = "sigmoid_param"

    def op(self) -> Activation:
        """Return the op."""
        return Activation("sigmoid")


@register("TanH")
class TanH(ActivationLayer):
    """Squash to (-1, 1).

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = tanh(x), dy/dx = 1 - y^2.
    """

    param_field = "tanh_param"

    def op(self) -> Activation:
        """Return the op."""
        return Activation("tanh")
