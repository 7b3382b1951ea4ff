"""Caffe's world without Caffe: prototxt-driven training and inference from pip.

The Python API that Caffe users know is ``import caffe`` (see `minicaffe.pycaffe`); the commands
are ``minicaffe train | test | time | ...`` (see `minicaffe.cli`).
"""

from minicaffe.errors import MinicaffeError

__version__ = "0.1.0"
__all__ = ["MinicaffeError", "__version__"]
