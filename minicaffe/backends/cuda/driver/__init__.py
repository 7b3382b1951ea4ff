"""Bindings to the device and its libraries: CuPy, cuBLAS, cuDNN, compilation of CUDA sources.

`cupy_device` and `cupy_transfers` alone import CuPy.
"""
