"""Caffe's Python API, imported as ``caffe``.

Names, arguments, views and exceptions are pycaffe's. Only this part of minicaffe has process-wide
state: mode, device, precision and seed (`minicaffe.pycaffe.session`). Importing it sends log lines
to stderr, as importing pycaffe does; the environment variable GLOG_minloglevel sets the level. In a
notebook that level is 1, warnings and errors, by default; ``caffe.init_log()`` shows all lines.
Unless the program has enabled `faulthandler`, importing it also makes fatal signals (SIGSEGV,
SIGABRT and the like) write the stacks of all threads to stderr; ``faulthandler.disable()`` undoes
that.
"""

import logging

from minicaffe import log as _log
from minicaffe.fatal_signals import show_fatal_signals as _show_fatal_signals
from minicaffe.layers.host_blob import BlobVec
from minicaffe.layers.host_blob import HostBlob as Blob
from minicaffe.net.spec import NetSpec, layers, params, to_proto
from minicaffe.pycaffe.classifier import Classifier
from minicaffe.pycaffe.detector import Detector
from minicaffe.pycaffe.layer import Layer
from minicaffe.pycaffe.net import Net
from minicaffe.pycaffe.session import (
    TEST,
    TRAIN,
    has_nccl,
    init_log,
    layer_type_list,
    log,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_multiprocess,
    set_precision,
    set_random_seed,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from minicaffe.pycaffe.session import (
    start_log as _start_log,
)
from minicaffe.pycaffe.solver import (
    NCCL,
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    AdamWSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    get_solver,
)
from minicaffe.pycaffe.timer import Timer

__all__ = [
    "NCCL",
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "AdamWSolver",
    "Blob",
    "BlobVec",
    "Classifier",
    "Detector",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "Timer",
    "get_solver",
    "has_nccl",
    "init_log",
    "layer_type_list",
    "layers",
    "log",
    "params",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_precision",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]

# The release of Caffe with this API; minicaffe's own release is `minicaffe.__version__`.
__version__ = "1.0.0"

# A program that has already added a handler keeps its own log output.
if all(isinstance(handler, logging.NullHandler) for handler in _log.logger.handlers):
    _start_log()
_show_fatal_signals()
