"""The functions of cuBLAS that the cuda backend calls, over emulated memory.

As in the library, matrices are column-major, scalars are read from the host when a function is
called, or from the device when it runs, and a status is returned. Arguments that the library would
misinterpret silently raise DeviceFault.
"""

import ctypes
from typing import NamedTuple

import numpy as np

from emulator.kernels import Launch
from emulator.memory import DeviceFault
from minicaffe.backends.cuda.driver.cublas import PROTOTYPES
from minicaffe.backends.cuda.driver.device import Address

SUCCESS, NOT_INITIALIZED, INVALID_VALUE, NOT_SUPPORTED = 0, 1, 7, 15
FLOAT32, FLOAT16, BFLOAT16 = 0, 2, 14
# 32F, 32F_PEDANTIC, 32F_FAST_16F, 32F_FAST_16BF, 32F_FAST_TF32: all of them are float32 here.
_COMPUTE = frozenset({68, 69, 74, 75, 77})
_NUMPY = {FLOAT32: np.float32, FLOAT16: np.float16, BFLOAT16: np.uint16}
HANDLE = 0xB1A5
VERSION = 130000


class Matrices(NamedTuple):
    """A batch of column-major matrices in device memory."""

    address: int
    kind: int
    rows: int
    columns: int
    leading: int
    stride: int = 0
    batch: int = 1

    @property
    def is_valid(self):
        """Whether the leading dimension holds a column."""
        return self.leading >= max(1, self.rows)

    def view(self, heap, purpose):
        """Return the memory as an array (batch, rows, columns)."""
        size = np.dtype(_NUMPY[self.kind]).itemsize
        if self.address % size:
            raise DeviceFault(f"{purpose}: address {self.address:#x} for values of {size} bytes")
        last = (self.batch - 1) * self.stride + (self.columns - 1) * self.leading + self.rows
        empty = 0 in (self.batch, self.rows, self.columns)
        flat = heap.view(self.address, 0 if empty else last, _NUMPY[self.kind], purpose)
        shape = self.batch, self.rows, self.columns
        steps = self.stride * size, size, self.leading * size
        return np.ndarray(shape, flat.dtype) if empty else _strided(flat, shape, steps)


def _strided(flat, shape, steps):
    return np.lib.stride_tricks.as_strided(flat, shape, steps)


def to_float32(values, kind):
    """Return stored values as float32."""
    if kind == BFLOAT16:
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32)


def from_float32(values, kind):
    """Return float32 values as they are stored: rounded to the nearest, ties to even."""
    if kind != BFLOAT16:
        with np.errstate(over="ignore"):
            return values.astype(_NUMPY[kind])
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(values), 0x7FFF, rounded).astype(np.uint16)


class _Function:
    """A function of the library: accepts what ctypes would accept, returns a status."""

    def __init__(self, name, call, count):
        self.name, self._call, self._count = name, call, count
        self.argtypes = PROTOTYPES.get(name)
        self.restype = ctypes.c_int

    def __call__(self, *args):
        if len(args) != self._count:
            raise DeviceFault(f"{self.name}: {len(args)} arguments, not {self._count}")
        kinds = self.argtypes or (None,) * self._count
        if len(kinds) != self._count:
            raise DeviceFault(f"{self.name}: {len(kinds)} argtypes, not {self._count}")
        return self._call(*(_passed(arg, kind) for arg, kind in zip(args, kinds, strict=True)))


def _passed(arg, kind):
    """Return what ctypes would pass for a parameter of this type."""
    if kind is None:
        return _plain(arg)
    kind.from_param(arg)
    if issubclass(kind, ctypes._Pointer) and isinstance(arg, kind._type_):
        return ctypes.addressof(arg)
    return _plain(arg)


def _plain(arg):
    """Return an argument as the int that the library would get: a number or an address."""
    if arg is None:
        return 0
    if isinstance(arg, int):
        return int(arg)
    if hasattr(arg, "_obj"):
        return ctypes.addressof(arg._obj)
    if isinstance(arg, ctypes.Array | ctypes.Structure):
        return ctypes.addressof(arg)
    if isinstance(arg, ctypes._Pointer):
        return ctypes.cast(arg, ctypes.c_void_p).value or 0
    if hasattr(arg, "value"):
        return arg.value or 0
    raise DeviceFault(f"cuBLAS: {arg!r} is not a C argument")


class EmulatedCublas:
    """The library; an attribute for each function.

    Parameters
    ----------
    device : EmulatedDevice
    """

    def __init__(self, device):
        self._device = device
        self._has_workspace = False
        self._scalars_on_device = False
        for name, call, count in (
            ("cublasCreate_v2", self._create, 1),
            ("cublasDestroy_v2", self._accept, 1),
            ("cublasGetVersion_v2", self._get_version, 2),
            ("cublasSetStream_v2", self._set_stream, 2),
            ("cublasSetWorkspace_v2", self._set_workspace, 3),
            ("cublasSetMathMode", self._accept, 2),
            ("cublasSetPointerMode_v2", self._set_pointer_mode, 2),
            ("cublasGemmEx", self._gemm, 19),
            ("cublasGemmStridedBatchedEx", self._gemm_batched, 23),
        ):
            setattr(self, name, _Function(name, call, count))

    def _create(self, address):
        ctypes.c_void_p.from_address(address).value = HANDLE
        return SUCCESS

    def _accept(self, handle, *_):
        return SUCCESS if handle == HANDLE else NOT_INITIALIZED

    def _get_version(self, handle, address):
        ctypes.c_int.from_address(address).value = VERSION
        return self._accept(handle)

    def _set_stream(self, handle, stream):
        if stream != self._device.stream:
            raise DeviceFault(f"cublasSetStream_v2: {stream} is not the device's stream")
        # The library does so too.
        self._has_workspace = False
        return self._accept(handle)

    def _set_workspace(self, handle, address, size_bytes):
        self._device.heap.block(address, size_bytes, "cublasSetWorkspace_v2")
        if address % 256:
            return INVALID_VALUE
        self._has_workspace = True
        return self._accept(handle)

    def _set_pointer_mode(self, handle, mode):
        self._scalars_on_device = bool(mode)
        return self._accept(handle)

    def _gemm(self, handle, *args):
        flips, sizes, alpha = args[0:2], args[2:5], args[5]
        a, b, beta, c, compute = args[6:9], args[9:12], args[12], args[13:16], args[16]
        operands = [(*operand, 0) for operand in (a, b, c)]
        return self._multiply(
            "cublasGemmEx", handle, flips, sizes, (alpha, beta), operands, 1, compute
        )

    def _gemm_batched(self, handle, *args):
        flips, sizes, alpha = args[0:2], args[2:5], args[5]
        a, b, beta, c = args[6:10], args[10:14], args[14], args[15:19]
        batch, compute = args[19], args[20]
        name = "cublasGemmStridedBatchedEx"
        return self._multiply(name, handle, flips, sizes, (alpha, beta), (a, b, c), batch, compute)

    def _multiply(self, name, handle, flips, sizes, scalars, operands, batch, compute):
        if handle != HANDLE:
            return NOT_INITIALIZED
        if min(*sizes, batch) < 0 or not {*flips} <= {0, 1, 2} or 0 in scalars:
            return INVALID_VALUE
        if not _are_supported([operand[1] for operand in operands], compute):
            return NOT_SUPPORTED
        a, b, c = _matrices(flips, sizes, operands, batch)
        if not (a.is_valid and b.is_valid and c.is_valid):
            return INVALID_VALUE
        if self._device.is_capturing and not self._has_workspace:
            raise DeviceFault(f"{name} is captured without a workspace, set after the stream")
        alpha, beta, read = self._scalars(name, scalars)
        args = (*flips, *sizes, alpha, Address(a.address), a.leading, Address(b.address), b.leading)
        launch = Launch(name, (), (), (*args, beta, Address(c.address), c.leading, batch))
        self._device.submit(launch, lambda: self._compute(name, flips, read(), a, b, c))
        return SUCCESS

    def _scalars(self, name, addresses):
        """Return alpha and beta as stored in a launch, and a function that returns their values."""
        if not self._scalars_on_device:
            values = tuple(ctypes.c_float.from_address(address).value for address in addresses)
            return *values, lambda: values

        def read():
            heap = self._device.heap
            return tuple(
                float(heap.view(at, 1, np.float32, f"{name}, scalar")[0]) for at in addresses
            )

        return *map(Address, addresses), read

    def _compute(self, name, flips, scalars, a, b, c):
        heap, (alpha, beta) = self._device.heap, scalars
        left, right = (
            to_float32(x.view(heap, f"{name}, operand {letter}"), x.kind)
            for x, letter in ((a, "A"), (b, "B"))
        )
        left = left.swapaxes(1, 2) if flips[0] else left
        right = right.swapaxes(1, 2) if flips[1] else right
        target = c.view(heap, f"{name}, operand C")
        with np.errstate(invalid="ignore", over="ignore"):
            product = (alpha * (left.astype(np.float64) @ right)).astype(np.float32)
            # With beta = 0, C is not read, even if it holds NaN.
            if beta:
                product += np.float32(beta) * to_float32(target, c.kind)
        target[...] = from_float32(product, c.kind)


def _are_supported(kinds, compute):
    a, b, c = kinds
    return compute in _COMPUTE and a == b and a in _NUMPY and c in (a, FLOAT32)


def _matrices(flips, sizes, operands, batch):
    m, n, k = sizes
    shapes = ((k, m) if flips[0] else (m, k)), ((n, k) if flips[1] else (k, n)), (m, n)
    return [
        Matrices(address, kind, *shape, leading, stride, batch)
        for (address, kind, leading, stride), shape in zip(operands, shapes, strict=True)
    ]
