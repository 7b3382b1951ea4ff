"""Reference kernels of ops on optical flow."""
