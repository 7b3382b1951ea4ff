"""Caffe reimplemented in Python: training and inference of nets defined by prototxt files.

``import caffe`` provides Caffe's Python API (see `minicaffe.pycaffe`); the commands are
``minicaffe train | test | time | ...`` (see `minicaffe.cli`).
"""

from minicaffe.errors import MinicaffeError

__version__ = "0.1.0"
__all__ = ["MinicaffeError", "__version__"]
