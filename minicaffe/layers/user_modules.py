"""Modules of the user, whose classes Python layers name."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from types import ModuleType
from typing import Any

from minicaffe.errors import NetError, nearest
from minicaffe.layers.base import Layer
from minicaffe.schema.minicaffe_pb2 import PythonParameter

# An environment variable: a prototxt from elsewhere can then execute no code.
DISABLED_BY = "MINICAFFE_NO_PYTHON_LAYERS"


def is_disabled() -> bool:
    """Return whether the environment forbids to run the user's code."""
    return os.environ.get(DISABLED_BY, "0") not in ("", "0")


def module_exists(name: str) -> bool:
    """Return whether there is a module on the Python path or in the current folder."""
    _with_current_folder()
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of a package around it
        return False
    except Exception:  # the user's code raises it again when it is imported
        return True


def user_class(layer: Layer[PythonParameter]) -> type[Any]:
    """Return the class that a Python layer names.

    Raises
    ------
    NetError
        If there is none, or the user's code must not run.
    """
    settings = layer.settings
    if is_disabled():
        raise NetError(
            f"{layer.where}: Python layers are disabled by the environment variable "
            f'{DISABLED_BY}; this one would run "{settings.layer}" of the module '
            f'"{settings.module}". Unset the variable if you trust the prototxt and the module'
        )
    layer.require(
        settings.module and settings.layer,
        'python_param must name a class: python_param { module: "my_layers" layer: "MyLayer" }',
    )
    module = _imported(settings.module, layer.where)
    cls = getattr(module, settings.layer, None)
    if not inspect.isclass(cls):
        classes = [name for name, _ in inspect.getmembers(module, inspect.isclass)]
        file = getattr(module, "__file__", settings.module)
        hint = nearest(settings.layer, classes) if classes else "It has no classes."
        raise NetError(f'{layer.where}: {file} has no class "{settings.layer}". {hint}')
    return cls


def _imported(name: str, where: str) -> ModuleType:
    folder = _with_current_folder()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            error.add_note(f'{where}: raised while importing module "{name}"')
            raise
    except Exception as error:
        error.add_note(f'{where}: raised while importing module "{name}"')
        raise
    raise NetError(
        f'{where}: there is no module "{name}" in {folder} or on the Python path; put '
        f"{name.replace('.', '/')}.py there, or its folder into PYTHONPATH"
    )


def _with_current_folder() -> str:
    """Return the current folder, which is on the Python path from now on.

    Commands find modules there, as `python script.py` does.
    """
    folder = os.getcwd()  # noqa: PTH109 - entries of sys.path are strings
    if folder not in sys.path and "" not in sys.path:
        sys.path.append(folder)
    return folder
