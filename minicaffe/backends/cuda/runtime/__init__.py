"""Runtime of the cuda backend: tensors, memory formats, session, CUDA graph capture."""
