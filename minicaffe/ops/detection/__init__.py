"""Ops of object detectors of the SSD family."""
