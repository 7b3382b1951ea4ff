"""Views of tensors in other shapes."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from minicaffe.ops.backend import Shape, Tensor


class Views:
    """The views that a layer passes to its kernels, one for each tensor.

    Backends store layouts and captured graphs per tensor, so the same view must be passed again.
    """

    def __init__(self) -> None:
        self._views: WeakKeyDictionary[Tensor, Tensor] = WeakKeyDictionary()

    def of(self, tensor: Tensor, shape: Shape) -> Tensor:
        """Return a tensor in a shape with as many values: itself, or always the same view."""
        if tensor.shape == shape:
            return tensor
        view = self._views.get(tensor)
        if view is None or view.shape != shape:
            view = self._views[tensor] = tensor.view(shape)
        return view
