"""Concatenation and slicing in the layouts of the parts.

Concat concatenates forward and slices its gradient; Slice does the opposite.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TypeVar

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.runtime.call import Call
from minicaffe.backends.onednn.runtime.library import Arg, Query
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Layout
from minicaffe.backends.onednn.runtime.primitive import Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.errors import Unsupported
from minicaffe.ops.backend import Shape, Tensor
from minicaffe.ops.concat import Concat, Slice

ConcatOp = TypeVar("ConcatOp", bound=Concat | Slice)


class _ConcatSlice(OneDnnKernel[ConcatOp]):
    """Concatenates parts to a whole, and slices it into parts."""

    def __init__(self, backend: OneDnnBackend, op: ConcatOp, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._whole, *self._parts = (t.shape for t in tensors)
        self._call_concat = cache_method(self._plan_concat)
        self._slicing = cache_method(self._plan_slicing)

    def concatenate(self, parts: Sequence[OneDnnTensor], whole: OneDnnTensor) -> tuple[Layout, ...]:
        """Overwrite the whole; return the layouts of the parts."""
        is_uniform = len({part.stored.data_type for part in parts}) == 1
        layouts = tuple(part.stored if is_uniform else part.layout for part in parts)
        self._call_concat(layouts)(*parts, whole)
        return layouts

    def slice(
        self,
        whole: OneDnnTensor,
        layout: Layout,
        parts: Sequence[OneDnnTensor | None],
        layouts: Sequence[Layout] = (),
    ) -> None:
        """Overwrite the parts in these layouts, by default similar to that of the whole."""
        layout, submemories, similar = self._slicing(layout)
        for part, submemory, target in zip(parts, submemories, layouts or similar, strict=True):
            if part is not None:
                part.copy_submemory(whole, layout, submemory, target)

    def whole_layout(self, layouts: tuple[Layout, ...]) -> Layout:
        """Return the layout of the concatenation of parts in these layouts."""
        return self._call_concat(layouts).primitive.layout(Query.DST, self._whole)

    def _plan_concat(self, layouts: tuple[Layout, ...]) -> Call:
        primitive = self._concat_primitive(layouts, self._whole)
        reads = [(Arg.MULTIPLE_SRC + i, layout) for i, layout in enumerate(layouts)]
        return Call(primitive, reads, [primitive.port(Arg.DST, self._whole)])

    def _concat_primitive(self, layouts: Sequence[Layout], whole: Shape) -> Primitive:
        n = len(layouts)
        handles = (ctypes.c_void_p * n)(*[layout.handle for layout in layouts])
        return Primitive(
            self.engine, "concat", AnyLayout(whole, layouts[0].data_type), n, self.op.axis, handles
        )

    def _plan_slicing(self, whole: Layout) -> tuple[Layout, list[Layout], list[Layout]]:
        """Return the layout to slice, the submemory of each part, and a layout for each part.

        The layout to slice is the whole's or, if a part begins within a block, the plain one.
        """
        try:
            submemories = self._submemories(whole)
        except Unsupported:
            return self._plan_slicing(Layout.plain(self._whole))
        if whole.is_plain:
            return whole, submemories, [Layout.plain(part) for part in self._parts]
        return whole, submemories, list(map(self._similar, submemories, self._parts))

    def _submemories(self, whole: Layout) -> list[Layout]:
        submemories, start = [], 0
        for part in self._parts:
            offsets = tuple(start if a == self.op.axis else 0 for a in range(len(part)))
            submemories.append(whole.submemory(part, offsets))
            start += part[self.op.axis]
        return submemories

    def _similar(self, submemory: Layout, part: Shape) -> Layout:
        """Return the layout of a part with blocks like those of the whole."""
        # The library chooses it as the result of concatenating this single part.
        return self._concat_primitive([submemory], part).layout(Query.DST, part)


@kernel(Concat)
class OneDnnConcat(_ConcatSlice[Concat]):
    """Concatenation; the gradient is sliced into the layouts that the parts had."""

    def __init__(self, backend: OneDnnBackend, op: Concat, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._layouts = tuple(map(Layout.plain, self._parts))

    def forward(self, xs: Sequence[OneDnnTensor], y: OneDnnTensor) -> None:
        """Overwrite y."""
        self._layouts = self.concatenate(xs, y)

    def backward(self, dy: OneDnnTensor, dxs: Sequence[OneDnnTensor | None]) -> None:
        """Overwrite the dxs."""
        self.slice(dy, self.whole_layout(self._layouts), dxs, self._layouts)


@kernel(Slice)
class OneDnnSlice(_ConcatSlice[Slice]):
    """Slicing into layouts similar to that of x; the gradients are concatenated."""

    def forward(self, x: OneDnnTensor, ys: Sequence[OneDnnTensor]) -> None:
        """Overwrite the ys."""
        self.slice(x, x.layout, ys)

    def backward(self, dys: Sequence[OneDnnTensor], dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        self.concatenate(dys, dx)
