"""Concatenation in the layouts of its parts.

Cutting, which Slice does forward and Concat backward, goes through plain arrays for Slice: what
follows a Slice rarely wants a packed layout.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

from minicaffe.backends.onednn._lib import Arg, Query
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.memory import AnyLayout, Layout
from minicaffe.backends.onednn.primitive import Call, Primitive
from minicaffe.backends.onednn.tensor import OneDnnTensor
from minicaffe.errors import Unsupported
from minicaffe.ops.backend import Tensor
from minicaffe.ops.concat import Concat


class _Plan(NamedTuple):
    """What one set of layouts needs: the whole's for the gradient, and each part's place in it."""

    join: Call
    whole: Layout
    places: list[Layout]


@kernel(Concat)
class OneDnnConcat(OneDnnKernel):
    """Join, and cut the gradient into the layouts that the parts had."""

    def __init__(self, backend: OneDnnBackend, op: Concat, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._whole, *self._parts = (t.shape for t in tensors)
        self._plans: dict[tuple[Layout, ...], _Plan] = {}
        self._layouts = tuple(map(Layout.plain, self._parts))

    def forward(self, xs: Sequence[OneDnnTensor], y: OneDnnTensor) -> None:
        """Overwrite y."""
        is_uniform = len({x.stored.data_type for x in xs}) == 1
        found = [x.stored if is_uniform else x.layout for x in xs]
        self._layouts = tuple(
            layout if layout.shape == x.shape else Layout.plain(x.shape)
            for x, layout in zip(xs, found, strict=True)
        )
        self._plan().join(*xs, y)

    def backward(self, dy: OneDnnTensor, dxs: Sequence[OneDnnTensor | None]) -> None:
        """Overwrite the dxs."""
        plan = self._plan()
        for dx, layout, place in zip(dxs, self._layouts, plan.places, strict=True):
            if dx is not None:
                dx.copy_place(dy, plan.whole, place, layout)

    def _plan(self) -> _Plan:
        layouts = self._layouts
        if layouts not in self._plans:
            n = len(layouts)
            given = (ctypes.c_void_p * n)(*[layout.handle for layout in layouts])
            whole = AnyLayout(self._whole, layouts[0].data_type)
            primitive = Primitive(self.engine, "concat", whole, n, self.op.axis, given)
            reads = [(Arg.MULTIPLE_SRC + i, layout) for i, layout in enumerate(layouts)]
            y = primitive.layout(Query.DST, self._whole)
            join = Call(primitive, reads, [(Arg.DST, y)])
            self._plans[layouts] = _Plan(join, *self._cut(y))
        return self._plans[layouts]

    def _cut(self, whole: Layout) -> tuple[Layout, list[Layout]]:
        """Return each part's place in a layout of the whole, or in the plain one."""
        try:
            return whole, self._places(whole)
        except Unsupported:
            # A part begins in the middle of a block of channels.
            plain = Layout.plain(self._whole)
            return plain, self._places(plain)

    def _places(self, whole: Layout) -> list[Layout]:
        places, start = [], 0
        for part in self._parts:
            offsets = tuple(start if a == self.op.axis else 0 for a in range(len(part)))
            places.append(whole.place(part, offsets))
            start += part[self.op.axis]
        return places
