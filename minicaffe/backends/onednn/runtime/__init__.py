"""Binding to the oneDNN library, memory layouts, primitives, tensors and threads."""
