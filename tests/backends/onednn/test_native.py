"""The C kernels: compilation, choice by instruction set, and the backend without them."""

import ctypes
import subprocess
import sys

import numpy as np
import pytest

from minicaffe.backends.onednn.backend import OneDnnBackend
from minicaffe.backends.onednn.native import build as build_module
from minicaffe.backends.onednn.native.build import (
    FOLDER,
    INSTRUCTION_SETS,
    LIBRARY,
    CannotCompile,
    c_sources,
    compile_kernels,
    prototypes,
)
from minicaffe.backends.onednn.native.library import effective_instruction_set, native_library
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


def test_prototypes_of_exported_functions():
    source = """
    static void hidden(float *x) {}
    EXPORT void scale(float *restrict x, int64_t n, float factor, // EXPORT void comment(int a)
                      const int8_t *signs, double by, int is_last)
    {}
    """
    source = "\n".join(line.strip() for line in source.splitlines())
    assert list(prototypes(source)) == ["scale:pnfpdi"]


def test_types_that_ctypes_is_not_told_about_are_refused():
    with pytest.raises(CannotCompile, match="an argument of the type size_t"):
        list(prototypes("EXPORT void scale(float *x, size_t n) {}"))


def test_a_missing_compiler_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "/nowhere/cc")
    with pytest.raises(CannotCompile, match="no C compiler: /nowhere/cc: No such file"):
        compile_kernels(tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_compiler_is_shown(tmp_path, monkeypatch):
    fake = tmp_path / "cc"
    fake.write_text("#!/bin/sh\necho 'error: unknown flag' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("CC", str(fake))
    folder = tmp_path / "native"
    folder.mkdir()
    with pytest.raises(CannotCompile, match="failed for avx2: error: unknown flag"):
        compile_kernels(folder)


def test_other_systems_have_no_kernels(tmp_path, monkeypatch):
    monkeypatch.setattr(build_module.sys, "platform", "win32")
    with pytest.raises(CannotCompile, match="for Linux on x86-64"):
        compile_kernels(tmp_path)


def test_kernels_are_compiled_again_only_if_the_sources_change(native, tmp_path, monkeypatch):
    folder, sources = tmp_path / "native", tmp_path / "kernels"
    folder.mkdir()
    sources.mkdir()
    monkeypatch.setattr(build_module, "SOURCES", sources)
    (sources / "one.c").write_text('#include "native.h"\nEXPORT void one(int n) { (void)n; }\n')
    paths = compile_kernels(folder)
    first = [path.stat().st_mtime_ns for path in paths]
    assert [path.stat().st_mtime_ns for path in compile_kernels(folder)] == first
    (sources / "two.c").write_text('#include "native.h"\nEXPORT void two(int n) { (void)n; }\n')
    assert not {path.stat().st_mtime_ns for path in compile_kernels(folder)} & set(first)
    assert ctypes.CDLL(str(paths[0]))["two"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [build_module.DIGEST, *(path.name for path in paths)]
    )


def test_every_instruction_set_has_every_function(native):
    names = {line.split(":")[0] for path in c_sources() for line in prototypes(path.read_text())}
    assert "sgd_update" in names
    for instruction_set in INSTRUCTION_SETS:
        library = ctypes.CDLL(str(FOLDER / LIBRARY.format(instruction_set)))
        assert all(library[name] for name in names), instruction_set


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
        "from minicaffe.backends.onednn.native.library import native_library\n"
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


def test_arguments_are_checked(native):
    update = native.function("sgd_update")
    with pytest.raises(TypeError, match="at least 10 arguments"):
        update(0, 0)
    with pytest.raises(ctypes.ArgumentError):
        update(0, 0, 0, "many", 0.9, 0.1, 1.0, 0.0, 0, 0)


def test_without_kernels_the_log_says_so(native, monkeypatch):
    assert "C kernels" not in OneDnnBackend(threads=2).description
    without = backend_without_kernels(monkeypatch)
    assert without.description.endswith(", without C kernels (there was no compiler)")


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
