"""Layers of object detectors of the SSD family."""
