"""Data-parallel training: processes that compute parts of each batch, and sum their gradients."""
