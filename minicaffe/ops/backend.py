"""The protocols between layers and backends: Tensor, Future, Op, Backend.

Describe, plan, run: a layer describes its work as an `Op`, ``backend.plan(op, *tensors)`` returns a
kernel when shapes are known, and the kernel runs in every iteration.

The kernel contract
-------------------
* Outputs are preallocated. Tops and bottom diffs (y, dx) are overwritten, parameter diffs (dw, db)
  are accumulated.
* A kernel belongs to one layer: it may save what its backward pass needs (a mask, the indices of
  the maxima). Costly objects without data (primitives, compiled code) are shared in the backend.
* A fast backend allocates nothing after planning, and no kernel synchronises with the device. A
  wrong label is a `LabelError`, raised by the kernel's forward pass if the values are in host
  memory, otherwise by the read of a result that depends on them.
* Backward reads parameters, what the kernel saved in forward, and those of x and y that the op's
  module names; the others may have been overwritten by a later layer in place. A layer declares the
  same with `reads_bottoms` and `reads_tops`.
* ``plan`` raises `Unsupported`; a kernel never does. It therefore relies on shapes of tensors, not
  on the layouts that another kernel left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Shape: TypeAlias = tuple[int, ...]
# numpy.ndarray, or cupy.ndarray on a GPU: the reference kernels run on both.
Array: TypeAlias = Any
# numpy or cupy.
ArrayModule: TypeAlias = Any
HostArray: TypeAlias = npt.NDArray[Any]
# A unit of work: one layer in one direction, an update, ...
Task: TypeAlias = Callable[[], None]


class NetChanges:
    """Counts of what happens in a net that its tensors do not show.

    Attributes
    ----------
    count : int
        Grows when a layer runs, is planned or fused, and when a blob changes its shape.
    effects : int
        Grows when a layer has an effect that is no change of a tensor: it waits for data, runs the
        user's code or draws random numbers.
    """

    def __init__(self) -> None:
        self.count = self.effects = 0


class Future(Protocol):
    """The result of an asynchronous copy to host memory."""

    @property
    def is_done(self) -> bool:
        """Whether `result` would return without waiting."""

    def result(self) -> HostArray:
        """Wait for the copy and return it.

        Raises
        ------
        LabelError
            If a kernel on the device found a wrong label; `labels` of the error is that tensor.
        """


class Tensor(Protocol):
    """A logical C-order array, whose physical layout is private to the backend.

    Kernels of the same backend may use the concrete class; all other code declares an intent.
    """

    @property
    def shape(self) -> Shape:
        """Sizes of the logical axes."""

    def read(self) -> Array:
        """Return the values as an array of ``backend.xp`` that the caller must not change."""

    def write(self) -> Array:
        """Return an array that the caller will overwrite completely; its contents are undefined."""

    def update(self) -> Array:
        """Return the values as an array that the caller may change."""

    def get(self) -> HostArray:
        """Return a copy of the values in host memory: ``get_async().result()``."""

    def get_async(self) -> Future:
        """Start a copy of the values to host memory and return its future."""

    def set(self, values: npt.ArrayLike) -> None:
        """Overwrite the values with an array of the host, of the same shape."""

    def clear(self) -> None:
        """Overwrite all values with zero."""

    def host(self) -> HostArray:
        """Return a live NumPy view: the next forward pass reads what is written to it.

        From then on the tensor is kept in memory that the host can access, which may cost speed.
        """

    def reshape(self, shape: Shape) -> None:
        """Change the shape; values are kept where the new shape needs no more memory."""

    def view(self, shape: Shape) -> Tensor:
        """Return a tensor of another shape, with as many values, over the same memory."""


@dataclass(frozen=True)
class Placement:
    """The place of a tensor in memory that several share.

    Parameters
    ----------
    tensor : Tensor
    start : int
        Index of the first value. Tensors whose places overlap are not live at the same time.
    keeps_terms : bool
        Whether the terms of a sum that the tensor holds keep their values until it is overwritten.
    """

    tensor: Any  # a tensor of the backend that is given the placement
    start: int
    keeps_terms: bool = False


K = TypeVar("K", covariant=True)


@dataclass(frozen=True)
class Op(Generic[K]):
    """An operation, generic over the protocol of its kernels.

    Subclasses are frozen dataclasses and hold plain numbers only.
    """


@dataclass(frozen=True)
class EpilogueOp:
    """An in-place op that may be fused into the kernel that computes its input.

    Parameters
    ----------
    op : Op
    parameters : callable
        Returns the op's tensors except x and y, in planning order; called in every pass.
    keeps_input : bool
        Whether its backward pass requires that its own forward pass ran.
    gradients : callable
        Returns the parameter gradients to accumulate into, None for each that is not needed.
    """

    op: Op[Any]
    parameters: Callable[[], Sequence[Tensor]] = tuple
    keeps_input: bool = False
    gradients: Callable[[], Sequence[Tensor | None]] = tuple


class Backend(Protocol):
    """One way to compute: NumPy, oneDNN, CUDA."""

    name: str
    dtype: np.dtype[Any]
    # Whether sums and copies of gradients are computed when they are read, if the terms allow it.
    defers_sums: bool

    @property
    def description(self) -> str:
        """Library, version and threads, for the log."""

    @property
    def data_threads(self) -> int:
        """Number of threads that may decode images while the backend computes."""

    @property
    def xp(self) -> ModuleType:
        """The array module of `Tensor.read` and `Tensor.write`: numpy or cupy."""

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """The reentrant lock to hold while one layer is planned or computes.

        Nets of one backend share its scratch memory, so nets in several threads alternate layer by
        layer.
        """

    def tensor(self, shape: Shape) -> Tensor:
        """Return a new tensor, filled with zeros."""

    def gradient(self, shape: Shape) -> Tensor:
        """Return a new tensor for a gradient, filled with zeros.

        A backend may apply loss scaling to it between its own kernels.
        """

    def share_memory(self, groups: Sequence[Sequence[Placement]]) -> None:
        """Let tensors share memory from now on, views included; their values are lost now.

        Writing a tensor overwrites others, while copies that a kernel asks for in further layouts
        are shared by the tensors of a group only.

        Parameters
        ----------
        groups : sequence of sequence of Placement
            Of each group, no two tensors are live at the same time.
        """

    def state(self) -> dict[str, Any]:
        """Return the backend's state for exact resuming (JSON types only)."""

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned in an earlier run, possibly of another backend."""

    def plan(self, op: Op[K], *tensors: Tensor) -> K:
        """Return a kernel for `op` on tensors of these shapes, in the order the op documents.

        Planning may choose the physical layout of the op's outputs; consumers are planned later
        and follow. The kernel is called with the tensors again, so nothing is bound here.

        Raises
        ------
        Unsupported
            If neither this backend nor one it builds on has a kernel for this op.
        """

    def fuse(self, kernel: object, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse ops that follow on the output of `kernel` into it; replaces its earlier epilogue.

        Returns
        -------
        int
            How many of the ops, counted from the first, are fused; 0 if fusion brings nothing.
        """

    def compile(self, tasks: Sequence[Task], changes: NetChanges | None = None) -> Task:
        """Return a function that runs tasks in order, each time it is called.

        A backend may capture the device operations of the tasks as graphs and replay these from the
        second run on, without calling the tasks. It calls a task

        * in every run, if the task accesses values outside of kernels (`get`, `set`, `get_async`
          and the like): only the tasks between those are captured;
        * again, after `plan` or `fuse` was called or a tensor that the task uses was reshaped.

        After any other change of what the tasks do, their owner must compile again. A kernel that
        receives a number through a function calls this function in every run. If a task raises,
        the tasks after it do not run; the next call starts with the first task.

        Parameters
        ----------
        tasks : sequence of callable
            One for each layer and direction, so that as much as possible is captured.
        changes : NetChanges, optional
            Of the net of all tasks. A backend that cannot see on its own whether kernels keep
            anything between calls replays nothing without it.
        """

    def synchronize(self) -> None:
        """Wait until all work on the device is finished."""

    def free_bytes(self) -> int | None:
        """Return the free device memory in bytes; None if the backend uses host memory."""

    @property
    def activation_bytes(self) -> int:
        """Bytes that a value of a blob takes at least, in the smallest layout."""

    def missing_bytes(self, tensors: Sequence[Tensor], are_activations: bool) -> int:
        """Return how much device memory tensors will allocate when they are first written.

        Parameters
        ----------
        tensors : sequence of Tensor
            Tensors that share memory count once.
        are_activations : bool
            Whether they are activations or their gradients, which may be stored in a smaller type
            than parameters.
        """
