"""The emulator runs what is right and refuses what a GPU would silently do wrong."""

import ctypes
import itertools

import numpy as np
import pytest

from emulator import DeviceArray, DeviceFault
from emulator.cublas import BFLOAT16, FLOAT16, FLOAT32, from_float32, to_float32
from minicaffe.backends.cuda.device import Address
from minicaffe.errors import DeviceMemoryError

SOURCE = r"""
extern "C" __global__ void add(const float* __restrict__ x, const float* y, float* z, int n,
                               float factor) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        z[i] = x[i] + factor * y[i];
}

__device__ __forceinline__ float block_sum(float value) {
    __shared__ float parts[32];
    for (int distance = 16; distance > 0; distance /= 2)
        value += __shfl_down_sync(0xffffffffu, value, distance);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    value = threadIdx.x < blockDim.x / 32 ? parts[threadIdx.x] : 0.0f;
    if (threadIdx.x < 32)
        for (int bits = 16; bits > 0; bits /= 2) value += __shfl_xor_sync(0xffffffffu, value, bits);
    return value;
}
extern "C" __global__ void __launch_bounds__(256) total(const float* x, float* y, int n) {
    float sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[blockIdx.x * n + i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) y[blockIdx.x] = sum;
}

extern "C" __global__ void count(const float* x, int* n, int* largest, float* sum) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    atomicAdd(n, 1);
    atomicMax(largest, i);
    atomicAdd(sum, x[i]);
}

extern "C" __global__ void reverse(float* x) {
    extern __shared__ float all[];
    all[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = all[blockDim.x - 1 - threadIdx.x];
}

extern "C" __global__ void reverse_without_barrier(float* x) {
    extern __shared__ float all[];
    all[threadIdx.x] = x[threadIdx.x];
    x[threadIdx.x] = all[blockDim.x - 1 - threadIdx.x];
}

extern "C" __global__ void vote(int* y, int limit) {
    const unsigned votes = __ballot_sync(0xffffffffu, threadIdx.x < (unsigned)limit);
    y[threadIdx.x] = __popc(votes) + 100 * __shfl_sync(0xffffffffu, (int)threadIdx.x, 5)
                   + 10000 * __any_sync(0xffffffffu, threadIdx.x == 40)
                   + 20000 * __all_sync(0xffffffffu, limit > 0);
    __syncwarp();
}

extern "C" __global__ void place(int* y) {
    const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    y[block * blockDim.x * blockDim.y * blockDim.z + thread] = 1000 * block + thread;
}

extern "C" __global__ void write_at(float* x, int i) { x[i] = 1.0f; }
extern "C" __global__ void read_null(float* x) { x[0] = *(volatile float*)8; }
extern "C" __global__ void barrier_for_some(int threads) {
    if (threadIdx.x < (unsigned)threads) __syncthreads();
}
extern "C" __global__ void two_barriers(int threads) {
    if (threadIdx.x < (unsigned)threads) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}
extern "C" __global__ void warp_for_some(float* x) {
    if (threadIdx.x != 7) x[threadIdx.x] = __shfl_down_sync(0xffffffffu, 1.0f, 1);
}
extern "C" __global__ void log(float* x) { x[0] = ::logf(VALUE); }
"""
OPTIONS = ("-DVALUE=8.0f",)


class Values:
    """An array on the device, with its memory."""

    def __init__(self, device, values):
        self._device = device
        self._host = np.array(values)
        self.memory = device.allocate(self._host.nbytes)
        self.address = self.memory.address
        device.upload(self.address, self._host)

    def get(self):
        found = np.empty_like(self._host)
        self._device.download(self.address, found)
        return found


@pytest.fixture(params=[False, True], ids=["forwards", "backwards"])
def device(emulated_device, request):
    emulated_device.is_backwards = request.param
    return emulated_device


@pytest.fixture
def kernel(device):
    return lambda name: device.function(SOURCE, name, OPTIONS)


@pytest.fixture
def random():
    return np.random.default_rng(7)


def floats(device, random, *shape):
    return Values(device, random.standard_normal(shape, np.float32))


# Kernels.


@pytest.mark.parametrize("grid", [1, 3, 40])
def test_vectors_are_added(device, kernel, random, grid):
    x, y, z = (floats(device, random, 1001) for _ in range(3))
    kernel("add")(grid, 256, x.address, y.address, z.address, 1001, 2.5)
    np.testing.assert_allclose(z.get(), x.get() + 2.5 * y.get(), rtol=1e-6)


@pytest.mark.parametrize("threads", [32, 96, 256])
def test_blocks_reduce_with_barriers_and_shuffles(device, kernel, random, threads):
    x, y = floats(device, random, 7, 333), Values(device, np.zeros(7, np.float32))
    kernel("total")(7, threads, x.address, y.address, 333)
    np.testing.assert_allclose(y.get(), x.get().sum(1), rtol=1e-4, atol=1e-5)


def test_atomics_see_every_thread(device, kernel, random):
    x = floats(device, random, 96)
    n, largest = Values(device, np.int32([0])), Values(device, np.int32([-1]))
    total = Values(device, np.float32([0]))
    kernel("count")(3, 32, x.address, n.address, largest.address, total.address)
    assert (n.get()[0], largest.get()[0]) == (96, 95)
    np.testing.assert_allclose(total.get()[0], x.get().sum(), rtol=1e-4, atol=1e-5)


def test_dynamic_shared_memory_is_used_between_barriers(device, kernel, random):
    x = floats(device, random, 70)
    before = x.get()
    kernel("reverse")(1, 70, x.address, shared_bytes=280)
    np.testing.assert_array_equal(x.get(), before[::-1])


def test_a_missing_barrier_reads_garbage(device, kernel, random):
    x = floats(device, random, 70)
    kernel("reverse_without_barrier")(1, 70, x.address, shared_bytes=280)
    assert np.isnan(x.get()).any()


def test_dynamic_shared_memory_ends_where_it_was_asked_to(device, kernel, random):
    x = floats(device, random, 70)
    with pytest.raises(DeviceFault, match="reverse: wrote beyond 276 bytes of dynamic shared"):
        kernel("reverse")(1, 70, x.address, shared_bytes=276)


def test_warps_vote_and_broadcast(device, kernel):
    y = Values(device, np.zeros(64, np.int32))
    kernel("vote")(1, 64, y.address, 40)
    expected = np.repeat([32 + 100 * 5 + 20000, 8 + 100 * 37 + 10000 + 20000], 32)
    np.testing.assert_array_equal(y.get(), expected)


def test_grids_and_blocks_have_three_axes(device, kernel):
    y = Values(device, np.zeros(2 * 3 * 2 * 60, np.int32))
    kernel("place")((2, 3, 2), (5, 4, 3), y.address)
    blocks, threads = np.divmod(np.arange(720), 60)
    np.testing.assert_array_equal(y.get(), 1000 * blocks + threads)


def test_a_kernel_may_be_called_as_a_function_of_c_and_gets_options(device, kernel):
    x = Values(device, np.zeros(1, np.float32))
    kernel("log")(1, 1, x.address)
    np.testing.assert_allclose(x.get(), np.log(8), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "threads", "message"),
    [
        (
            "barrier_for_some",
            3,
            "thread 0 is at __syncthreads of line [0-9]+, thread 3 has returned",
        ),
        ("two_barriers", 40, "thread 0 is at __syncthreads of line [0-9]+, thread 40 is at __sync"),
    ],
)
def test_divergent_barriers_are_refused(device, kernel, name, threads, message):
    kernel(name)(2, 64, 64)
    with pytest.raises(DeviceFault, match=f"{name}: divergent barrier: {message}"):
        kernel(name)(2, 64, threads)
    kernel(name)(2, 64, 0)


def test_a_warp_function_without_a_lane_of_its_mask_is_refused(device, kernel, random):
    x = floats(device, random, 32)
    with pytest.raises(DeviceFault, match="with mask 0xffffffff, thread 7 has returned"):
        kernel("warp_for_some")(1, 32, x.address)


def test_a_crash_is_an_error(device, kernel, random):
    x = floats(device, random, 1)
    with pytest.raises(
        DeviceFault, match=r"read_null: Segmentation fault in thread 0 of block \(0"
    ):
        kernel("read_null")(1, 1, x.address)
    kernel("write_at")(1, 1, x.address, 0)
    assert x.get() == [1]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((Address(0), 0.0), r"argument 1 is 0.0 \(float\), not int"),
        ((Address(0), True), r"argument 1 is True \(bool\), not int"),
        ((0, 0), r"argument 0 is 0 \(int\), not Address"),
        ((Address(0), Address(0)), r"\(Address\), not int"),
        ((Address(0), np.int64(0)), r"\(int64\), not int"),
        ((Address(0),), "1 arguments for 2 parameters"),
        ((Address(0), 2**31), "too much for an int of 32 bits"),
    ],
)
def test_wrong_arguments_are_refused(kernel, args, message):
    with pytest.raises(DeviceFault, match=message):
        kernel("write_at")(1, 1, *args)


@pytest.mark.parametrize(
    ("grid", "block", "message"),
    [
        (0, 1, r"a grid of \(0, 1, 1\) blocks"),
        ((1, 70000), 1, r"a grid of \(1, 70000, 1\) blocks"),
        (1, 257, "a block of 257 threads; from 1 to 256"),
        (1, 0, "a block of 0 threads"),
    ],
)
def test_impossible_launches_are_refused(device, kernel, random, grid, block, message):
    x = floats(device, random, 4)
    with pytest.raises(DeviceFault, match=message):
        kernel("total")(grid, block, x.address, x.address, 1)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('extern "C" __global__ void f(long n) {}', "parameter 'long n'; kernels take pointers"),
        (
            'extern "C" __global__ void f(int n) { n = m; }',
            "g\\+\\+ refuses a kernel source:\nkernels.cu:",
        ),
    ],
)
def test_wrong_sources_are_refused(device, source, message):
    with pytest.raises(DeviceFault, match=message):
        device.function(source, "f")


# Memory.


def test_new_memory_holds_nan_in_every_type(device):
    memory = device.allocate(64)
    values = np.empty(16, np.float32)
    device.download(memory.address, values)
    assert np.isnan(values).all()
    assert np.isnan(values.view(np.float16)).all()
    assert memory.address % 256 == 0


@pytest.mark.parametrize(("i", "place"), [(10, "behind"), (-1, "before"), (60, "behind")])
def test_writing_out_of_bounds_is_found(device, kernel, random, i, place):
    x = floats(device, random, 10)
    kernel("write_at")(1, 1, x.address, 9)
    with pytest.raises(DeviceFault, match=f"write_at: written {place} the allocation of 40 bytes"):
        kernel("write_at")(1, 1, x.address, i)
    with pytest.raises(DeviceFault, match=f"written {place}"):
        device.check()
    ctypes.memmove(x.address + 4 * i, b"\xfd\xff\xfd\xff", 4)


def test_a_write_after_the_memory_was_given_back_is_found(device):
    memory = device.allocate(8)
    address = memory.address
    del memory
    device.check()
    ctypes.memset(address, 0, 1)
    with pytest.raises(DeviceFault, match=r"written to the allocation of 8 bytes at .* given back"):
        device.check()
    ctypes.memset(address, 0xFB, 1)


def test_pointers_must_lie_in_a_live_allocation(device, kernel):
    memory = device.allocate(8)
    address = memory.address
    kernel("write_at")(1, 1, address + 4, 0)
    with pytest.raises(DeviceFault, match="write_at: address 0x8 is in no allocation"):
        kernel("write_at")(1, 1, Address(8), 0)
    del memory
    with pytest.raises(DeviceFault, match=r"write_at: the allocation of 8 bytes .* was given back"):
        kernel("write_at")(1, 1, address, 0)


def test_copies_stay_inside(device, random):
    x, y = floats(device, random, 6), floats(device, random, 6)
    device.copy(x.address, y.address + 8, 16)
    device.clear(y.address, 8)
    np.testing.assert_array_equal(y.get(), [0, 0, *x.get()[:4]])
    for ask in (
        lambda: device.copy(x.address, y.address, 28),
        lambda: device.clear(x.address + 4, 24),
        lambda: device.upload(x.address, np.zeros(7, np.float32)),
        lambda: device.download(x.address, np.zeros(7, np.float32)),
    ):
        with pytest.raises(DeviceFault, match=r"from byte [04] of the allocation of 24 bytes"):
            ask()
    with pytest.raises(DeviceFault, match="onto themselves"):
        device.copy(x.address, x.address + 4, 16)


def test_memory_runs_out(device):
    device.heap.total_bytes = 1000
    memory = device.allocate(600)
    assert device.memory() == (400, 1000)
    with pytest.raises(DeviceMemoryError, match="401 bytes of device memory asked for; 400 are"):
        device.allocate(401)
    del memory
    assert device.memory() == (1000, 1000)


def test_a_later_download_shows_the_values_of_then(device, random):
    x = floats(device, random, 5)
    expected, found = x.get(), np.zeros(5, np.float32)
    wait = device.download_later(x.address, found)
    device.clear(x.address, 20)
    assert np.isnan(found).all()
    wait()
    np.testing.assert_array_equal(found, expected)
    assert device.counts["wait"] == 2


# Recording.


def test_a_recording_does_in_order_what_was_asked_for(device, kernel, random):
    x, y, z = (floats(device, random, 10) for _ in range(3))
    before = z.get()

    def work():
        device.clear(z.address, 40)
        kernel("add")(1, 32, x.address, z.address, z.address, 10, 1.0)
        device.copy(z.address, y.address, 40)
        kernel("write_at")(1, 1, y.address, 3)

    replay = device.record(work)
    np.testing.assert_array_equal(z.get(), before)
    assert device.launches == []
    for _ in range(2):
        device.upload(x.address, random.standard_normal(10, np.float32))
        replay()
        expected = x.get()
        np.testing.assert_array_equal(z.get(), expected)
        expected[3] = 1
        np.testing.assert_array_equal(y.get(), expected)
    assert [launch.name for launch in device.launches] == ["add", "write_at"] * 2
    assert device.launches[0].addresses == [x.address, z.address, z.address]
    assert (device.launches[1].grid, device.launches[1].args) == ((1, 1, 1), (y.address, 3))


def test_what_waits_is_refused_while_recording(device, random):
    x = floats(device, random, 4)
    array, host = device.array(x.memory, (4,)), np.zeros(4, np.float32)
    for what, ask in {
        "allocate": lambda: device.allocate(4),
        "upload": lambda: device.upload(x.address, host),
        "download": lambda: device.download(x.address, host),
        "download_later": lambda: device.download_later(x.address, host),
        "synchronize": device.synchronize,
        "record": lambda: device.record(lambda: None),
        "get": array.get,
        "add": lambda: array + 1,
    }.items():
        with pytest.raises(DeviceFault, match=f"{what} while recording"):
            device.record(ask)
        assert not device.is_recording


def test_a_recording_does_not_keep_memory(device, kernel):
    memory = device.allocate(4)
    address = memory.address
    replay = device.record(lambda: kernel("write_at")(1, 1, address, 0))
    replay()
    del memory
    with pytest.raises(DeviceFault, match="given back"):
        replay()


# Arrays.


@pytest.fixture
def array(device, random):
    x = floats(device, random, 3, 4)
    return device.array(x.memory, (3, 4))


def test_arrays_lie_in_device_memory_and_keep_it(device, random):
    x = floats(device, random, 3, 4)
    row = device.array(x.memory, (3, 4))[1]
    row += 1
    np.testing.assert_array_equal(x.get()[1], row.get())
    address = x.address
    del x
    device.clear(address, 48)
    assert not row.get().any()
    del row
    with pytest.raises(DeviceFault, match="given back"):
        device.clear(address, 48)


def test_arrays_compute_as_numpy_does(device, array):
    xp, host = device.xp, array.get()
    for found, expected in (
        (array.T @ array * 2 - 1, host.T @ host * 2 - 1),
        (xp.maximum(array, 0).sum(1, keepdims=True), np.maximum(host, 0).sum(1, keepdims=True)),
        (np.exp(array)[::2, 1:], np.exp(host)[::2, 1:]),
        (xp.where(array > 0, array, np.float32(3)), np.where(host > 0, host, 3)),
        (xp.concatenate([array, array], axis=1), np.concatenate([host, host], 1)),
        (xp.take_along_axis(array, array.argsort(axis=1), axis=1), np.sort(host)),
        (array.max(), host.max()),
        (np.sum(array), host.sum()),
    ):
        assert isinstance(found, DeviceArray)
        np.testing.assert_allclose(found.get(), expected, rtol=1e-5)


def test_an_element_is_a_view(array):
    first = array[0, 0]
    first[...] = 5
    assert float(array[0, 0]) == 5


def test_results_are_written_where_they_are_wanted(device, array):
    out = device.xp.empty(array.shape, np.float32)
    assert np.isnan(out.get()).all()
    assert device.xp.add(array, 1, out=out) is out
    device.xp.add.at(out, (device.xp.asarray([0, 0]), 1), 1)
    expected = array.get() + 1
    np.add.at(expected, ([0, 0], 1), 1)
    np.testing.assert_array_equal(out.get(), expected)


def test_host_and_device_do_not_mix(device, array):
    xp, host = device.xp, np.ones((3, 4), np.float32)
    for mix in (
        lambda: array + host,
        lambda: host + array,
        lambda: xp.maximum(array, host),
        lambda: np.maximum(host, array),
        lambda: array.dot(host.T),
        lambda: xp.concatenate([array, host]),
        lambda: array.__setitem__(0, host[0]),
        lambda: host.__setitem__(0, array[0]),
        lambda: xp.add(array, 1, out=host),
        lambda: np.asarray(array),
        lambda: np.array([array, array]),
        lambda: np.testing.assert_array_equal(array, host),
    ):
        with pytest.raises(TypeError):
            mix()


def test_memory_of_the_host_is_copied(device):
    host = np.zeros(3, np.float32)
    array = device.xp.asarray(host)
    array += 1
    assert not host.any()
    array.set(host)
    assert not array.get().any()


def test_the_host_waits_for_values(device, array):
    before = device.counts["wait"]
    for ask in (
        lambda: float(array[0, 0]),
        lambda: int(array[0, 0]),
        lambda: bool(array[0, 0]),
        lambda: array[0, 0].item(),
        lambda: device.xp.flatnonzero(array),
        lambda: array[array > 0],
        lambda: device.xp.asnumpy(array),
    ):
        ask()
        before += 1
        assert device.counts["wait"] == before


def test_what_cupy_lacks_is_missing(device, array):
    xp = device.xp
    for ask in (
        lambda: xp.errstate,
        lambda: xp.nditer,
        lambda: xp.exp.at,
        lambda: xp.maximum.reduce,
        lambda: array.newbyteorder,
    ):
        with pytest.raises(AttributeError):
            ask()
    with pytest.raises(TypeError, match="sum: CuPy's takes"):
        array.sum(where=True)
    with pytest.raises(TypeError, match="clip: CuPy's takes"):
        xp.clip(array, min=0, max=1)
    assert xp.get_array_module(array) is xp
    assert xp.get_array_module(array.get()) is np
    assert xp.float32 is np.float32


# cuBLAS.


@pytest.fixture
def handle(device):
    handle = ctypes.c_void_p()
    assert device.cublas.cublasCreate_v2(ctypes.byref(handle)) == 0
    assert device.cublas.cublasSetStream_v2(handle, device.stream) == 0
    return handle


def stored(values, kind):
    """Return column-major matrices (batch, rows, columns) as they lie in memory."""
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


def test_gemm_is_recorded_with_a_workspace_of_its_own(device, handle, random):
    x, y = floats(device, random, 2, 2), floats(device, random, 2, 2)
    before, workspace = y.get(), device.allocate(1024)
    with pytest.raises(DeviceFault, match="recorded without a workspace"):
        device.record(lambda: square(device, handle, x.address, y.address))
    assert device.cublas.cublasSetWorkspace_v2(handle, workspace.address, 1024) == 0
    replay = device.record(lambda: square(device, handle, x.address, y.address))
    np.testing.assert_array_equal(y.get(), before)
    replay()
    np.testing.assert_allclose(y.get().T, x.get().T @ x.get().T, rtol=1e-5)


def test_the_library_is_called_through_ctypes(device, handle):
    version = ctypes.c_int()
    function = device.cublas.cublasGetVersion_v2
    function.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)]
    assert function(handle, ctypes.byref(version)) == 0
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
