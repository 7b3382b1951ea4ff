"""Registry of layer types: the class that implements each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from minicaffe.errors import NetError, nearest
from minicaffe.schema import LayerParameter

if TYPE_CHECKING:
    from minicaffe.layers.base import Layer, Role

LayerType = TypeVar("LayerType", bound="type[Layer]")

LAYERS: dict[str, type[Layer]] = {}

_OF_A_FORK = (
    "Replace a layer of a fork of Caffe by known layers or by one in Python "
    '(type: "Python"), or cut the net before it.'
)
# Types that netscope, a program that draws nets, has in addition.
_NETSCOPES = ("data", "implicit")
_OF_NETSCOPE = (
    "This is netscope's placeholder for data: replace it by an Input layer with the shape, "
    'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: ... } } }.'
)


def register(name: str) -> Callable[[LayerType], LayerType]:
    """Make the decorated class the implementation of layer type `name`.

    Raises
    ------
    NetError
        If the type has an implementation already.
    """

    def add(cls: LayerType) -> LayerType:
        if name in LAYERS:
            raise NetError(f"layer type {name} is registered already, by {LAYERS[name].__module__}")
        cls.type = name
        LAYERS[name] = cls
        return cls

    return add


def layer_class(name: str) -> type[Layer]:
    """Return the class of layer type `name`.

    Raises
    ------
    NetError
        If there is none.
    """
    if not name:
        raise NetError(f"type is missing. {nearest(name, LAYERS)}")
    if name not in LAYERS:
        netscopes = name in _NETSCOPES
        advice = _OF_NETSCOPE if netscopes else nearest(name, LAYERS, _OF_A_FORK)
        raise NetError(f'unknown layer type "{name}". {advice}')
    return LAYERS[name]


def role_of(name: str) -> Role:
    """Return the role of a layer type; an unknown type is a loss if Caffe would treat it as one."""
    if name in LAYERS:
        return LAYERS[name].role
    return "loss" if name.endswith("Loss") else "other"


def summary_of(param: LayerParameter) -> str:
    """Return the main settings of a layer in a few words; "" for an unknown type."""
    return LAYERS[param.type].summary(param) if param.type in LAYERS else ""
