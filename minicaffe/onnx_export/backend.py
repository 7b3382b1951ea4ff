"""The backend whose kernels write ONNX nodes instead of computing.

A kernel without inputs from the graph computes with NumPy, so that parameters and what depends on
them or on shapes only (prior boxes, folded statistics) become constants; emitters that write
constants in a form of their own (integers) replace it. For all others the emitter of the op's type
adds nodes. Planning never fails, because layers also plan what only a backward
pass calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, Generic, TypeVar, cast

from minicaffe import log
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.errors import Unsupported
from minicaffe.onnx_export.graph import OnnxGraph
from minicaffe.onnx_export.tensor import TraceTensor
from minicaffe.ops.backend import K, Op, Shape, Tensor

# Any: emitters of different ops have no common type.
OpT = TypeVar("OpT", bound=Op[Any])
EmitterType = TypeVar("EmitterType", bound="type[Emitter[Any]]")


class Emitter(Generic[OpT]):
    """Base of the emitters: they have the methods of the op's kernels and add nodes.

    Parameters
    ----------
    graph : OnnxGraph
        Where the nodes go.
    op : Op
        What to express.
    """

    # Emitters by type of op.
    table: ClassVar[dict[type[Op[Any]], type[Emitter[Any]]]] = {}
    # Whether it writes constants in a form of its own; by default NumPy computes on constants.
    writes_constants: ClassVar[bool] = False

    def __init__(self, graph: OnnxGraph, op: OpT) -> None:
        self.graph = graph
        self.op = op

    def read(self, tensor: Tensor, shape: Shape | None = None) -> str:
        """Return the name of a tensor's value, in the tensor's shape or another one."""
        return read_value(self.graph, tensor, shape)

    def write(self, tensor: Tensor, name: str, shape: Shape | None = None) -> None:
        """Let a tensor hold a value of the graph, which has the tensor's shape or another one."""
        cast(TraceTensor, tensor).value.set(name, tensor.shape if shape is None else shape)

    def is_host_value(self, tensor: Tensor) -> bool:
        """Return whether the values do not depend on the input of the net."""
        return not cast(TraceTensor, tensor).value.name

    def constant_values(self, tensor: Tensor, noun: str) -> Any:  # Any: an array
        """Return the values of a tensor that must not depend on the input of the net."""
        self.require(self.is_host_value(tensor), f"{noun} must be constant")
        return tensor.read()

    def require(self, ok: object, reason: str) -> None:
        """Raise Unsupported, unless `ok`."""
        if not ok:
            raise Unsupported(reason)

    def mark_sensitive(self, *, is_magnifying: bool = True) -> None:
        """Say that the layer's results jump, or change much, with small changes of its bottoms.

        With `is_magnifying` smaller bottoms have a meaning as well.
        """
        self.graph.sensitive.add(self.graph.layer)
        if is_magnifying:
            self.graph.magnifying.add(self.graph.layer)


def read_value(graph: OnnxGraph, tensor: Tensor, shape: Shape | None = None) -> str:
    """Return the name of a tensor's value; a Reshape or an initializer is added where needed."""
    tensor = cast(TraceTensor, tensor)
    value, shape = tensor.value, tensor.shape if shape is None else shape
    if shape in value.forms:
        return value.forms[shape]
    if value.name:
        given = next(shape for shape, name in value.forms.items() if name == value.name)
        is_matrix = len(shape) == 2 and given[:1] == shape[:1]
        name = (
            graph.one("Flatten", value.name, axis=1)
            if is_matrix
            else graph.reshape(value.name, shape)
        )
    else:
        array = tensor.read()
        array = array.copy() if array.flags.writeable else array  # a layer may overwrite it
        name = graph.constant(array.reshape(shape), value.constant or "constant")
    value.forms[shape] = name
    return name


def emitter(*ops: type[Op[Any]]) -> Callable[[EmitterType], EmitterType]:
    """Register the decorated class as the emitter of each of `ops`."""

    def register(cls: EmitterType) -> EmitterType:
        Emitter.table.update(dict.fromkeys(ops, cls))
        return cls

    return register


class TraceBackend(ReferenceBackend):
    """Writes what layers compute into a graph.

    Parameters
    ----------
    graph : OnnxGraph
        Where the nodes go.
    """

    name = "onnx"

    def __init__(self, graph: OnnxGraph) -> None:
        super().__init__()
        self.graph = graph

    def tensor(self, shape: Shape) -> Tensor:
        """Return a new tensor, filled with zeros."""
        return TraceTensor(shape, self.dtype)

    def plan(self, op: Op[K], *tensors: Tensor) -> K:
        """Return a kernel that computes on constants and adds nodes for all other tensors."""
        return cast(K, _Kernel(self, op, tensors))

    def compute(self, op: Op[Any], tensors: Sequence[Tensor]) -> Any:  # Any: a kernel
        """Return NumPy's kernel."""
        with log.suppress_info():  # which says that this backend has none
            return super().plan(op, *tensors)


class _Kernel:
    """Decides at each call who runs it: NumPy's kernel or the emitter."""

    def __init__(self, backend: TraceBackend, op: Op[Any], tensors: Sequence[Tensor]) -> None:
        self._backend, self._op, self._tensors = backend, op, tensors
        # Both are made once, because a kernel may keep something between two calls.
        self._numpy: Any = None
        self._emitter: Any = None

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            found = list(_tensors((*args, *named.values())))
            is_in_graph = any(tensor.value.name for tensor in found)
            # A second method may have no inputs: it writes what the first one found.
            is_in_graph = is_in_graph or self._emitter is not None
            return getattr(self._chosen(is_in_graph), method)(*args, **named)

        return call

    def _chosen(self, is_in_graph: bool) -> Any:
        kind = Emitter.table.get(type(self._op))
        if not is_in_graph and not (kind and kind.writes_constants):
            if self._numpy is None:
                self._numpy = self._backend.compute(self._op, self._tensors)
            return self._numpy
        if self._emitter is None:
            if kind is None:
                raise Unsupported(f"{type(self._op).__name__} has no form in ONNX here")
            self._emitter = kind(self._backend.graph, self._op)
        return self._emitter


def _tensors(values: object) -> Iterator[TraceTensor]:
    if isinstance(values, TraceTensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _tensors(value)
    elif is_dataclass(values):
        for field in fields(values):
            yield from _tensors(getattr(values, field.name))
