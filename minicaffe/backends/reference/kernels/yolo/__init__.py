"""Reference kernels of YOLO. Matching and suppression run on the host, in NumPy."""
