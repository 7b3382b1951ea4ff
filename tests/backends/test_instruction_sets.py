"""The oneDNN backend on processors with fewer instructions than this one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minicaffe.backends.onednn.runtime.library import library
from minicaffe.errors import BackendUnavailable

ROOT = Path(__file__).parents[2]
# Bits of dnnl_cpu_isa_t (oneapi/dnnl/dnnl_types.h): a wider set has those of the narrower ones.
INSTRUCTION_SETS = {"SSE41": 0x1, "AVX2": 0x7, "AVX512_CORE": 0x27}
REDUCED_SUITE = ("tests/layers/test_every_layer.py", "tests/backends", "-k", "onednn")


@pytest.mark.slow
@pytest.mark.parametrize("name", INSTRUCTION_SETS)
def test_reduced_suite(name):
    """oneDNN reads the limit once, when it is loaded, so each suite runs in its own process."""
    try:
        here = library().c.dnnl_get_effective_cpu_isa()
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
    bits = INSTRUCTION_SETS[name]
    if here & bits != bits or here == bits:
        pytest.skip(f"{name} is not narrower than what this process uses")
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
    ignored = ["--ignore", "tests/backends/cuda", "--ignore", str(Path(__file__).relative_to(ROOT))]
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": name}
    result = subprocess.run(
        [*command, *REDUCED_SUITE, *ignored],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    assert result.returncode == 0, f"ONEDNN_MAX_CPU_ISA={name}\n{result.stdout[-5000:]}"
