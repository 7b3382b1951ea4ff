"""cuDNN's older C API through ctypes: for where the graph API is not installed or has no plan.

Its convolutions have been deprecated since cuDNN 9.0 and are part of every cuDNN 9. They know a
handful of algorithms by number and combine nothing: a bias and a ReLU are calls of their own.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable, Mapping, Sequence
from ctypes import byref, c_char_p, c_double, c_float, c_int, c_size_t, c_void_p
from typing import Any, TypeAlias

from minicaffe.backends.cuda.driver import libraries
from minicaffe.backends.cuda.driver.plans import ConvolutionProblem, Operand, Plan, Role, strides
from minicaffe.errors import BackendUnavailable, MinicaffeError, Unsupported

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
    """What the heuristics say of one algorithm; the same for all directions."""

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
        If it is not installed, does not load, or lacks one of them.
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
        raise BackendUnavailable(f"this cuDNN has lost its older API ({error})") from None
    return library


class Calls:
    """The functions of the library, each with its status checked."""

    def __init__(self, library: Any) -> None:
        self.library = library

    def __call__(self, name: str, *args: Any, kind: type[MinicaffeError] = Unsupported) -> None:
        """Call one, and raise `kind` unless it succeeds."""
        status = getattr(self.library, name)(*args)
        if status:
            text = self.library.cudnnGetErrorString(status).decode()
            raise kind(f"cuDNN: {name} answers: {text}")

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
        """Return a new descriptor of a convolution; sums are made in float32."""
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
        """The descriptor of max(x, 0); what is not a number stays so, as in Caffe."""
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
    """The older API on one stream; a `Dnn`.

    Parameters
    ----------
    library : object
        What `load` returns, or an object with functions of the same names and arguments.
    stream : int
        The CUDA stream that all plans run on.
    is_deterministic : bool
        Leave out algorithms whose sums may come in another order in the next run.
    workspace_limit : int
        Bytes; algorithms that need more are left out.

    Raises
    ------
    BackendUnavailable
        If cuDNN does not start, for example because there is no device.
    """

    def __init__(
        self,
        library: Any,
        stream: int,
        *,
        is_deterministic: bool,
        workspace_limit: int,
    ) -> None:
        self.calls = Calls(library)
        self.is_deterministic, self.workspace_limit = is_deterministic, workspace_limit
        self.handle = c_void_p()
        self.calls("cudnnCreate", byref(self.handle), kind=BackendUnavailable)
        weakref.finalize(self, library.cudnnDestroy, self.handle).atexit = False
        self.calls("cudnnSetStream", self.handle, int(stream), kind=BackendUnavailable)

    @classmethod
    def open(cls, stream: int, **options: Any) -> Legacy:
        """Return the older API on the current device and a CUDA stream.

        Parameters
        ----------
        stream : int
            The stream that all plans run on.
        **options
            The keyword arguments of the class.

        Raises
        ------
        BackendUnavailable
            If cuDNN is not installed or does not start.
        """
        return cls(load_cudnn_legacy(), stream, **options)

    @property
    def version(self) -> str:
        """The library's, and whether algorithms were left out."""
        kind = " deterministic" if self.is_deterministic else ""
        number = self.calls.library.cudnnGetVersion()
        return f"cuDNN {number} legacy{kind} up to {self.workspace_limit >> 20} MiB"

    def plans(self, what: ConvolutionProblem) -> Sequence[Plan]:
        """Return the algorithms that fit, in the order of the library's heuristics.

        Raises
        ------
        Unsupported
            If there is none.
        """
        what = what.canonical
        found = _Convolution(self, what).plans()
        if not found:
            raise Unsupported(f"{what}: none of cuDNN's older algorithms fits")
        return found

    def run(self, name: str, *args: Any) -> None:
        """Start work on the stream."""
        values = (byref(arg) if isinstance(arg, c_float) else arg for arg in args)
        self.calls(name, self.handle, *values, kind=BackendUnavailable)


_Run: TypeAlias = Callable[[Mapping[Role, int], int], None]


class LegacyPlan:
    """One algorithm for one description."""

    def __init__(self, name: str, workspace_bytes: int, run: _Run) -> None:
        self.name, self.workspace_bytes, self._run = name, workspace_bytes, run

    def prepare(self) -> None:
        """Do nothing: the library loads what it needs in the first run."""

    def __call__(self, addresses: Mapping[Role, int], workspace: int) -> None:
        """Start the work on the stream."""
        self._run({role: int(address) for role, address in addresses.items()}, int(workspace))


# Which function, and its operands in the order of its arguments.
_DIRECTIONS = {
    "forward": ("Forward", Role.X, Role.W, Role.Y),
    "data": ("BackwardData", Role.W, Role.DY, Role.DX),
    "weights": ("BackwardFilter", Role.X, Role.DY, Role.DW),
}
_ZERO, _ONE = c_float(0.0), c_float(1.0)


class _Convolution:
    """A convolution's descriptors, and the plans made of them."""

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
        """Return a plan for each algorithm that fits."""
        wanted = _wanted_math(self._what)
        return [
            self._plan(found, wanted if wanted == FMA_MATH else found.math)
            for found in self._performances(wanted)
            if self._fits(found, wanted)
        ]

    def _fits(self, found: Performance, wanted: int) -> bool:
        is_exact = wanted != FMA_MATH or found.math in (DEFAULT_MATH, FMA_MATH)
        is_repeatable = found.determinism == DETERMINISTIC or not self._legacy.is_deterministic
        is_small = found.workspace_bytes <= self._legacy.workspace_limit
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
    # The default lets cuDNN round float32 factors for the tensor cores.
    return DEFAULT_MATH if what.math == "tf32" else FMA_MATH


def _ints(values: Sequence[int]) -> ctypes.Array[c_int]:
    if max(values) > _LARGEST:
        raise Unsupported(f"cuDNN's older API: {max(values)} values are beyond {_LARGEST}")
    return (c_int * len(values))(*values)
