"""Caffe's Python API, provided by minicaffe.

Its names and submodules are the objects of `minicaffe.pycaffe`, so replacing a function in one
module replaces it in the other.
"""

import sys

import minicaffe.pycaffe
from minicaffe.net import spec as net_spec
from minicaffe.pycaffe import *  # noqa: F403 - re-exports the whole API
from minicaffe.pycaffe import (
    __version__,
    classifier,
    coord_map,
    detector,
    draw,
    io,
    proto,
)

pycaffe = _caffe = minicaffe.pycaffe

# `import caffe.io` finds these modules before it searches the package's folder.
_SUBMODULES = {
    "_caffe": _caffe,
    "classifier": classifier,
    "coord_map": coord_map,
    "detector": detector,
    "draw": draw,
    "io": io,
    "net_spec": net_spec,
    "proto": proto,
    "proto.caffe_pb2": proto.caffe_pb2,
    "pycaffe": pycaffe,
}
sys.modules.update({f"caffe.{name}": module for name, module in _SUBMODULES.items()})

__all__ = [
    *minicaffe.pycaffe.__all__,
    "__version__",
    "classifier",
    "coord_map",
    "detector",
    "draw",
    "io",
    "net_spec",
    "proto",
    "pycaffe",
]
