"""Winograd convolution, F(4x4, 3x3) and F(2x2, 5x5), forward and gradients, by kernels in C."""
