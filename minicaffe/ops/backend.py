"""The protocols between layers and backends: Tensor, Op, Kernel, Backend.

Describe, plan, run: a layer describes its work as an `Op`, ``backend.plan(op, *tensors)`` returns a
kernel when shapes are known, and the kernel runs every iteration.

The kernel law
--------------
* Outputs are preallocated. Tops and bottom diffs (y, dx) are overwritten, parameter diffs (dw, db)
  are accumulated into.
* A kernel belongs to one layer: it may keep what its backward pass needs (a mask, the windows it
  chose). What is costly and holds no data (primitives, compiled code) is shared inside the backend.
* Nothing is allocated on a fast backend after planning, and nothing waits for the device. A wrong
  label is a `LabelError`: of the kernel's forward pass where that has the values at hand, else of
  whoever reads what came of them.
* `Unsupported` is raised by ``plan`` or never.
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
HostArray: TypeAlias = npt.NDArray[Any]


class Later(Protocol):
    """Values that a device may still be computing. Calling it waits for them and returns them."""

    @property
    def is_ready(self) -> bool:
        """Whether a call would return without waiting."""
        ...

    def __call__(self) -> HostArray:
        """Return the values, a copy in host memory.

        Raises
        ------
        LabelError
            If a kernel that made them could not say at once that a label was wrong; `labels` of the
            error is that tensor.
        """
        ...


class Tensor(Protocol):
    """A logical array, C-ordered as Caffe orders it, whose physical layout is the backend's secret.

    Kernels of the same backend reach behind the protocol; everybody else declares an intent.
    """

    @property
    def shape(self) -> Shape:
        """Sizes of the logical axes."""
        ...

    def read(self) -> Array:
        """Return the values as an array of ``backend.xp`` that the caller must not change."""
        ...

    def write(self) -> Array:
        """Return an array that the caller will overwrite as a whole; what it holds is undefined."""
        ...

    def update(self) -> Array:
        """Return the values as an array that the caller may change."""
        ...

    def get(self) -> HostArray:
        """Return a copy of the values in host memory; waits, and raises what `later` may raise."""
        ...

    def later(self) -> Later:
        """Return the values as they are now, to be had without waiting for them now."""
        ...

    def set(self, values: npt.ArrayLike) -> None:
        """Overwrite the values with an array of the host, of the same shape."""
        ...

    def clear(self) -> None:
        """Overwrite all values with zero."""
        ...

    def host(self) -> HostArray:
        """Return a live NumPy view: what is written to it is what the next forward pass reads.

        From then on the tensor is kept where the host can see it, which may cost speed.
        """
        ...

    def reshape(self, shape: Shape) -> None:
        """Change the shape; values are kept where the new shape needs no more memory."""
        ...

    def view(self, shape: Shape) -> Tensor:
        """Return a tensor of another shape, with as many values, over the same memory."""
        ...

    def take_memory_of(self, other: Any) -> None:
        """Use the memory of another tensor of this backend from now on, views included.

        For tensors whose values are needed at different times: writing one loses the other's.
        What both held is lost. The memory grows to the larger need, copies in other layouts
        included.
        """
        ...


K = TypeVar("K", covariant=True)


@dataclass(frozen=True)
class Op(Generic[K]):
    """What a layer asks a backend for. Subclasses are frozen and hold plain numbers only."""


@dataclass(frozen=True)
class Follower:
    """What a layer in place does, for the kernel that makes its input.

    Parameters
    ----------
    op : Op
    parameters : callable
        Returns the op's tensors but x and y, in planning order; asked again in every pass.
    keeps_input : bool
        Whether its own backward pass needs that it ran forward itself.
    gradients : callable
        Returns the gradients of the parameters to add to, None for those that nobody wants.
    """

    op: Op[Any]
    parameters: Callable[[], Sequence[Tensor]] = tuple
    keeps_input: bool = False
    gradients: Callable[[], Sequence[Tensor | None]] = tuple


Kernel: TypeAlias = Any
"""What ``plan`` returns; the protocol of each op's kernel stands beside the op."""


class Backend(Protocol):
    """One way to compute: NumPy, oneDNN, CUDA."""

    name: str
    dtype: np.dtype[Any]

    @property
    def description(self) -> str:
        """What computes, for the log: library, version, threads."""
        ...

    @property
    def data_threads(self) -> int:
        """How many threads may decode pictures while this computes."""
        ...

    @property
    def xp(self) -> ModuleType:
        """The array module that `Tensor.read` and `Tensor.write` speak: numpy or cupy."""
        ...

    @property
    def turn(self) -> AbstractContextManager[Any]:
        """What to hold while one layer is planned or computes.

        Nets of one backend share its memory for intermediate values. In programs that run them in
        threads, they take turns, layer by layer. The same thread may hold it more than once.
        """
        ...

    def tensor(self, shape: Shape) -> Tensor:
        """Return a new tensor, filled with zeros."""
        ...

    def gradient(self, shape: Shape) -> Tensor:
        """Return a new tensor that is to hold a gradient, filled with zeros.

        Between native kernels a backend may hold gradients times a factor, as their types ask for.
        """
        ...

    def state(self) -> dict[str, Any]:
        """Return what else a resumed run needs to compute the same (JSON types only)."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned in an earlier run, perhaps of another backend."""
        ...

    def plan(self, op: Op[K], *tensors: Tensor) -> K:
        """Return a kernel for `op` on tensors of these shapes, in the order the op documents.

        Planning may choose the physical layout of the op's outputs; consumers are planned later
        and follow. The kernel is called with the tensors again, so nothing is bound here.

        Raises
        ------
        Unsupported
            If neither this backend nor one it builds on has a kernel for this op.
        """
        ...

    def absorb(self, kernel: Kernel, followers: Sequence[Follower]) -> int:
        """Have `kernel` do what follows on its output in the same pass, and nothing else.

        Returns
        -------
        int
            How many of the followers, from the first on, it will do: 0 where that brings nothing.
        """
        ...

    def repeatable(self, work: Sequence[Callable[[], None]]) -> Callable[[], None]:
        """Return a function that does pieces of work in their order, each time it is called.

        A backend may record what the pieces ask of the device and repeat that, without calling
        them, from the second time on. It calls a piece

        * every time, if the piece reads or writes values outside of kernels (`get`, `set`, `later`
          and the like): only the pieces between those are recorded;
        * anew, once `plan` or `absorb` was called, or a tensor that it uses changed its shape.

        For any other change of what the pieces do, whoever made them asks for a new function. A
        kernel that is given a number of this run through a function calls that function in every
        run. If a piece raises, the pieces behind it are not done; the next call begins anew.

        Parameters
        ----------
        work : sequence of callable
            One for each layer and direction, so that as much as can be is recorded.
        """
        ...

    def synchronize(self) -> None:
        """Wait until everything asked for has been computed."""
        ...

    def free_bytes(self) -> int | None:
        """Return what a device has left of memory of its own; None: it has none of its own."""
        ...

    def missing_bytes(self, tensors: Sequence[Tensor], are_activations: bool) -> int:
        """Return the memory of the device that tensors will take when they are written.

        Parameters
        ----------
        tensors : sequence of Tensor
            Those over the same memory count once.
        are_activations : bool
            Whether they are values or gradients of blobs between layers, which may be kept in a
            smaller type than parameters.
        """
        ...
