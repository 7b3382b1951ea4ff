"""Reference kernels over regions of interest."""
