"""Averages of the parameters over the iterations, for tests and snapshots."""
