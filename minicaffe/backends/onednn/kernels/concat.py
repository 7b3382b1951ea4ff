"""Joining and cutting in the layouts of the parts.

Concat joins forward and cuts its gradient, Slice does the same the other way round.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.runtime.library import Arg, Query
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Layout
from minicaffe.backends.onednn.runtime.primitive import Call, Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.errors import Unsupported
from minicaffe.ops.backend import Op, Shape, Tensor
from minicaffe.ops.concat import Concat, Slice


class _Parts(OneDnnKernel):
    """Joins parts to a whole and cuts it."""

    def __init__(self, backend: OneDnnBackend, op: Op[Any], *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._whole, *self._parts = (t.shape for t in tensors)
        self._joining = cache_method(self._plan_joining)
        self._cutting = cache_method(self._plan_cutting)

    def join(self, parts: Sequence[OneDnnTensor], whole: OneDnnTensor) -> tuple[Layout, ...]:
        """Overwrite the whole; return the layouts of the parts."""
        is_uniform = len({part.stored.data_type for part in parts}) == 1
        layouts = tuple(_own_layout(part, keeps_type=is_uniform) for part in parts)
        self._joining(layouts)(*parts, whole)
        return layouts

    def cut(
        self,
        whole: OneDnnTensor,
        layout: Layout,
        parts: Sequence[OneDnnTensor | None],
        layouts: Sequence[Layout] = (),
    ) -> None:
        """Overwrite the parts in their layouts, by default such as the whole's."""
        layout, places, alike = self._cutting(layout)
        for part, place, own in zip(parts, places, layouts or alike, strict=True):
            if part is not None:
                part.copy_place(whole, layout, place, own)

    def joined_layout(self, layouts: tuple[Layout, ...]) -> Layout:
        """Return the layout that joining parts of these layouts gives."""
        return self._joining(layouts).primitive.layout(Query.DST, self._whole)

    def _plan_joining(self, layouts: tuple[Layout, ...]) -> Call:
        primitive = self._concat(layouts, self._whole)
        reads = [(Arg.MULTIPLE_SRC + i, layout) for i, layout in enumerate(layouts)]
        return Call(primitive, reads, [(Arg.DST, primitive.layout(Query.DST, self._whole))])

    def _concat(self, layouts: Sequence[Layout], whole: Shape) -> Primitive:
        n = len(layouts)
        given = (ctypes.c_void_p * n)(*[layout.handle for layout in layouts])
        return Primitive(
            self.engine, "concat", AnyLayout(whole, layouts[0].data_type), n, self.op.axis, given
        )

    def _plan_cutting(self, whole: Layout) -> tuple[Layout, list[Layout], list[Layout]]:
        """Return the layout to cut, each part's place in it, and a layout for each part.

        That is the whole's or, where a part begins in the middle of a block, the plain one.
        """
        try:
            places = self._places(whole)
        except Unsupported:
            return self._plan_cutting(Layout.plain(self._whole))
        if whole.is_plain:
            return whole, places, [Layout.plain(part) for part in self._parts]
        return whole, places, [self._alike(whole, part) for part in self._parts]

    def _places(self, whole: Layout) -> list[Layout]:
        places, start = [], 0
        for part in self._parts:
            offsets = tuple(start if a == self.op.axis else 0 for a in range(len(part)))
            places.append(whole.place(part, offsets))
            start += part[self.op.axis]
        return places

    def _alike(self, whole: Layout, part: Shape) -> Layout:
        """Return the layout with the blocks of the whole's, but only those of a part."""
        first = whole.place(part, (0,) * len(part))
        # The library chooses it for the whole of this one part.
        return self._concat([first], part).layout(Query.DST, part)


@kernel(Concat)
class OneDnnConcat(_Parts):
    """Join, and cut the gradient into the layouts that the parts had."""

    def __init__(self, backend: OneDnnBackend, op: Concat, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._layouts = tuple(map(Layout.plain, self._parts))

    def forward(self, xs: Sequence[OneDnnTensor], y: OneDnnTensor) -> None:
        """Overwrite y."""
        self._layouts = self.join(xs, y)

    def backward(self, dy: OneDnnTensor, dxs: Sequence[OneDnnTensor | None]) -> None:
        """Overwrite the dxs."""
        self.cut(dy, self.joined_layout(self._layouts), dxs, self._layouts)


@kernel(Slice)
class OneDnnSlice(_Parts):
    """Cut into layouts such as that of x, and join the gradients."""

    def forward(self, x: OneDnnTensor, ys: Sequence[OneDnnTensor]) -> None:
        """Overwrite the ys."""
        self.cut(x, _own_layout(x), ys)

    def backward(self, dys: Sequence[OneDnnTensor], dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        self.join(dys, dx)


def _own_layout(x: OneDnnTensor, keeps_type: bool = False) -> Layout:
    """Return the layout of x, or the plain one where that cuts its axes differently."""
    layout = x.stored if keeps_type else x.layout
    return layout if layout.shape == x.shape else Layout.plain(x.shape)
