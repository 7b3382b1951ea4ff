"""Basic checks of streams, memory and graph capture on a GPU, each of about a second.

A check gets a cuda backend, uses it as training does, and raises an AssertionError for a wrong
result. It may return a note: what is missing without being wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from minicaffe.backends.cuda import CudaBackend
from minicaffe.backends.cuda.driver.cublas import Math, Matrix
from minicaffe.backends.cuda.driver.cudnn_legacy import Legacy
from minicaffe.backends.cuda.driver.device import CannotCapture
from minicaffe.backends.cuda.driver.plans import ConvolutionProblem, Direction
from minicaffe.backends.cuda.driver.tuning import PlanCache, Tuner
from minicaffe.backends.cuda.runtime.format import DTYPES, Format, ValueType
from minicaffe.errors import Unsupported
from minicaffe.ops.conv import Conv

ROUNDS = 200
SIZE = 1 << 20
BATCH = 8
# Stride, pad and dilation.
WINDOW = (2, 2), (1, 1), (1, 1)
DIRECTIONS: tuple[Direction, ...] = ("forward", "data", "weights")
PASSED = "passed"
TYPES: tuple[ValueType, ...] = ("float", "bfloat16", "float16")

ADD = """
extern "C" __global__ void add(const float* value, float* total, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        total[i] += value[0];
}
"""


def formats(backend: CudaBackend) -> None:
    """Compare values in all memory formats with the ones that were set."""
    for value in TYPES:
        tensor: Any = backend.tensor((4, 70, 33, 5))
        wanted = np.random.default_rng(0).integers(-128, 128, tensor.shape)
        tensor.set(wanted)
        tensor.change(Format(True, value))
        _same(tensor.get(), wanted)


def arrays_beside_kernels(backend: CudaBackend) -> None:
    """Alternate CuPy and kernels while memory is allocated and freed."""
    tensor: Any = backend.tensor((4, 64, SIZE // 256))
    add = backend.device.function(ADD, "add")
    one = backend.device.allocate(4)
    backend.device.upload(one.address, np.ones(1, np.float32))
    for _ in range(ROUNDS):
        tensor.update()[...] += 1
        add(64, 256, one.address, tensor.change(Format(True)), tensor.size)
        temporary = backend.device.allocate(tensor.size * 4)
        backend.device.clear(temporary.address, temporary.size_bytes)
        del temporary
    _same(tensor.get(), np.full(tensor.shape, 2 * ROUNDS))


def launch_parameters(backend: CudaBackend) -> None:
    """Launch a graph many times, with another number uploaded before each."""
    device, total = backend.device, backend.device.allocate(4 * SIZE)
    values, slot = backend.session.launch_parameters, backend.session.launch_parameters.slot(1)
    add = device.function(ADD, "add")
    device.clear(total.address, total.size_bytes)
    at = slot.address
    replay = device.capture(lambda: add(64, 256, at, total.address, SIZE))
    for i in range(ROUNDS):
        values.upload([(slot, partial(np.full, 1, i, np.float32))])
        replay()
    found = np.empty(SIZE, np.float32)
    device.download(total.address, found)
    _same(found, np.full(SIZE, sum(range(ROUNDS))))


def products(backend: CudaBackend) -> None:
    """Capture matrix products of cuBLAS."""
    device, n = backend.device, 64
    factor = np.random.default_rng(0).integers(-3, 4, (n, n)).astype(np.float32)
    a, c = device.allocate(factor.nbytes), device.allocate(factor.nbytes)
    device.upload(a.address, factor)
    device.clear(c.address, c.size_bytes)
    x, y = Matrix(a.address, n, n), Matrix(c.address, n, n)
    backend.gemm(x, x, y)
    replay = device.capture(lambda: backend.gemm(x, x, y, beta=1.0))
    replay()
    replay()
    found = np.empty((n, n), np.float32)
    device.download(c.address, found)
    _same(found, 3 * factor @ factor)


def precisions(backend: CudaBackend) -> None:
    """Compare the errors of products and convolutions with the precision of float32 and TF32."""
    device = backend.device
    # TF32 rounds the mantissa to 10 bits, an error of 2**-10; float32 sums are far more accurate.
    bounds: dict[Math, float] = {"fp32": 2.0**-18, "tf32": 2.0**-9}
    for name, most in bounds.items():
        errors = {"product": _product_error(device, name)}
        for dnn in device.dnns:
            errors[dnn.version] = _convolution_error(device, dnn, name)
        wrong = {what: error for what, error in errors.items() if not error <= most}
        if wrong:
            raise AssertionError(f"in {name} errors are up to {wrong}, more than {most:.1g}")


def _product_error(device: Any, math: Math) -> float:
    n = 256
    values = np.random.default_rng(0).uniform(1, 2, (n, n)).astype(np.float32)
    a, c = device.allocate(values.nbytes), device.allocate(values.nbytes)
    device.upload(a.address, values)
    x, y = Matrix(a.address, n, n), Matrix(c.address, n, n)
    CudaBackend(device, math).gemm(x, x, y)
    found = np.empty((n, n), np.float32)
    device.download(c.address, found)
    return _largest_error(found, values.astype(float) @ values)


def _convolution_error(device: Any, dnn: Any, math: Math) -> float:
    """Return the error of a convolution with windows of one pixel, which is a matrix product."""
    rng = np.random.default_rng(0)
    x, w = rng.uniform(1, 2, (BATCH, 64, 8, 8)), rng.uniform(1, 2, (32, 64, 1, 1))
    x, w = x.astype(np.float32), w.astype(np.float32)
    backend = CudaBackend(device, math)
    backend.tuner = Tuner((dnn,), device.name, PlanCache(None))
    tensors: list[Any] = [backend.tensor(shape) for shape in (x.shape, w.shape, (BATCH, 32, 8, 8))]
    for tensor, values in zip(tensors, (x, w), strict=False):
        tensor.set(values)
    op = Conv((1, 1), (1, 1), (0, 0), (1, 1), 1, False)
    backend.plan(op, *tensors).forward(*tensors[:2], None, tensors[2])
    return _largest_error(
        tensors[2].get(), np.einsum("nchw,kc->nkhw", x.astype(float), w[:, :, 0, 0])
    )


def _largest_error(found: Any, wanted: Any) -> float:
    return float((np.abs(found - wanted) / np.abs(wanted)).max())


def failed_captures(backend: CudaBackend) -> None:
    """Use the stream after a capture that fails."""
    try:
        backend.device.capture(backend.device.synchronize)
    except CannotCapture:
        formats(backend)
        return
    raise AssertionError("the host waited for the stream during capture")


def staging_buffers(backend: CudaBackend) -> None:
    """Upload while kernels read."""
    device, total = backend.device, backend.device.allocate(4 * SIZE)
    buffers = [device.staging(4 * SIZE) for _ in range(3)]
    add = device.function(ADD, "add")
    device.clear(total.address, total.size_bytes)
    for i in range(ROUNDS):
        buffer = buffers[i % len(buffers)]
        buffer.wait()
        buffer.host.view(np.float32)[:] = i
        buffer.upload()
        buffer.acquire()
        add(64, 256, buffer.address, total.address, SIZE)
        buffer.release()
    found = np.empty(SIZE, np.float32)
    device.download(total.address, found)
    _same(found, np.full(SIZE, sum(range(ROUNDS))))


def uploads_during_capture(backend: CudaBackend) -> None:
    """Upload from another thread during graph capture, as in training."""
    device, total = backend.device, backend.device.allocate(4 * SIZE)
    buffer, add = device.staging(4 * SIZE), device.function(ADD, "add")
    one = device.allocate(4)
    device.upload(one.address, np.ones(1, np.float32))
    is_over, failures = threading.Event(), list[Exception]()

    def upload() -> None:
        try:
            while not is_over.is_set():
                buffer.wait()
                buffer.host[:] = 0
                buffer.upload()
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=upload)
    thread.start()
    try:
        device.clear(total.address, total.size_bytes)
        for _ in range(ROUNDS):
            device.capture(lambda: add(64, 256, one.address, total.address, SIZE))()
    finally:
        is_over.set()
        thread.join()
    found = np.empty(SIZE, np.float32)
    device.download(total.address, found)
    _same(found, np.full(SIZE, ROUNDS))
    if failures:
        raise failures[0]


def plans(backend: CudaBackend) -> str:
    """Compare each library's convolutions, run and captured, with NumPy's.

    The legacy API may have no deterministic plan with the channels last, as the kernels ask for: a
    note, because the graph API has one.
    """
    notes = []
    for dnn in backend.device.dnns:
        for value in TYPES:
            missing = _convolve(backend.device, (dnn,), value)
            if missing and not isinstance(dnn, Legacy):
                raise AssertionError(missing)
            notes += [missing] if missing else []
    for value in TYPES:
        _convolve(backend.device, (), value)
    return "; ".join(notes)


def _convolve(device: Any, dnns: Any, value: ValueType) -> str:
    """Check a convolution and its gradients; return why there is no plan for one of them."""
    precision = {"float": "fp32", "bfloat16": "bf16", "float16": "fp16"}[value]
    backend = CudaBackend(device, precision)
    backend.tuner = Tuner(dnns, device.name, PlanCache(None), device)
    shapes = (BATCH, 32, 14, 14), (48, 32, 3, 3), (48,), (BATCH, 48, 7, 7)
    tensors: list[Any] = [backend.tensor(shape) for shape in (*shapes, *shapes)]
    x, w, b, y, dx, dw, db, dy = tensors
    rng = np.random.default_rng(0)
    for tensor in (x, w, b, dy):
        tensor.set(rng.integers(-2, 3, tensor.shape))
    kernel = backend.plan(Conv((3, 3), *WINDOW, 1, True), x, w, y)
    problem = ConvolutionProblem("forward", x.shape, w.shape, y.shape, *WINDOW)
    missing = _missing_plan(backend, problem) if dnns else ""

    def work() -> None:
        dw.clear()
        db.clear()
        kernel.forward(x, w, b, y)
        kernel.backward_data(dy, w, dx)
        kernel.backward_weights(x, dy, dw, db)

    repeated = backend.compile([work])
    work()
    wanted = [tensor.get() for tensor in (y, dx, dw, db)]
    _check_forward(x.get(), w.get(), b.get(), wanted[0])
    for _ in range(4):
        repeated()
    for tensor, values in zip((y, dx, dw, db), wanted, strict=True):
        _same(tensor.get(), values)
    return missing


def _missing_plan(backend: CudaBackend, what: ConvolutionProblem) -> str:
    """Return why a library has no plan, for which the kernel falls back to im2col, or ""."""
    form = backend.format
    own = replace(
        what,
        channels_last=form.channels_last,
        dtype=DTYPES[form.value],
        math=backend.math,
    )
    for direction in DIRECTIONS:
        try:
            backend.tuner.plan(replace(own, direction=direction))
        except Unsupported as reason:
            return str(reason)
    return ""


def _check_forward(x: Any, w: Any, b: Any, y: Any) -> None:
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))[:, :, ::2, ::2]
    wanted = np.einsum("nchwij,kcij->nkhw", windows, w) + b[:, None, None]
    # Integers up to 256 are exact in all types; larger ones are rounded, in sum and bias.
    if np.abs(y - wanted).max() > np.abs(wanted).max() / 128:
        raise AssertionError(f"a convolution is {np.abs(y - wanted).max():g} off")


def _same(found: Any, wanted: Any) -> None:
    differ = np.count_nonzero(found != wanted)
    if differ:
        raise AssertionError(f"{differ} of {np.size(wanted)} values differ")


CHECKS: dict[str, Callable[[CudaBackend], str | None]] = {
    check.__name__: check
    for check in (
        formats,
        arrays_beside_kernels,
        products,
        precisions,
        launch_parameters,
        failed_captures,
        staging_buffers,
        uploads_during_capture,
        plans,
    )
}


def run(backend: CudaBackend) -> dict[str, str]:
    """Run all checks, independently of each other; return the result of each.

    That is `PASSED`, alone or followed by a note, or the error.
    """
    found = {}
    for name, check in CHECKS.items():
        try:
            note = check(backend)
            found[name] = f"{PASSED}, but {note}" if note else PASSED
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found
