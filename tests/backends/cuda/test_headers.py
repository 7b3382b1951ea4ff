"""Our ctypes declarations against the headers of the installed libraries, argument by argument."""

from __future__ import annotations

import ctypes

import pytest

from backends.cuda.headers import codes, enumerator, wheel_files
from minicaffe.backends.cuda.driver import cublas, cudnn_legacy

LETTERS = {
    ctypes.c_void_p: "p",
    ctypes.POINTER(ctypes.c_void_p): "p",
    ctypes.POINTER(ctypes.c_float): "p",
    ctypes.c_int: "i",
    ctypes.c_size_t: "z",
    ctypes.c_longlong: "l",
}


CUBLAS_WHEELS = ("nvidia-cublas", "nvidia-cublas-cu12")
CUDNN_WHEELS = ("nvidia-cudnn-cu13", "nvidia-cudnn-cu12")


@pytest.fixture
def cudnn_headers():
    return [
        path
        for part in ("graph", "ops", "cnn")
        for path in wheel_files(CUDNN_WHEELS, f"cudnn_{part}.h")
    ]


@pytest.mark.parametrize("name", cublas.PROTOTYPES)
def test_cublas(name):
    paths = wheel_files(CUBLAS_WHEELS, "cublas_api.h")
    assert "".join(LETTERS[kind] for kind in cublas.PROTOTYPES[name]) == codes(paths, name)


@pytest.mark.parametrize("name", cudnn_legacy.PROTOTYPES)
def test_cudnn(name, cudnn_headers):
    assert cudnn_legacy.PROTOTYPES[name] == codes(cudnn_headers, name)


def test_numbers_of_cublas():
    paths = wheel_files(CUBLAS_WHEELS, "cublas_api.h")
    ours = {
        "CUBLAS_OP_N": cublas.PLAIN,
        "CUBLAS_OP_T": cublas.TRANSPOSED,
        "CUBLAS_COMPUTE_32F": cublas.COMPUTE["fp32"],
        "CUBLAS_COMPUTE_32F_FAST_TF32": cublas.COMPUTE["tf32"],
        "CUBLAS_GEMM_DEFAULT": cublas.DEFAULT_ALGORITHM,
        "CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION": cublas.FLOAT_SUMS,
        **{f"CUBLAS_STATUS_{status.name}": status.value for status in cublas.CublasStatus},
    }
    assert ours == {name: enumerator(paths, name) for name in ours}


def test_numbers_of_types():
    paths = wheel_files(("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu12"), "library_types.h")
    names = {"float32": "CUDA_R_32F", "float16": "CUDA_R_16F", "bfloat16": "CUDA_R_16BF"}
    assert {dtype: enumerator(paths, name) for dtype, name in names.items()} == cublas.TYPES


def test_numbers_of_cudnn(cudnn_headers):
    legacy = cudnn_legacy
    ours = {
        "CUDNN_DATA_FLOAT": legacy.TYPES["float32"],
        "CUDNN_DATA_HALF": legacy.TYPES["float16"],
        "CUDNN_DATA_BFLOAT16": legacy.TYPES["bfloat16"],
        "CUDNN_DEFAULT_MATH": legacy.DEFAULT_MATH,
        "CUDNN_TENSOR_OP_MATH": legacy.TENSOR_OP_MATH,
        "CUDNN_FMA_MATH": legacy.FMA_MATH,
        "CUDNN_CROSS_CORRELATION": legacy.CROSS_CORRELATION,
        "CUDNN_ACTIVATION_RELU": legacy.RELU,
        "CUDNN_PROPAGATE_NAN": legacy.PROPAGATE_NAN,
        "CUDNN_DETERMINISTIC": legacy.DETERMINISTIC,
        "CUDNN_TENSOR_NCHW": int(False),
        "CUDNN_TENSOR_NHWC": int(True),
        "CUDNN_CONVOLUTION_FWD_ALGO_COUNT": legacy.N_ALGORITHMS,
    }
    assert ours == {name: enumerator(cudnn_headers, name) for name in ours}
