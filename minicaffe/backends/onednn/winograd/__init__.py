"""Winograd convolution, F(4x4, 3x3), forward and both gradients, by kernels in C."""
