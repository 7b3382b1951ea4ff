"""Kernels in C beside oneDNN: compiled at installation, once for each instruction set."""
