"""Reference kernels of MS-CNN. Sampling and suppression run on the host, in NumPy."""
