"""Runs of short primitives on several threads, or on one thread while other programs use the cores.

The number of threads changes no value: a primitive runs on one thread only if that gives the same
values to the last bit. This is found out by running both forms on random values, because sums that
are divided among another number of threads are rounded differently. Most forward passes give the
same bits, and most gradients of parameters do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from time import perf_counter

import numpy as np
import numpy.typing as npt

from minicaffe.backends.onednn.runtime.call_log import NativeCall
from minicaffe.backends.onednn.runtime.core_watch import TimedCall
from minicaffe.backends.onednn.runtime.library import check_onednn
from minicaffe.backends.onednn.runtime.memory import Buffer, Layout
from minicaffe.backends.onednn.runtime.primitive import Primitive

# Their sums over samples and pixels are divided among threads. Random values do not show it for
# sure: the gradient of a bias had other bits with real values only.
DIVIDED_SUMS = ("batch_normalization_", "backward_weights", "prelu_backward")
# Two orders of summation may agree by chance in a few values, but hardly in each draw.
DRAWS = 2


class SingleThreadedForm:
    """The form of a primitive for one thread, created when cores are first found busy.

    Parameters
    ----------
    primitive : Primitive
        For several threads.
    ports : sequence of (int, Layout)
        Its arguments.

    Attributes
    ----------
    is_refused : bool
        Whether it is known that there is no such form with the same values.
    """

    def __init__(self, primitive: Primitive, ports: Sequence[tuple[int, Layout]]) -> None:
        self._shared, self._ports = primitive, ports
        self.is_refused = False

    @cached_property
    def primitive(self) -> Primitive | None:
        """The primitive, None if it has other layouts or gives other values."""
        found = self._create()
        self.is_refused = found is None
        return found

    def _create(self) -> Primitive | None:
        shared, engine = self._shared, self._shared.engine
        if any(part in shared.kind for part in DIVIDED_SUMS):
            return None
        if not have_same_bits(shared.remade(engine), shared.remade(engine.alone), self._ports):
            return None
        alone = shared.remade(engine.alone)
        alone.use_workspace(shared.workspace)
        return alone


def have_same_bits(
    first: Primitive, second: Primitive, ports: Sequence[tuple[int, Layout]]
) -> bool:
    """Return whether two primitives use the same layouts and give the same values.

    They get new workspaces.
    """
    takes_all = all(second.takes(arg, layout) for arg, layout in ports)
    if not (takes_all and second.has_workspace_of(first)):
        return False
    rng = np.random.default_rng(0)
    for _ in range(DRAWS):
        # Positive values of one magnitude, so that none is NaN.
        drawn = [rng.random(-(-layout.size_bytes // 4), np.float32) + 0.5 for _, layout in ports]
        for values in drawn:
            halves = values.view(np.uint16)
            halves[::2] = halves[1::2]  # a pair of equal bfloat16
        found = [_values_after(primitive, ports, drawn) for primitive in (first, second)]
        if not all(map(np.array_equal, *found)):
            return False
    return True


def _values_after(
    primitive: Primitive,
    ports: Sequence[tuple[int, Layout]],
    drawn: Sequence[npt.NDArray[np.float32]],
) -> list[npt.NDArray[np.uint32]]:
    """Run a primitive on copies of values; return the bits of all arguments and the workspace."""
    memories, buffers = [], []
    for values, (_, layout) in zip(drawn, ports, strict=True):
        buffer = Buffer(values.nbytes, primitive.engine.handle)
        buffer.values[:] = values
        memories.append(buffer.memory(layout))
        buffers.append(buffer)
    # Zeros are valid indices of maxima.
    primitive.use_workspace(primitive.new_workspace())
    check_onednn(primitive.bind([arg for arg, _ in ports], memories)(), "execution")
    arrays = [*(buffer.values for buffer in buffers), primitive.workspace_values()]
    return [values.view(np.uint32) for values in arrays]


class BriefRun:
    """A primitive on certain memories, as a function that runs it and returns the status.

    Parameters
    ----------
    primitive : Primitive
        For several threads.
    form : SingleThreadedForm
        Of the primitive.
    arguments, memories : sequence of int
        As for `Primitive.bind`.
    """

    def __init__(
        self,
        primitive: Primitive,
        form: SingleThreadedForm,
        arguments: Sequence[int],
        memories: Sequence[int],
    ) -> None:
        self._primitive, self._form, engine = primitive, form, primitive.engine
        self._shared = primitive.bind(arguments, memories)
        self._bound = arguments, memories
        self._alone: Callable[[], int] | None = None
        self._was_alone = False
        self._timed = TimedCall(engine.watch, engine.threads.most, primitive.work_s)

    def __call__(self) -> int:
        """Run on several threads, or on one if cores were busy a short time ago."""
        start_s = perf_counter()
        if start_s < self._timed.watch.ends_s:
            if self._alone is None and not self._form.is_refused:
                self._bind_alone()
                start_s = perf_counter()
            if self._alone is not None:
                self._was_alone = True
                status = self._alone()
                self._timed.count(start_s, is_alone=True)
                return status
        self._was_alone = False
        status = self._shared()
        self._timed.count(start_s, is_alone=False)
        return status

    def recorded(self) -> NativeCall:
        """Return the last run as a call that can be repeated."""
        primitive = self._form.primitive if self._was_alone else None
        return self._timed.watched((primitive or self._primitive).recorded(*self._bound))

    def _bind_alone(self) -> None:
        primitive = self._form.primitive
        if primitive is None:
            self._timed.never_run_alone()
        else:
            self._alone = primitive.bind(*self._bound)
