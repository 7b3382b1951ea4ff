"""Reference kernels of ops on sequences."""
