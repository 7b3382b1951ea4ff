"""Kernels run as on a GPU, and what a GPU would silently do wrong is refused."""

import numpy as np
import pytest

from emulator import DeviceFault
from emulator.values import Values, floats
from minicaffe.backends.cuda.driver.device import Address


@pytest.mark.parametrize("grid", [1, 3, 40])
def test_vectors_are_added(device, kernel, random, grid):
    x, y, z = (floats(device, random, 1001) for _ in range(3))
    kernel("add")(grid, 256, x.address, y.address, z.address, 1001, 2.5)
    np.testing.assert_allclose(z.get(), x.get() + 2.5 * y.get(), rtol=1e-6)


def test_in_place_only_where_no_pointer_says_otherwise(device, kernel, random):
    x, y = (floats(device, random, 1001) for _ in range(2))
    wanted = x.get() + 2 * y.get()
    with pytest.raises(DeviceFault, match="add: arguments 0 and 2 are one address in spite of"):
        kernel("add")(4, 256, x.address, y.address, x.address, 1001, 2.0)
    kernel("add")(4, 256, x.address, y.address, y.address, 1001, 2.0)
    np.testing.assert_allclose(y.get(), wanted, rtol=1e-6)


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


def test_a_warp_function_without_a_thread_of_its_mask_is_refused(device, kernel, random):
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
