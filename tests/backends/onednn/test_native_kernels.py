"""The C kernels: their choice by instruction set, and the backend without them."""

import subprocess
import sys

import numpy as np
import pytest

from minicaffe.backends.onednn.backend import OneDnnBackend
from minicaffe.backends.onednn.runtime import native as native_module
from minicaffe.backends.onednn.runtime.native import (
    effective_instruction_set,
    native_library,
    native_remark,
)
from minicaffe.ops.update import StepSize, Update, UpdateOperands

# Of oneapi/dnnl/dnnl_types.h.
SSE41, AVX, AVX2, AVX2_VNNI, AVX512, AVX512_VNNI, AVX512_BF16 = 1, 3, 7, 0xF, 0x27, 0x67, 0xE7


@pytest.fixture(scope="module")
def native():
    found = native_library()
    if found is None:
        pytest.skip("no C compiler, or no AVX2")
    return found


def backend_without_kernels(monkeypatch):
    monkeypatch.setattr("minicaffe.backends.onednn.backend.native_library", lambda: None)
    return OneDnnBackend(threads=2)


@pytest.mark.parametrize(
    ("bits", "name"),
    [
        *((SSE41, ""), (AVX, ""), (AVX2, "avx2"), (AVX2_VNNI, "avx2")),
        *((AVX512, "avx512"), (AVX512_VNNI, "avx512"), (AVX512_BF16, "avx512_bf16")),
    ],
)
def test_the_widest_instruction_set_is_used(bits, name):
    assert effective_instruction_set(bits) == name


def test_onednn_max_cpu_isa_narrows_the_kernels(native):
    program = (
        "from minicaffe.backends.onednn.runtime.native import native_library\n"
        "print(native_library().instruction_set, native_library().lanes)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={"ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == ["avx2", "8"]


def test_without_kernels_the_log_says_so(native, monkeypatch):
    assert native_remark() == ""
    assert "C kernels" not in OneDnnBackend(threads=2).description
    monkeypatch.setattr(native_module, "load_native", lambda name: None)
    monkeypatch.setattr(native_module, "native_library", native_library.__wrapped__)
    assert "without C kernels: for more speed install a C compiler" in native_remark()
    monkeypatch.setattr(native_module, "effective_instruction_set", lambda isa: "")
    assert native_remark() == ", without C kernels, which need AVX2"


@pytest.mark.parametrize("regularization", ["L1", "L2"])
def test_update_with_and_without_kernels(native, monkeypatch, regularization):
    rng = np.random.default_rng(7)
    values = rng.standard_normal((3, 700_001)).astype(np.float32)
    values[0, :3] = 0

    def updated(backend):
        w, dw, history = tensors = [backend.tensor(values[0].shape) for _ in values]
        for tensor, array in zip(tensors, values, strict=True):
            tensor.set(array)
        flag = backend.tensor(())
        kernel = backend.plan(Update("sgd", momentum=0.9, regularization=regularization), *tensors)
        size = StepSize(0.01, 0.0005, 0.5)
        kernel.step([UpdateOperands(w, dw, [history])], lambda: size, flag)
        assert flag.read() == 0
        return [tensor.get() for tensor in tensors]

    expected = updated(backend_without_kernels(monkeypatch))
    monkeypatch.undo()
    for result, other in zip(updated(OneDnnBackend(threads=2)), expected, strict=True):
        np.testing.assert_allclose(result, other, rtol=2e-6, atol=1e-6)
