"""Caffe's file formats: message classes, prototxt, weights files and upgrades of old formats.

| task | function |
|---|---|
| read a net or a solver from prototxt, with line numbers | `read_net`, `read_solver` |
| format a message as Caffe does | `format_prototxt`, `write_prototxt` |
| read and write weights, binary or HDF5 | `read_net_weights`, `write_net_weights` |
| read and write solver state, binary or HDF5 | `read_solver_state`, `write_solver_state` |
| read and write a mean image | `read_blobproto`, `write_blobproto` |
"""

from minicaffe.schema.binary import read_binary, read_blobproto, write_blobproto
from minicaffe.schema.contents import LayerArrays, LayerBlobs, ParameterIndex, SolverStateFile
from minicaffe.schema.minicaffe_pb2 import (
    TEST,
    TRAIN,
    BlobProto,
    BlobShape,
    Datum,
    FillerParameter,
    LayerParameter,
    NetParameter,
    NetState,
    NetStateRule,
    ParamSpec,
    SolverParameter,
    SolverState,
)
from minicaffe.schema.snapshot_files import (
    read_net_weights,
    read_solver_state,
    write_net_weights,
    write_solver_state,
)
from minicaffe.schema.sources import (
    NetSource,
    SolverSource,
    parse_net,
    read_net,
    read_net_binary,
    read_solver,
)
from minicaffe.schema.text import (
    Parsed,
    format_prototxt,
    parse_prototxt,
    read_prototxt,
    write_prototxt,
)
from minicaffe.schema.upgrade import net_is_current, upgrade_net, upgrade_solver

__all__ = [
    "TEST",
    "TRAIN",
    "BlobProto",
    "BlobShape",
    "Datum",
    "FillerParameter",
    "LayerArrays",
    "LayerBlobs",
    "LayerParameter",
    "NetParameter",
    "NetSource",
    "NetState",
    "NetStateRule",
    "ParamSpec",
    "ParameterIndex",
    "Parsed",
    "SolverParameter",
    "SolverSource",
    "SolverState",
    "SolverStateFile",
    "format_prototxt",
    "net_is_current",
    "parse_net",
    "parse_prototxt",
    "read_binary",
    "read_blobproto",
    "read_net",
    "read_net_binary",
    "read_net_weights",
    "read_prototxt",
    "read_solver",
    "read_solver_state",
    "upgrade_net",
    "upgrade_solver",
    "write_blobproto",
    "write_net_weights",
    "write_prototxt",
    "write_solver_state",
]
