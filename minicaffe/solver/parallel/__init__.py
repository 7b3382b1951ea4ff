"""Data-parallel training: gradients of several processes, summed while the backward pass runs."""
