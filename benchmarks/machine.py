"""The machine: its processor and instruction set, throughput of sgemm, bandwidth of memory."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minicaffe.backends.onednn.runtime.memory import Buffer

GEMM_SIZES = (1024, 1536, 2048, 3072)
# 128 MiB of float32, more than a cache holds.
STREAM_VALUES = 1 << 25
STREAM_CHUNK = 1 << 17


# Bits of dnnl_cpu_isa_t; each set contains those before it.
INSTRUCTION_SETS = (
    (0x80, "AVX-512 with bfloat16"),
    (0x20, "AVX-512"),
    (0x04, "AVX2"),
)


def processor() -> str:
    """Return the processor's name as the operating system reports it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def instruction_set(engine: Any) -> str:
    """Return the instruction set in force: that of the CPU, or a narrower ONEDNN_MAX_CPU_ISA."""
    isa = engine.lib.c.dnnl_get_effective_cpu_isa()
    return next((name for bit, name in INSTRUCTION_SETS if isa & bit), "less than AVX2")


def best_seconds(run: Callable[[], object], at_least_s: float, fewest: int = 3) -> float:
    """Return the minimum time of several runs that together take `at_least_s` seconds or more."""
    times: list[float] = []
    while len(times) < fewest or sum(times) < at_least_s:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_flops(backend: Any, seconds: float) -> float:
    """Return the FLOP/s of the fastest square sgemm."""
    engine, best = backend.engine, 0.0
    sgemm = engine.lib.c.dnnl_sgemm
    for n in GEMM_SIZES:
        a, b, c = (Buffer(4 * n * n, engine.handle) for _ in range(3))
        for buffer in (a, b):
            buffer.values[:] = 1
        given = (b"N", b"N", n, n, n, 1.0, a.address, n, b.address, n, 0.0, c.address, n)
        took = best_seconds(lambda given=given: sgemm(*given), seconds / len(GEMM_SIZES))  # type: ignore[misc]
        best = max(best, 2 * n**3 / took)
    return best


def bandwidth(backend: Any, seconds: float) -> float:
    """Return the bytes per second that c = a + b reads and writes on all threads."""
    a, b, c = (np.ones(STREAM_VALUES, np.float32) for _ in range(3))

    def run(thread: int) -> None:
        for start in range(thread * STREAM_CHUNK, a.size, backend.threads * STREAM_CHUNK):
            part = slice(start, start + STREAM_CHUNK)
            np.add(a[part], b[part], out=c[part])

    took = best_seconds(lambda: backend.spread(run, a.size // STREAM_CHUNK), seconds)
    return 3 * a.nbytes / took
