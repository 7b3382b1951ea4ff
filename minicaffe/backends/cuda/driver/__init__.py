"""Bindings to the device and its libraries: CuPy, cuBLAS, cuDNN, compilation of CUDA sources.

Only `cupy_device` and `cupy_transfers` import CuPy.
"""
