"""Tensors, shared state and CUDA graph capture: what the kernels of the cuda backend run on."""
