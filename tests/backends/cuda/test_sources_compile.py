"""Every kernel source compiles for every card that is supported; no GPU is needed for that."""

from __future__ import annotations

import ctypes
import importlib.metadata
import itertools
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from minicaffe.backends.cuda.driver.sources import FOLDER, source

# sm_75 has no instruction for pairs of bfloat16.
ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_100")
FILES = sorted(path.name.removesuffix(".cu") for path in FOLDER.iterdir() if path.suffix == ".cu")
# What cupy_device asks for, and CuPy adds by itself.
CUPYS = ("--std=c++17", "-ftz=true", "--device-as-default-execution-space")
VALUES = ("float", "bfloat16", "float16")


def variants(file: str) -> list[tuple[str, ...]]:
    """All combinations of the macros that the source lists as VARIANTS, and VALUE."""
    found = re.findall(r"^// VARIANTS (\w+): (.+)$", (FOLDER / f"{file}.cu").read_text(), re.M)
    axes = [[f"{name}={word}" for word in words.split()] for name, words in found]
    return list(itertools.product([f"VALUE={value}" for value in VALUES], *axes))


@pytest.fixture(scope="module")
def nvrtc():
    try:
        files = importlib.metadata.files("nvidia-cuda-nvrtc") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("nvidia-cuda-nvrtc is not installed: pip install nvidia-cuda-nvrtc")
    names = [file for file in files if re.search(r"libnvrtc\.so\.\d+$", str(file))]
    return ctypes.CDLL(str(names[0].locate()))


def compiled(nvrtc, text: str, options: list[str]) -> tuple[str, str]:
    """Compile; return PTX and the compiler's messages, empty if there is nothing to say."""
    program = ctypes.c_void_p()
    created = nvrtc.nvrtcCreateProgram(
        ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None
    )
    assert created == 0
    arguments = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    status = nvrtc.nvrtcCompileProgram(program, len(options), arguments)
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size))
    ptx = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetPTX(program, ptx)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return ptx.value.decode(), log.value.decode().strip() or ("failed" if status else "")


def compile_errors(nvrtc, text: str, options: list[str]) -> str:
    """Compile; return the compiler's messages."""
    return compiled(nvrtc, text, options)[1]


@pytest.mark.parametrize("file", FILES)
def test_source_compiles(file, nvrtc):
    # Every variant for one card, every card for one variant: the rest has nothing new.
    first, *others = variants(file)
    jobs = [(first, card) for card in ARCHITECTURES] + [(v, "sm_90") for v in others]

    def errors(job):
        defines, architecture = job
        options = [f"-arch={architecture}", *CUPYS, *(f"-D{d}" for d in defines)]
        return compile_errors(nvrtc, source(file), options)

    # The compiler runs outside of Python's lock.
    with ThreadPoolExecutor() as pool:
        for job, found in zip(jobs, pool.map(errors, jobs), strict=True):
            assert found == "", job


def test_a_wrong_source_is_an_error(nvrtc):
    assert "error" in compile_errors(nvrtc, source("_convert") + "nonsense;", ["-arch=sm_90"])


@pytest.mark.parametrize("value", VALUES)
def test_numbers_of_fixed_channels_are_read_in_wide_loads(nvrtc, value):
    """Batch normalisation reads a pack of x, and a pack of each of four numbers of its channels."""
    options = ["-arch=sm_90", *CUPYS, f"-DVALUE={value}", "-DFIXED_CHANNELS=1"]
    text, errors = compiled(nvrtc, source("batch_norm"), options)
    assert errors == ""
    kernel = text[text.index(".entry forward(") :].split("\n}\n")[0]
    loads = re.findall(r"ld\.global\S*", kernel)
    numbers = 4 * (1 if value == "float" else 2)
    # The compiler may have the load of x twice, with and without a copy of x.
    assert numbers < len(loads) <= numbers + 2
    assert all(".v4." in load for load in loads)
