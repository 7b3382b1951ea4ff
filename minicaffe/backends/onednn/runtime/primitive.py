"""oneDNN primitives (compiled code for one operation on fixed layouts), engine and post-ops.

`call.Call` runs a primitive on tensors.
"""

from __future__ import annotations

import copy
import ctypes
import functools
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minicaffe.backends.onednn.runtime import library as _lib
from minicaffe.backends.onednn.runtime.call_log import CallLog, NativeCall
from minicaffe.backends.onednn.runtime.core_watch import CoreWatch
from minicaffe.backends.onednn.runtime.library import Alg, Arg, Query, check_onednn
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Buffer, Layout, address_of, dims
from minicaffe.backends.onednn.runtime.threads import LONGEST_BRIEF_S, Threads, seconds_of
from minicaffe.native.library import NativeFunction
from minicaffe.ops.backend import Shape

# The largest float32: its product with any normal number is above 1.
LARGEST = 3.4028234663852886e38
ONE_THREAD = Threads(1)


class Engine:
    """oneDNN's engine and stream, and the scratchpad that all primitives share.

    One primitive runs at a time, so one scratchpad of the largest required size is enough.

    Parameters
    ----------
    threads : Threads
        What its primitives use.
    """

    def __init__(self, threads: Threads = ONE_THREAD) -> None:
        # The second is the number that calls find set.
        self.threads, self.n_threads = threads, threads.most
        self.watch, self.log = CoreWatch(), CallLog()
        self.lib = _lib.library()
        self.handle = self.lib.make("dnnl_engine_create", _lib.CPU, 0)
        self.stream = self.lib.make("dnnl_stream_create", self.handle, _lib.IN_ORDER)
        self._scratchpad = Buffer(1 << 16, self.handle)
        self._users: list[int] = []

    def threads_for(
        self, multiply_adds: float = 0.0, size_bytes: float = 0.0, keeps_bits: bool = False
    ) -> int:
        """Return the number of threads for one call of a kernel that is no primitive.

        Parameters
        ----------
        multiply_adds, size_bytes : float
            The work; see `Threads.for_work`.
        keeps_bits : bool
            Whether the number of threads changes no bit of the results, so that a short call may
            use one thread while cores are busy.
        """
        is_brief = seconds_of(multiply_adds, size_bytes) <= LONGEST_BRIEF_S
        is_free = keeps_bits and is_brief and not self.threads.are_given
        if is_free and self.watch.is_pausing:
            return 1
        return self.threads.for_work(multiply_adds, size_bytes)

    def launch(
        self,
        function: NativeFunction,
        *arguments: float | None,
        operands: tuple[int, ...] = (),
        owners: tuple[object, ...] = (),
    ) -> None:
        """Call a C kernel whose calls can be recorded and repeated.

        Parameters
        ----------
        function : callable
        *arguments : int, float or None
            Addresses of tensors' values, or of memory that the kernel keeps; and numbers.
        operands, owners : tuple
            As for `NativeCall`.
        """
        function(*arguments)
        if self.log.is_on:
            self.log.add(NativeCall(function.__name__, arguments, operands, owners))

    def passes(self, check: NativeFunction, *values: int, threads: int) -> bool:
        """Return whether values pass a check in C, which writes a status before `threads`."""
        log = self.log
        arguments = (*values, log.status_at, threads)
        check(*arguments)
        if log.is_on:
            log.add(NativeCall(check.__name__, arguments, is_check=True))
        has_passed = not log.status[0]
        log.status[0] = 0
        return has_passed

    @functools.cached_property
    def alone(self) -> Engine:
        """The engine for primitives that use one of the threads; it has its own scratchpad."""
        other = copy.copy(self)
        other.threads = ONE_THREAD
        other._scratchpad, other._users = Buffer(1 << 16, self.handle), []
        return other

    def scratchpad(self, descriptor: int) -> int:
        """Return the memory of a primitive's scratchpad, valid while the engine lives."""
        size = int(self.lib.c.dnnl_memory_desc_get_size(descriptor))
        if size > self._scratchpad.size_bytes:
            self._scratchpad = Buffer(size, self.handle)
            for memory in self._users:
                self.lib.c.dnnl_memory_set_data_handle(memory, self._scratchpad.address)
        memory = self.lib.make(
            "dnnl_memory_create", descriptor, self.handle, self._scratchpad.address
        )
        self._users.append(memory)
        return memory

    def release_scratchpad(self, memory: int) -> None:
        """Release the memory that `scratchpad` returned."""
        self._users.remove(memory)
        self.lib.c.dnnl_memory_destroy(memory)


class EpilogueKind(NamedTuple):
    """The part of an epilogue that a primitive is compiled for.

    Attributes
    ----------
    scales : bool
        Whether the output is multiplied by a factor and increased by a term for each channel.
    rectifies : bool
        Whether a ReLU follows.
    """

    scales: bool = False
    rectifies: bool = False


class Attributes:
    """Primitive attributes: post-ops, applied to the result before it is written."""

    def __init__(self) -> None:
        self._lib = _lib.library()
        self.handle = self._lib.make("dnnl_primitive_attr_create")
        self._lib.c.dnnl_primitive_attr_set_scratchpad_mode(self.handle, _lib.SCRATCHPAD_USER)
        self._post_ops = self._lib.make("dnnl_post_ops_create")

    def sum(self) -> Attributes:
        """Add the previous values of the destination."""
        return self._append("sum", 1.0, 0, 0)

    def eltwise(self, alg: Alg, alpha: float = 0.0, beta: float = 0.0) -> Attributes:
        """Apply an elementwise function to the result."""
        return self._append("eltwise", alg, alpha, beta)

    def relu(self) -> Attributes:
        """Apply a ReLU that keeps NaN, as Caffe's does; oneDNN's own ReLU replaces NaN by 0."""
        # x * max(0, min(1, a x)) is x for every normal x > 0 and -0 for x < 0; adding 0 makes it 0.
        self.eltwise(Alg.ELTWISE_HARD_SWISH, LARGEST)
        return self.eltwise(Alg.ELTWISE_LINEAR, 1.0)

    def binary(self, alg: Alg, layout: Layout) -> Attributes:
        """Combine the result with a tensor of this layout; axes of size 1 are broadcast."""
        return self._append("binary", alg, layout.handle)

    def _append(self, kind: str, *args: float) -> Attributes:
        append = getattr(self._lib.c, f"dnnl_post_ops_append_{kind}")
        check_onednn(append(self._post_ops, *args), kind)
        self._lib.c.dnnl_primitive_attr_set_post_ops(self.handle, self._post_ops)
        return self

    def __del__(self) -> None:
        self._lib.c.dnnl_post_ops_destroy(self._post_ops)
        self._lib.c.dnnl_primitive_attr_destroy(self.handle)


class Primitive:
    """One operation on fixed layouts.

    Parameters
    ----------
    engine : Engine
    kind : str
        A key of `_lib.PRIMITIVES`, or "reorder", "concat", "sum".
    *args
        Arguments of the C function between the engine and the attributes: layouts, shapes, numbers.
    hint : Primitive, optional
        The forward primitive of a backward one.
    attributes : Attributes, optional
        Post-ops.

    Raises
    ------
    Unsupported
        If the library has no implementation.
    """

    def __init__(
        self,
        engine: Engine,
        kind: str,
        *args: Any,  # ctypes arguments, layouts and shapes
        hint: Primitive | None = None,
        attributes: Attributes | None = None,
    ) -> None:
        self.engine, self.lib = engine, engine.lib
        attributes = attributes or Attributes()
        self.workspace: Buffer | None = None
        self._memories: dict[int, int] = {}
        raw = [_raw(arg) for arg in args]
        if hint is not None:
            raw.append(hint.descriptor)
        create = f"dnnl_{kind}_primitive_desc_create"
        if kind != "reorder":
            raw.insert(0, engine.handle)
        self.work_s = seconds_of(*work_of(kind, args))
        # Threads count when a primitive is created and when it runs.
        self._is_alone = engine.threads.for_work(*work_of(kind, args)) == 1
        self.kind = kind
        self._recipe = (kind, args, hint, attributes)
        with self.lib.single_threaded() if self._is_alone else nullcontext():
            self.descriptor: int = self.lib.make(create, *raw, attributes.handle)
            self.handle = self.lib.make("dnnl_primitive_create", self.descriptor)
        scratchpad = self._query(Query.SCRATCHPAD)
        if self._size(scratchpad):
            self._memories[Arg.SCRATCHPAD] = engine.scratchpad(scratchpad)

    @property
    def is_brief(self) -> bool:
        """Whether it runs on several threads by choice, and not for long."""
        is_chosen = not (self._is_alone or self.engine.threads.are_given)
        return is_chosen and self.work_s <= LONGEST_BRIEF_S

    def remade(self, engine: Engine) -> Primitive:
        """Return the same primitive on another engine, without a workspace."""
        kind, args, hint, attributes = self._recipe
        return Primitive(engine, kind, *args, hint=hint, attributes=attributes)

    def has_workspace_of(self, other: Primitive) -> bool:
        """Return whether two primitives use the same workspace, or none."""
        own, its = self._query(Query.WORKSPACE), other._query(Query.WORKSPACE)
        return own == its == 0 or bool(self.lib.c.dnnl_memory_desc_equal(own, its))

    @functools.cached_property
    def is_compiled(self) -> bool:
        """Whether the implementation is compiled (JIT) code, not reference loops in C++."""
        name = ctypes.c_char_p()
        query = self.lib.c.dnnl_primitive_desc_query
        check_onednn(query(self.descriptor, _lib.IMPLEMENTATION, 0, ctypes.byref(name)), "query")
        return not (name.value or b"").startswith(b"ref")

    def layout(self, query: Query, shape: Shape) -> Layout:
        """Return the layout that the library chose for one of its tensors."""
        return Layout.of(self._query(query), shape)

    def port(self, arg: Arg, shape: Shape) -> tuple[int, Layout]:
        """Return an argument with the layout that the library chose for its tensor."""
        return arg, Layout.of(self._query(Query.ARGUMENT, arg), shape)

    def takes(self, arg: int, layout: Layout) -> bool:
        """Return whether an argument has this layout, which is given for those of post-ops."""
        if arg >= Arg.POST_OP:
            return True
        handle = self._query(Query.ARGUMENT, arg)
        return bool(handle and self.lib.c.dnnl_memory_desc_equal(handle, layout.handle))

    def new_workspace(self) -> Buffer | None:
        """Return a buffer for the forward pass's workspace, None if it needs none."""
        size = self._size(self._query(Query.WORKSPACE))
        # Whole floats, the unit of a buffer's values.
        return Buffer(-(-size // 4) * 4, self.engine.handle) if size else None

    def use_workspace(self, buffer: Buffer | None) -> None:
        """Use a buffer as this primitive's workspace: written by forward, read by backward."""
        self.workspace = buffer
        if buffer is not None:
            descriptor = self._query(Query.WORKSPACE)
            self._memories[Arg.WORKSPACE] = self.lib.make(
                "dnnl_memory_create", descriptor, self.engine.handle, buffer.address
            )

    def workspace_values(self) -> npt.NDArray[np.float32]:
        """Return the memory of the workspace; empty if there is none."""
        return np.empty(0, np.float32) if self.workspace is None else self.workspace.values

    def bind(self, arguments: Sequence[int], memories: Sequence[int]) -> Callable[[], int]:
        """Return a function that runs the primitive on these memories and returns the status."""
        bound = {**dict(zip(arguments, memories, strict=True)), **self._memories}
        array = (_lib.ExecArg * len(bound))(*[_lib.ExecArg(*pair) for pair in bound.items()])
        execute = self.lib.c.dnnl_primitive_execute
        handle, stream, n = self.handle, self.engine.stream, len(bound)
        address = ctypes.addressof(array)

        # The default arguments keep alive the objects whose bare addresses the library receives.
        def run(_owners: object = (self, array)) -> int:
            return execute(handle, stream, n, address)  # type: ignore[no-any-return]

        set_threads, most = self.lib.set_threads, self.engine.n_threads

        # Not a context manager: creating one takes as long as a small primitive.
        def run_alone(_owners: object = (self, array)) -> int:
            set_threads(1)
            try:
                return execute(handle, stream, n, address)  # type: ignore[no-any-return]
            finally:
                set_threads(most)

        return run_alone if self._is_alone and most > 1 else run

    def recorded(self, arguments: Sequence[int], memories: Sequence[int]) -> NativeCall:
        """Return what `bind` returns as a call that can be repeated."""
        bound = {**dict(zip(arguments, memories, strict=True)), **self._memories}
        array = (_lib.ExecArg * len(bound))(*[_lib.ExecArg(*pair) for pair in bound.items()])
        execute = ctypes.cast(self.lib.c.dnnl_primitive_execute, ctypes.c_void_p).value
        given = (execute, self.handle, self.engine.stream, len(bound), ctypes.addressof(array))
        is_alone = self._is_alone and self.engine.n_threads > 1
        threads = self.engine.n_threads if is_alone else 0
        return NativeCall(
            "execute_primitive",
            (*given, threads, self.engine.log.status_at),
            operands=tuple(map(address_of, memories)),
            owners=(self, array),
            is_copy=self.kind == "reorder",
        )

    def _query(self, query: Query, index: int = 0) -> int:
        return self.lib.c.dnnl_primitive_desc_query_md(self.descriptor, query, index) or 0

    def _size(self, descriptor: int) -> int:
        return int(self.lib.c.dnnl_memory_desc_get_size(descriptor)) if descriptor else 0

    def __del__(self) -> None:
        for arg, memory in self._memories.items():
            if arg == Arg.SCRATCHPAD:
                self.engine.release_scratchpad(memory)
            else:
                self.lib.c.dnnl_memory_destroy(memory)
        for name in ("handle", "descriptor"):
            destroy = (
                "dnnl_primitive_destroy" if name == "handle" else "dnnl_primitive_desc_destroy"
            )
            if hasattr(self, name):
                getattr(self.lib.c, destroy)(getattr(self, name))


def work_of(kind: str, args: Sequence[Any]) -> tuple[float, float]:
    """Return the multiply-adds and the bytes of a primitive, from its arguments.

    Parameters
    ----------
    kind : str
        As for `Primitive`.
    args : sequence
        Products have layouts of the activations on one side, weights, perhaps biases, and the
        activations on the other side, in this order.
    """
    shapes = [arg.shape for arg in args if isinstance(arg, (Layout, AnyLayout))]
    size_bytes = float(4 * sum(map(math.prod, shapes)))
    if not kind.startswith(("convolution", "inner_product")):
        return 0.0, size_bytes
    weights, y = shapes[1], shapes[-1]
    return math.prod(y) * math.prod(weights) / y[1], size_bytes


def _raw(arg: Any) -> Any:  # Any: ctypes arguments
    """Return a layout's handle, a shape as dims, any other argument unchanged."""
    if arg is None or isinstance(arg, (int, float)):
        return arg
    if isinstance(arg, (Layout, AnyLayout)):
        return arg.handle
    return dims(arg) if isinstance(arg, tuple) else arg
