"""Measurements of speed and memory, with peers where there are any: `python -m benchmarks`."""
