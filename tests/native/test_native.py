"""Functions in C: compilation, and arguments."""

import ctypes

import pytest

from minicaffe.native import build as build_module
from minicaffe.native import library as library_module
from minicaffe.native.build import (
    FOLDER,
    INSTRUCTION_SETS,
    LIBRARY,
    CannotCompile,
    c_sources,
    compile_sources,
    prototypes,
)
from minicaffe.native.library import load_native, narrow_library


@pytest.fixture(scope="module")
def native():
    found = narrow_library()
    if found is None:
        pytest.skip("no C compiler, or no AVX2")
    return found


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
        compile_sources(tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_compiler_is_shown(tmp_path, monkeypatch):
    fake = tmp_path / "cc"
    fake.write_text("#!/bin/sh\necho 'error: unknown flag' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("CC", str(fake))
    folder = tmp_path / "native"
    folder.mkdir()
    with pytest.raises(CannotCompile, match="failed for avx2: error: unknown flag"):
        compile_sources(folder)


def test_other_systems_have_no_kernels(tmp_path, monkeypatch):
    monkeypatch.setattr(build_module.sys, "platform", "win32")
    with pytest.raises(CannotCompile, match="for Linux on x86-64"):
        compile_sources(tmp_path)


def test_kernels_are_compiled_again_only_if_the_sources_change(native, tmp_path, monkeypatch):
    folder, sources = tmp_path / "native", tmp_path / "kernels"
    folder.mkdir()
    sources.mkdir()
    monkeypatch.setattr(build_module, "SOURCES", sources)
    (sources / "one.c").write_text('#include "native.h"\nEXPORT void one(int n) { (void)n; }\n')
    paths = compile_sources(folder)
    first = [path.stat().st_mtime_ns for path in paths]
    assert [path.stat().st_mtime_ns for path in compile_sources(folder)] == first
    (sources / "two.c").write_text('#include "native.h"\nEXPORT void two(int n) { (void)n; }\n')
    assert not {path.stat().st_mtime_ns for path in compile_sources(folder)} & set(first)
    assert ctypes.CDLL(str(paths[0]))["two"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [build_module.DIGEST, *(path.name for path in paths)]
    )


def test_every_instruction_set_has_every_function(native):
    names = {line.split(":")[0] for path in c_sources() for line in prototypes(path.read_text())}
    assert "update_parameters" in names
    for instruction_set in INSTRUCTION_SETS:
        library = ctypes.CDLL(str(FOLDER / LIBRARY.format(instruction_set)))
        assert all(library[name] for name in names), instruction_set


def test_arguments_are_checked(native):
    update = native.lookup("update_parameters")
    with pytest.raises(TypeError, match="at least 11 arguments"):
        update(0, 0)
    with pytest.raises(ctypes.ArgumentError):
        update(0, 0, 0, 0, "many", 1.0, 0.9, 0.0, 0.0, 0, 1)


def test_a_processor_without_avx2_has_no_functions(tmp_path, monkeypatch):
    info = tmp_path / "cpuinfo"
    info.write_text("processor : 0\nflags : fpu sse4_1 avx fma\nbugs : none\n")
    monkeypatch.setattr(library_module, "CPUINFO", info)
    assert narrow_library.__wrapped__() is None


def test_functions_that_were_not_compiled_are_none():
    assert load_native("") is None
