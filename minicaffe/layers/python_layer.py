"""Python: a layer whose type is a class of the user."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from minicaffe.errors import NetError, nearest
from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.host_blob import BlobVec, host_blobs
from minicaffe.layers.registry import register
from minicaffe.schema.minicaffe_pb2 import PythonParameter

# An environment variable: a prototxt from elsewhere can then execute no code.
DISABLED_BY = "MINICAFFE_NO_PYTHON_LAYERS"


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

    Exceptions of the user's code propagate unchanged, with a note that names the layer.

    A prototxt with this layer executes code. The environment variable MINICAFFE_NO_PYTHON_LAYERS=1
    makes it an error instead, for files from elsewhere.
    """

    exposes_blobs = True
    # The user's code sees the net's blobs, as in Caffe, even if a later layer overwrites them.
    reads_bottoms = False
    bottoms = (0, None)
    tops = (0, None)
    in_place = True
    releases_lock = True

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Import the class, make the user's object and call its setup."""
        cls = self._user_class()
        with self._named("__init__"):
            # The user's class has any type; `caffe.Layer` is only its usual base.
            self.user: Any = cls(self.param)
        settings = self.settings
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

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs, add to the parameters'."""
        self._call("backward", host_blobs(top), list(propagate_down), host_blobs(bottom))

    def _call(self, method: str, *arguments: object) -> None:
        with self._named(method):
            getattr(self.user, method)(*arguments)

    @contextmanager
    def _named(self, method: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            user = f"{self.settings.module}.{self.settings.layer}"
            error.add_note(f"{self.where}: raised in {user}.{method}")
            raise

    def _user_class(self) -> type[Any]:
        settings = self.settings
        if os.environ.get(DISABLED_BY, "0") not in ("", "0"):
            raise NetError(
                f"{self.where}: Python layers are disabled by the environment variable "
                f'{DISABLED_BY}; this one would run "{settings.layer}" of the module '
                f'"{settings.module}". Unset the variable if you trust the prototxt and the module'
            )
        self.require(
            settings.module and settings.layer,
            'python_param must name a class: python_param { module: "my_layers" layer: "MyLayer" }',
        )
        module = self._import(settings.module)
        cls = getattr(module, settings.layer, None)
        if not inspect.isclass(cls):
            classes = [name for name, _ in inspect.getmembers(module, inspect.isclass)]
            file = getattr(module, "__file__", settings.module)
            hint = nearest(settings.layer, classes) if classes else "It has no classes."
            raise NetError(f'{self.where}: {file} has no class "{settings.layer}". {hint}')
        return cls

    def _import(self, name: str) -> ModuleType:
        # Commands find modules in the current folder, as `python script.py` does.
        folder = os.getcwd()  # noqa: PTH109 - entries of sys.path are strings
        if folder not in sys.path and "" not in sys.path:
            sys.path.append(folder)
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                error.add_note(f'{self.where}: raised while importing module "{name}"')
                raise
        except Exception as error:
            error.add_note(f'{self.where}: raised while importing module "{name}"')
            raise
        raise NetError(
            f'{self.where}: there is no module "{name}" in {folder} or on the Python path; put '
            f"{name.replace('.', '/')}.py there, or its folder into PYTHONPATH"
        )
