"""cuDNN's legacy C API through ctypes, used if the graph API is not installed or has no plan.

Its convolutions are deprecated since cuDNN 9.0 but part of every cuDNN 9. They offer up to eight
numbered algorithms and fuse nothing: bias and ReLU are separate calls.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable, Mapping, Sequence
from ctypes import byref, c_char_p, c_double, c_float, c_int, c_size_t, c_void_p
from typing import Any, TypeAlias

from minicaffe.backends.cuda.driver import libraries
from minicaffe.backends.cuda.driver.plans import (
    ConvolutionProblem,
    Operand,
    Plan,
    PlanLimits,
    Role,
    strides,
)
from minicaffe.errors import BackendUnavailable, MinicaffeError, Unsupported

# A ctypes library, whose functions are attributes of unknown type.
_Library: TypeAlias = Any

_CODES = {"p": c_void_p, "i": c_int, "z": c_size_t, "d": c_double}
# Arguments: p pointer, handle or array; i int or enum; z size_t; d double.
PROTOTYPES = {
    "cudnnCreate": "p",
    "cudnnDestroy": "p",
    "cudnnSetStream": "pp",
    "cudnnCreateTensorDescriptor": "p",
    "cudnnSetTensorNdDescriptor": "piipp",
    "cudnnDestroyTensorDescriptor": "p",
    "cudnnCreateFilterDescriptor": "p",
    "cudnnSetFilterNdDescriptor": "piiip",
    "cudnnDestroyFilterDescriptor": "p",
    "cudnnCreateConvolutionDescriptor": "p",
    "cudnnSetConvolutionNdDescriptor": "pipppii",
    "cudnnSetConvolutionGroupCount": "pi",
    "cudnnSetConvolutionMathType": "pi",
    "cudnnDestroyConvolutionDescriptor": "p",
    "cudnnGetConvolutionNdForwardOutputDim": "pppip",
    "cudnnCreateActivationDescriptor": "p",
    "cudnnSetActivationDescriptor": "piid",
    "cudnnDestroyActivationDescriptor": "p",
    "cudnnGetConvolutionForwardAlgorithm_v7": "pppppipp",
    "cudnnGetConvolutionBackwardDataAlgorithm_v7": "pppppipp",
    "cudnnGetConvolutionBackwardFilterAlgorithm_v7": "pppppipp",
    "cudnnConvolutionForward": "pppppppipzppp",
    "cudnnConvolutionBackwardData": "pppppppipzppp",
    "cudnnConvolutionBackwardFilter": "pppppppipzppp",
    "cudnnAddTensor": "ppppppp",
    "cudnnActivationForward": "pppppppp",
}

# cudnnDataType_t, cudnnMathType_t, and single values of other enums.
TYPES = {"float32": 0, "float16": 2, "bfloat16": 9}
DEFAULT_MATH, TENSOR_OP_MATH, FMA_MATH = 0, 1, 3
CROSS_CORRELATION = 1
RELU, PROPAGATE_NAN = 1, 1
DETERMINISTIC = 1
# The largest number of algorithms that any direction has.
N_ALGORITHMS = 8
_LARGEST = 2**31 - 1


class Performance(ctypes.Structure):
    """cudnnConvolution*AlgoPerf_t, which has one layout for all directions."""

    _fields_ = [
        ("algorithm", c_int),
        ("status", c_int),
        ("milliseconds", c_float),
        ("workspace_bytes", c_size_t),
        ("determinism", c_int),
        ("math", c_int),
        ("reserved", c_int * 3),
    ]


def load_cudnn_legacy() -> ctypes.CDLL:
    """Load cuDNN and declare the functions used here.

    Raises
    ------
    BackendUnavailable
        If it is not installed, does not load, or lacks one of the functions.
    """
    library = libraries.load_library("cudnn")
    try:
        for name, codes in PROTOTYPES.items():
            function = getattr(library, name)
            function.argtypes = tuple(_CODES[code] for code in codes)
            function.restype = c_int
        library.cudnnGetErrorString.argtypes = (c_int,)
        library.cudnnGetErrorString.restype = c_char_p
        library.cudnnGetVersion.restype = c_size_t
    except AttributeError as error:
        raise BackendUnavailable(f"this cuDNN lacks the legacy API ({error})") from None
    return library


class Calls:
    """Calls functions of the library and checks their status; creates descriptors."""

    def __init__(self, library: _Library) -> None:
        self.library = library

    def __call__(self, name: str, *args: object, kind: type[MinicaffeError] = Unsupported) -> None:
        """Call a function; raise `kind` unless it succeeds."""
        status = getattr(self.library, name)(*args)
        if status:
            text = self.library.cudnnGetErrorString(status).decode()
            raise kind(f"cuDNN: {name} returns: {text}")

    def tensor(self, operand: Operand, channels_last: bool) -> c_void_p:
        """Return a new descriptor of a tensor."""
        shape = operand.shape
        descriptor = self._create("Tensor")
        self(
            *("cudnnSetTensorNdDescriptor", descriptor, TYPES[operand.dtype], len(shape)),
            *(_ints(shape), _ints(strides(shape, channels_last))),
        )
        return descriptor

    def filter(self, operand: Operand, channels_last: bool) -> c_void_p:
        """Return a new descriptor of the filters of a convolution."""
        shape = operand.shape
        descriptor = self._create("Filter")
        self(
            *("cudnnSetFilterNdDescriptor", descriptor, TYPES[operand.dtype]),
            *(int(channels_last), len(shape), _ints(shape)),
        )
        return descriptor

    def convolution(self, what: ConvolutionProblem, math: int) -> c_void_p:
        """Return a new descriptor of a convolution with float32 sums."""
        descriptor = self._create("Convolution")
        self(
            *("cudnnSetConvolutionNdDescriptor", descriptor, len(what.stride), _ints(what.pad)),
            *(_ints(what.stride), _ints(what.dilation), CROSS_CORRELATION, TYPES["float32"]),
        )
        self("cudnnSetConvolutionGroupCount", descriptor, what.group)
        self("cudnnSetConvolutionMathType", descriptor, math)
        return descriptor

    @functools.cached_property
    def relu(self) -> c_void_p:
        """The descriptor of max(x, 0), which propagates NaN as Caffe does."""
        descriptor = self._create("Activation")
        self("cudnnSetActivationDescriptor", descriptor, RELU, PROPAGATE_NAN, 0.0)
        return descriptor

    def _create(self, noun: str) -> c_void_p:
        descriptor = c_void_p()
        self(f"cudnnCreate{noun}Descriptor", byref(descriptor))
        destroy = getattr(self.library, f"cudnnDestroy{noun}Descriptor")
        weakref.finalize(descriptor, destroy, descriptor.value).atexit = False
        return descriptor


class Legacy:
    """The legacy API on one stream; a `Dnn`.

    Parameters
    ----------
    library : object
        What `load_cudnn_legacy` returns, or an object with functions of the same names.
    stream : int
        The CUDA stream of all plans.
    limits : PlanLimits

    Raises
    ------
    BackendUnavailable
        If cuDNN cannot be initialised, for example because there is no device.
    """

    def __init__(self, library: _Library, stream: int, limits: PlanLimits) -> None:
        self.calls, self.limits = Calls(library), limits
        self.handle = c_void_p()
        self.calls("cudnnCreate", byref(self.handle), kind=BackendUnavailable)
        weakref.finalize(self, library.cudnnDestroy, self.handle).atexit = False
        self.calls("cudnnSetStream", self.handle, int(stream), kind=BackendUnavailable)

    @classmethod
    def open(cls, stream: int, limits: PlanLimits) -> Legacy:
        """Return the legacy API on the current device and a CUDA stream.

        Parameters
        ----------
        stream : int
            The stream of all plans.
        limits : PlanLimits

        Raises
        ------
        BackendUnavailable
            If cuDNN is not installed or cannot be initialised.
        """
        return cls(load_cudnn_legacy(), stream, limits)

    @property
    def version(self) -> str:
        """Version of the library, and which algorithms are excluded."""
        return f"cuDNN {self.calls.library.cudnnGetVersion()} legacy{self.limits}"

    def plans(self, what: ConvolutionProblem) -> Sequence[Plan]:
        """Return the suitable algorithms, in the order of the library's heuristics.

        Raises
        ------
        Unsupported
            If there is none.
        """
        what = what.canonical
        found = _Convolution(self, what).plans()
        if not found:
            raise Unsupported(f"{what}: none of cuDNN's legacy algorithms is suitable")
        return found

    def run(self, name: str, *args: object) -> None:
        """Enqueue a library call on the stream."""
        values = (byref(arg) if isinstance(arg, c_float) else arg for arg in args)
        self.calls(name, self.handle, *values, kind=BackendUnavailable)


_Run: TypeAlias = Callable[[Mapping[Role, int], int], None]


class LegacyPlan:
    """One algorithm for one convolution problem."""

    def __init__(self, name: str, workspace_bytes: int, run: _Run) -> None:
        self.name, self.workspace_bytes, self._run = name, workspace_bytes, run

    def prepare(self) -> None:
        """Do nothing: the library loads code in the first run."""

    def __call__(self, addresses: Mapping[Role, int], workspace: int) -> None:
        """Enqueue the algorithm on the stream."""
        self._run({role: int(address) for role, address in addresses.items()}, int(workspace))


# Name of the function, and its operands in the order of its arguments.
_DIRECTIONS = {
    "forward": ("Forward", Role.X, Role.W, Role.Y),
    "data": ("BackwardData", Role.W, Role.DY, Role.DX),
    "weights": ("BackwardFilter", Role.X, Role.DY, Role.DW),
}
_ZERO, _ONE = c_float(0.0), c_float(1.0)


class _Convolution:
    """A convolution's descriptors, and the plans created from them."""

    def __init__(self, legacy: Legacy, what: ConvolutionProblem) -> None:
        self._legacy, self._what = legacy, what
        self._noun, *self._roles = _DIRECTIONS[what.direction]
        calls = legacy.calls
        self._descriptors = {
            role: (calls.filter if role in (Role.W, Role.DW) else calls.tensor)(
                operand, what.channels_last
            )
            for role, operand in what.operands.items()
        }

    def plans(self) -> list[Plan]:
        """Return a plan for each suitable algorithm."""
        wanted = _wanted_math(self._what)
        return [
            self._plan(found, wanted if wanted == FMA_MATH else found.math)
            for found in self._performances(wanted)
            if self._is_suitable(found, wanted)
        ]

    def _is_suitable(self, found: Performance, wanted: int) -> bool:
        is_exact = wanted != FMA_MATH or found.math in (DEFAULT_MATH, FMA_MATH)
        is_repeatable = (
            found.determinism == DETERMINISTIC or not self._legacy.limits.is_deterministic
        )
        is_small = found.workspace_bytes <= self._legacy.limits.workspace_limit
        return found.status == 0 and is_exact and is_repeatable and is_small

    def _performances(self, math: int) -> Sequence[Performance]:
        first, second, result = (self._descriptors[role] for role in self._roles)
        convolution = self._legacy.calls.convolution(self._what, math)
        results, count = (Performance * N_ALGORITHMS)(), c_int()
        self._legacy.calls(
            f"cudnnGetConvolution{self._noun}Algorithm_v7",
            *(self._legacy.handle, first, second, convolution, result),
            *(N_ALGORITHMS, byref(count), results),
        )
        return results[: count.value]

    def _plan(self, found: Performance, math: int) -> Plan:
        first, second, result = self._roles
        d, run = self._descriptors, self._legacy.run
        convolution = self._legacy.calls.convolution(self._what, math)
        algorithm, size = found.algorithm, found.workspace_bytes
        epilogue = self._epilogue()

        def work(at: Mapping[Role, int], workspace: int) -> None:
            run(
                *(f"cudnnConvolution{self._noun}", _ONE, d[first], at[first], d[second]),
                *(at[second], convolution, algorithm, workspace, size),
                *(_ZERO, d[result], at[result]),
            )
            for epilogue_op in epilogue:
                epilogue_op(at)

        return LegacyPlan(f"legacy algorithm {algorithm} math {math}", size, work)

    def _epilogue(self) -> Sequence[Callable[[Mapping[Role, int]], None]]:
        d, run, relu = self._descriptors, self._legacy.run, self._legacy.calls.relu
        y = Role.Y

        def add_bias(at: Mapping[Role, int]) -> None:
            run("cudnnAddTensor", _ONE, d[Role.B], at[Role.B], _ONE, d[y], at[y])

        def rectify(at: Mapping[Role, int]) -> None:
            run("cudnnActivationForward", relu, _ONE, d[y], at[y], _ZERO, d[y], at[y])

        return [add_bias] * self._what.bias + [rectify] * self._what.relu


def _wanted_math(what: ConvolutionProblem) -> int:
    if what.dtype != "float32":
        return TENSOR_OP_MATH
    # The default allows cuDNN to round float32 factors to TF32.
    return DEFAULT_MATH if what.math == "tf32" else FMA_MATH


def _ints(values: Sequence[int]) -> ctypes.Array[c_int]:
    if max(values) > _LARGEST:
        raise Unsupported(f"cuDNN's legacy API: {max(values)} values are more than {_LARGEST}")
    return (c_int * len(values))(*values)
