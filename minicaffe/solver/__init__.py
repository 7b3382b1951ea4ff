"""Solvers: the training loop, learning-rate policies, snapshots."""
