"""NetSpec: a Python interface that generates a NetParameter.

    n = NetSpec()
    n.data = layers.Input(shape=dict(dim=[1, 3, 32, 32]))
    n.conv1 = layers.Convolution(n.data, num_output=8, kernel_size=3)
    n.pool1 = layers.Pooling(n.conv1, pool=params.Pooling.MAX, kernel_size=2, stride=2)
    print(n.to_proto())

A layer is a `Function` of the tops of others; its tops are `Top`. Layers and tops that are given no
name get type and number: ``Convolution1``, ``Convolution2``. Names follow pycaffe's rules exactly,
because weights are found by them.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, TypeAlias

from google.protobuf.message import Message

from minicaffe.errors import SchemaError, nearest
from minicaffe.layers import LAYERS
from minicaffe.schema import LayerParameter, NetParameter, minicaffe_pb2

# Layers made so far, in order; names given; numbers given out, by layer type.
Layers: TypeAlias = "OrderedDict[Function, LayerParameter]"
Names: TypeAlias = "dict[Top | Function, str]"
Counts: TypeAlias = "Counter[str]"


class Top:
    """Output `n` of a layer."""

    def __init__(self, fn: Function, n: int) -> None:
        self.fn, self.n = fn, n

    def to_proto(self) -> NetParameter:
        """Return the net that computes this top, with automatic names."""
        return to_proto(self)

    def _to_proto(self, layers: Layers, names: Names, counts: Counts) -> None:
        self.fn._to_proto(layers, names, counts)

    def __repr__(self) -> str:
        return f"Top({self.fn.type_name}, {self.n})"


class Function:
    """A layer, its inputs and its settings.

    Parameters
    ----------
    type_name : str
        The layer type.
    inputs : sequence of Top
        The bottoms.
    params : mapping
        Settings: fields of the type's own message by their names, or fields of LayerParameter
        (``loss_weight``, ``include``, ``param``, ``convolution_param`` as a dict); ``ntop`` for the
        number of tops (1), ``in_place`` for tops that are the bottoms.

    Raises
    ------
    TypeError
        If an input is not a Top.
    """

    def __init__(
        self, type_name: str, inputs: tuple[object, ...], params: Mapping[str, object]
    ) -> None:
        self.type_name = type_name
        tops: list[Top] = []
        for index, given in enumerate(inputs):
            if not isinstance(given, Top):
                # The end is Caffe's, because programs match it.
                raise TypeError(f"{type_name} input {index} is not a Top (type is {type(given)})")
            tops.append(given)
        self.inputs = tuple(tops)
        # Any: settings of every type, which pycaffe programs read.
        self.params: dict[str, Any] = dict(params)
        self.ntop = int(self.params.pop("ntop", 1))
        self.in_place = bool(self.params.pop("in_place", False))
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def _name(self, names: Names, counts: Counts) -> str:
        """Return the name: the one given, or else that of the first top."""
        if self not in names:
            names[self] = (
                self._top_name(self.tops[0], names, counts) if self.tops else self._number(counts)
            )
        return names[self]

    def _top_name(self, top: Top, names: Names, counts: Counts) -> str:
        if top not in names:
            names[top] = self._number(counts)
        return names[top]

    def _number(self, counts: Counts) -> str:
        counts[self.type_name] += 1
        return f"{self.type_name}{counts[self.type_name]}"

    def _to_proto(self, layers: Layers, names: Names, counts: Counts) -> None:
        """Add the layers that this one needs, then itself, to `layers`."""
        if self in layers:
            return
        layer = LayerParameter(type=self.type_name)
        for top in self.inputs:
            top._to_proto(layers, names, counts)
            layer.bottom.append(layers[top.fn].top[top.n])
        if self.in_place:
            layer.top.extend(layer.bottom)
        else:
            layer.top.extend(self._top_name(top, names, counts) for top in self.tops)
        layer.name = self._name(names, counts)
        for key, value in self.params.items():
            self._set(layer, key, value)
        layers[self] = layer

    def _set(self, layer: LayerParameter, key: str, value: object) -> None:
        field = param_name_dict().get(self.type_name)
        own: Message | None = getattr(layer, f"{field}_param") if field else None
        of_layer = layer.DESCRIPTOR.fields_by_name
        if own is not None and key in own.DESCRIPTOR.fields_by_name:
            self._assign(own, layer.name, key, value)
        elif key in of_layer:
            self._assign(layer, layer.name, key, value)
        else:
            if self.type_name not in LAYERS:
                raise AttributeError(
                    f'layer "{layer.name}": unknown layer type "{self.type_name}", so that '
                    f'"{key}" is no setting of it. {nearest(self.type_name, LAYERS)}'
                )
            known = [*of_layer]
            known += [] if own is None else [*own.DESCRIPTOR.fields_by_name]
            raise AttributeError(
                f'layer "{layer.name}" ({self.type_name}) has no setting "{key}". '
                f"{nearest(key, known)}"
            )

    def _assign(self, proto: Message, name: str, key: str, value: object) -> None:
        try:
            assign_proto(proto, key, value)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f'layer "{name}" ({self.type_name}): {key}={value!r}: {error}') from error

    def __repr__(self) -> str:
        return f"Function({self.type_name}, {len(self.inputs)} inputs, {self.ntop} tops)"


class NetSpec:
    """A net under construction: attributes (or items) are named tops.

    ``net.conv1 = layers.Convolution(...)`` names the top and its layer "conv1".
    """

    tops: OrderedDict[str, Top | Function]

    def __init__(self) -> None:
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name: str, value: Top | Function) -> None:
        self.tops[name] = value

    # Any in the next methods: a Top, a Function or a tuple of Tops, as in pycaffe, where programs
    # index and pass the result without a check.
    def __getattr__(self, name: str) -> Any:
        tops = self.__dict__.get("tops", {})
        if name not in tops:
            raise AttributeError(f'no top "{name}" in this NetSpec; it has {", ".join(tops)}')
        return tops[name]

    def __setitem__(self, name: str, value: Top | Function) -> None:
        self.tops[name] = value

    def __getitem__(self, name: str) -> Any:
        return self.tops[name]

    def __delattr__(self, name: str) -> None:
        del self.tops[name]

    def __delitem__(self, name: str) -> None:
        del self.tops[name]

    def to_proto(self) -> NetParameter:
        """Return the net."""
        names: Names = {top: name for name, top in self.tops.items()}
        return _net(self.tops.values(), names)

    def __repr__(self) -> str:
        return f"NetSpec({', '.join(self.tops)})"


class LayerTypes:
    """``layers.Convolution(bottom, num_output=8)``: a function for every layer type."""

    def __getattr__(self, type_name: str) -> Callable[..., Any]:
        if type_name.startswith("__"):
            raise AttributeError(type_name)

        def make(*inputs: Top, **params: object) -> Any:
            function = Function(type_name, inputs, params)
            if function.ntop == 0:
                return function
            return function.tops[0] if function.ntop == 1 else function.tops

        make.__name__ = type_name
        return make


class Parameters:
    """``params.Pooling.MAX``: the enum values of the settings of every layer type."""

    # Any: the attributes of a message class are known at run time only.
    def __getattr__(self, type_name: str) -> Any:
        message = f"{type_name}Parameter"
        if not hasattr(minicaffe_pb2, message):
            raise AttributeError(f'there are no settings "{message}"')
        return getattr(minicaffe_pb2, message)


def to_proto(*tops: Top | Function) -> NetParameter:
    """Return the net that computes these tops, with automatic names."""
    return _net(tops, {})


def _net(tops: Iterable[Top | Function], names: Names) -> NetParameter:
    layers: Layers = OrderedDict()
    counts: Counts = Counter()
    for top in tops:
        top._to_proto(layers, names, counts)
    return NetParameter(layer=layers.values())


@cache
def param_name_dict() -> dict[str, str]:
    """Return the field of each layer type: ``{"Convolution": "convolution", ...}``."""
    return {
        message.name.removesuffix("Parameter"): field.name.removesuffix("_param")
        for field in LayerParameter.DESCRIPTOR.fields
        if field.name.endswith("_param") and (message := field.message_type) is not None
    }


def assign_proto(proto: Message, name: str, val: object) -> None:
    """Set a field of a message from plain Python values.

    Parameters
    ----------
    proto : Message
        Changed.
    name : str
        The field.
    val : object
        A value; a list (or one value) for a repeated field; a dict for a message; a list of dicts
        for a repeated message.

    Raises
    ------
    SchemaError
        If the message has no such field.
    """
    if name not in proto.DESCRIPTOR.fields_by_name:
        raise SchemaError(
            f'{proto.DESCRIPTOR.name} has no field "{name}". '
            f"{nearest(name, proto.DESCRIPTOR.fields_by_name)}"
        )
    field = getattr(proto, name)
    if hasattr(field, "extend"):
        for item in val if isinstance(val, list | tuple) else [val]:
            if isinstance(item, dict):
                _fill(field.add(), item)
            else:
                field.append(item)
    elif isinstance(val, dict):
        # An empty dict still sets the field.
        field.SetInParent()
        _fill(field, val)
    elif hasattr(field, "CopyFrom"):
        field.CopyFrom(val)
    else:
        setattr(proto, name, val)


def _fill(message: Message, values: Mapping[str, object]) -> None:
    for key, value in values.items():
        assign_proto(message, key, value)


layers = LayerTypes()
params = Parameters()
