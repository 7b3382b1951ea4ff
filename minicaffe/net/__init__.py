"""Nets: from a prototxt to layers that run, one pass per file."""

from minicaffe.net.net import Net

__all__ = ["Net"]
