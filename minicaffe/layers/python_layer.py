"""Python: a layer whose type is a class of the user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from minicaffe.distributed.communicator import ALONE
from minicaffe.distributed.present import working_for
from minicaffe.layers.base import Blobs, Layer, LayerClass
from minicaffe.layers.faster_rcnn.modules import BUILT_IN
from minicaffe.layers.host_blob import BlobVec, host_blobs
from minicaffe.layers.registry import register
from minicaffe.layers.user_modules import is_disabled, module_exists, user_class
from minicaffe.schema.minicaffe_pb2 import LayerParameter, PythonParameter


@register("Python")
class Python(Layer[PythonParameter]):
    """Call setup, reshape, forward and backward of a class written in Python.

    Shapes: [x (...)[, x (...) and so on]] -> [y (...)[, y (...) and so on]]

    Notes
    -----
    ``python_param { module: "my_layers" layer: "MyLayer" param_str: "..." }`` stands for
    ``my_layers.MyLayer``, a class with the four methods (`caffe.Layer` is its base class). The
    module is searched on the Python path, then in the current folder. The user's `reshape` runs
    before every forward pass, because data layers written in Python rely on it.

    The layers of py-faster-rcnn are built in: rpn.proposal_layer, rpn.anchor_target_layer,
    rpn.proposal_target_layer and roi_data_layer.layer mean `minicaffe.layers.faster_rcnn` if there
    is no such module. So is ENet's spatial_dropout.

    If several processes train the net, the user's object provides the batches of this one:
    `caffe.solver_rank()` of `caffe.solver_count()`. A method ``skip_batches(n)``, if it has one,
    is called where it shall advance by n batches in a test that the processes divide; else
    reshape and forward are called n times, if the layer has no bottom.

    Exceptions of the user's code propagate unchanged, with a note that names the layer.

    A prototxt with this layer executes code. The environment variable MINICAFFE_NO_PYTHON_LAYERS=1
    makes it an error instead, for files from elsewhere; the built-in layers are used then even if
    there is such a module.
    """

    exposes_blobs = True
    # The user's code sees the net's blobs, as in Caffe, even if a later layer overwrites them.
    reads_bottoms = False
    bottoms = (0, None)
    tops = (0, None)
    in_place = True
    releases_lock = True

    @classmethod
    def variant(cls, param: LayerParameter) -> LayerClass:
        """Return the built-in layer of this name, unless the user has such a module."""
        name = param.python_param.module, param.python_param.layer
        if name in BUILT_IN and (is_disabled() or not module_exists(name[0])):
            return BUILT_IN[name]
        return cls

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Import the class, make the user's object and call its setup."""
        cls = user_class(self)
        with self._named("__init__"), self._present():
            # The user's class has any type; `caffe.Layer` is only its usual base.
            self.user: Any = cls(self.param)
        settings, self._tops = self.settings, top
        self.user.blobs = BlobVec(self)
        self.user.param_str = self.user.param_str_ = settings.param_str
        self.user.phase = int(self.param.phase)
        self._call("setup", host_blobs(bottom), host_blobs(top))

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Have the user's object shape the tops."""
        self._call("reshape", host_blobs(bottom), host_blobs(top))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops."""
        x, y = host_blobs(bottom), host_blobs(top)
        self._call("reshape", x, y)
        self._call("forward", x, y)

    def skip_batches(self, n: int) -> None:
        """Have the user's object advance by n batches."""
        if hasattr(self.user, "skip_batches"):
            self._call("skip_batches", n)
        elif not self.param.bottom:
            for _ in range(n):
                self.forward((), self._tops)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs, add to the parameters'."""
        self._call("backward", host_blobs(top), list(propagate_down), host_blobs(bottom))

    def _present(self) -> AbstractContextManager[None]:
        share = self.context.share
        return working_for(share.communicator if share.parts.count > 1 else ALONE)

    def _call(self, method: str, *arguments: object) -> None:
        with self._named(method), self._present():
            getattr(self.user, method)(*arguments)

    @contextmanager
    def _named(self, method: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            user = f"{self.settings.module}.{self.settings.layer}"
            error.add_note(f"{self.where}: raised in {user}.{method}")
            raise
