"""The emulated cuBLAS multiplies column-major matrices and refuses what the library refuses."""

import ctypes
import itertools

import numpy as np
import pytest

from emulator import DeviceFault
from emulator.cublas import BFLOAT16, FLOAT16, FLOAT32, from_float32, to_float32
from emulator.values import Values, floats


@pytest.fixture
def handle(device):
    handle = ctypes.c_void_p()
    assert device.cublas.cublasCreate_v2(ctypes.byref(handle)) == 0
    assert device.cublas.cublasSetStream_v2(handle, device.stream) == 0
    return handle


def stored(values, kind):
    """Return column-major matrices (batch, rows, columns) in their memory layout."""
    return from_float32(np.ascontiguousarray(values.swapaxes(1, 2), np.float32), kind)


def scalar(value):
    return ctypes.byref(ctypes.c_float(value))


@pytest.mark.parametrize("flips", list(itertools.product((0, 1), repeat=2)))
@pytest.mark.parametrize("kinds", [(FLOAT32, FLOAT32), (BFLOAT16, BFLOAT16), (FLOAT16, FLOAT32)])
@pytest.mark.parametrize("batch", [1, 3])
def test_gemm_is_numpys(device, handle, random, flips, kinds, batch):
    m, n, k, margin = 5, 3, 4, 2
    a = random.standard_normal((batch, (k if flips[0] else m) + margin, m if flips[0] else k))
    b = random.standard_normal((batch, (n if flips[1] else k) + margin, k if flips[1] else n))
    c = random.standard_normal((batch, m + margin, n))
    kind, result = kinds
    parts = [stored(a, kind), stored(b, kind), stored(c, result)]
    held = [Values(device, part) for part in parts]
    (pa, la, sa), (pb, lb, sb), (pc, lc, sc) = (
        (value.address, part.shape[2], part[0].size)
        for value, part in zip(held, parts, strict=True)
    )
    alpha, beta = scalar(0.5), scalar(2.0)
    if batch == 1:
        call, strides = device.cublas.cublasGemmEx, [(), (), ()]
    else:
        call, strides = device.cublas.cublasGemmStridedBatchedEx, [(sa,), (sb,), (sc,)]
    status = call(
        *(handle, *flips, m, n, k, alpha, pa, kind, la, *strides[0]),
        *(pb, kind, lb, *strides[1], beta, pc, result, lc, *strides[2]),
        *((batch,) if batch > 1 else ()),
        *(77, -1),
    )
    assert status == 0
    a, b, c = (
        to_float32(part, kind).swapaxes(1, 2)
        for part, kind in zip(parts, (kind, kind, result), strict=True)
    )
    left, right = (x[:, :-margin] for x in (a, b))
    left = left.swapaxes(1, 2) if flips[0] else left
    right = right.swapaxes(1, 2) if flips[1] else right
    expected = c.copy()
    expected[:, :m] = 0.5 * left @ right + 2 * c[:, :m]
    found = to_float32(held[2].get(), result).swapaxes(1, 2)
    rtol = 1e-5 if result == FLOAT32 else 1e-2
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)
    assert device.launches[-1].addresses == [pa, pb, pc]


def square(device, handle, x, y, leading=2, beta=0.0, compute=68):
    """Have y = x * x for matrices 2 x 2."""
    return device.cublas.cublasGemmEx(
        *(handle, 0, 0, 2, 2, 2, scalar(1.0), x, FLOAT32, leading, x, FLOAT32, 2),
        *(scalar(beta), y, FLOAT32, 2, compute, -1),
    )


def test_gemm_refuses_what_the_library_refuses(device, handle, random):
    x, y = floats(device, random, 2, 2), Values(device, np.full((2, 2), np.nan, np.float32))
    assert square(device, handle, x.address, y.address) == 0
    np.testing.assert_allclose(y.get().T, x.get().T @ x.get().T, rtol=1e-5)
    assert square(device, handle, x.address, y.address, leading=1) == 7
    assert square(device, handle, x.address, y.address, compute=64) == 15
    assert square(device, 0, x.address, y.address) == 1
    with pytest.raises(DeviceFault, match="operand A: 20 bytes from byte 0"):
        square(device, handle, x.address, y.address, leading=3)
    with pytest.raises(DeviceFault, match="cublasGemmEx: 2 arguments, not 19"):
        device.cublas.cublasGemmEx(handle, 0)


def test_gemm_is_captured_with_a_workspace_of_its_own(device, handle, random):
    x, y = floats(device, random, 2, 2), floats(device, random, 2, 2)
    before, workspace = y.get(), device.allocate(1024)
    with pytest.raises(DeviceFault, match="captured without a workspace"):
        device.capture(lambda: square(device, handle, x.address, y.address))
    assert device.cublas.cublasSetWorkspace_v2(handle, workspace.address, 1024) == 0
    replay = device.capture(lambda: square(device, handle, x.address, y.address))
    np.testing.assert_array_equal(y.get(), before)
    replay()
    np.testing.assert_allclose(y.get().T, x.get().T @ x.get().T, rtol=1e-5)


def test_the_library_is_called_through_ctypes(device, handle):
    version = ctypes.c_int()
    function = device.cublas.cublasGetVersion_v2
    function.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)]
    for place in (version, ctypes.byref(version), ctypes.pointer(version)):
        version.value = 0
        assert function(handle, place) == 0
        assert version.value >= 130000
    with pytest.raises((TypeError, ctypes.ArgumentError)):
        function(handle, 1.5)
    with pytest.raises(AttributeError):
        _ = device.cublas.cublasSgemm


def test_bfloat16_is_rounded_to_the_nearest():
    values = np.float32([1, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-16, -3.14159, np.inf, np.nan])
    found = to_float32(from_float32(values, BFLOAT16), BFLOAT16)
    np.testing.assert_array_equal(found[:4], [1, 1, 1 + 2**-6, 1 + 2**-7])
    np.testing.assert_allclose(found[4], values[4], rtol=2**-8)
    assert found[5] == np.inf
    assert np.isnan(found[6])
