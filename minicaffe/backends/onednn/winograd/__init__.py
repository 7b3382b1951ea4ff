"""Winograd convolution, F(4x4, 3x3), forward and both gradients, on worker threads."""
