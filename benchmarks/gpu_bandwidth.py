"""Measure the memory bandwidth of batch normalisation on a GPU, beside that of a copy.

    python -m benchmarks.gpu_bandwidth

Each kernel runs in its two variants: with the numbers of a channel in registers (fixed) and with a
read for each value (varying). The blobs are those of ResNet-50 with a batch of 128.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from minicaffe.backends import get_backend
from minicaffe.backends.cuda.driver.device import THREADS, Device, blocks
from minicaffe.backends.cuda.driver.sources import Kernels
from minicaffe.backends.cuda.kernels._channel_packs import ChannelGrid
from minicaffe.backends.cuda.kernels._channel_sums import Channels
from minicaffe.backends.cuda.runtime.format import SIZE_BYTES, ValueType
from minicaffe.errors import BackendUnavailable

# Values of a channel, and channels.
BLOBS = ((128 * 56 * 56, 256), (128 * 14 * 14, 1024), (128 * 112 * 112, 64))
TYPES: tuple[ValueType, ...] = ("float", "bfloat16")
# The first run loads code and is not counted.
RUNS = 6


class Bandwidth(NamedTuple):
    """The bandwidth of a kernel."""

    value: ValueType
    n_channels: int
    name: str
    ms: float
    gigabytes_per_s: float

    def __str__(self) -> str:
        figures = f"{self.ms:8.3f} ms {self.gigabytes_per_s:7.0f} GB/s"
        return f"{self.value:9s} {self.n_channels:5d} channels  {self.name:18s}{figures}"


def measure(device: Device, rows: int, n_channels: int, value: ValueType) -> Iterator[Bandwidth]:
    """Yield the bandwidth of a copy, and of forward and backward passes in both variants."""
    channels = Channels(rows, n_channels, 1)
    size_bytes = channels.size * SIZE_BYTES[value]
    # Zeros, because the time does not depend on the values.
    x, y, z = (_zeros(device, size_bytes) for _ in range(3))
    numbers = [_zeros(device, 4 * n_channels) for _ in range(4)]
    means = _zeros(device, 8 * n_channels)
    own = [memory.address for memory in numbers]

    def result(name: str, n_passes: int, work: Any) -> Bandwidth:
        ms = min([device.milliseconds(work) for _ in range(RUNS)][1:])
        return Bandwidth(value, n_channels, name, ms, n_passes * size_bytes / ms / 1e6)

    yield result("copy", 2, partial(device.copy, x.address, y.address, size_bytes))
    kernels = Kernels(device)
    grid = ChannelGrid.of(channels, value, device.multiprocessors)
    tail = (channels.size, *channels.channel_args())
    for is_fixed in (True, False) if grid.is_fixed else (False,):
        n_blocks = grid.n_blocks if is_fixed else blocks(size_bytes // 16)
        defines = f"VALUE={value}", f"FIXED_CHANNELS={int(is_fixed)}"
        variant = "fixed" if is_fixed else "varying"
        forward = kernels("batch_norm", "forward", *defines)
        given = (x.address, y.address, z.address, *own, 1)
        yield result(f"forward {variant}", 3, partial(forward, n_blocks, THREADS, *given, *tail))
        backward = kernels("batch_norm", "backward", *defines)
        given = (*given, means.address)
        yield result(f"backward {variant}", 3, partial(backward, n_blocks, THREADS, *given, *tail))


def _zeros(device: Device, size_bytes: int) -> Any:
    memory = device.allocate(size_bytes)
    device.clear(memory.address, size_bytes)
    return memory


def main() -> int:
    """Print the bandwidths."""
    try:
        backend: Any = get_backend("cuda")
    except BackendUnavailable as error:
        print(error)
        return 1
    print(backend.description)
    for rows, n_channels in BLOBS:
        for value in TYPES:
            for line in measure(backend.device, rows, n_channels, value):
                print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
