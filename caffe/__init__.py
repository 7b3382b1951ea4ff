"""Caffe's Python API, provided by minicaffe.

Every name and submodule here is one of `minicaffe.pycaffe`: the same objects, so that replacing a
function in one replaces it in the other.
"""

import sys

import minicaffe.pycaffe
from minicaffe.pycaffe import *  # noqa: F403 - all of it is the point
from minicaffe.pycaffe import __version__, proto
from minicaffe.schema import minicaffe_pb2

pycaffe = _caffe = minicaffe.pycaffe

# `import caffe.io` and the like look here first.
sys.modules.update(
    {
        "caffe._caffe": _caffe,
        "caffe.proto": proto,
        "caffe.proto.caffe_pb2": minicaffe_pb2,
        "caffe.pycaffe": pycaffe,
    }
)

__all__ = [*minicaffe.pycaffe.__all__, "__version__", "proto", "pycaffe"]
