"""Reference kernels of ops that learn to tell faces apart."""
