"""Messages about fields and types of the current form inside `layers`, the old form of a layer."""

from __future__ import annotations

from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from minicaffe.errors import nearest
from minicaffe.schema.minicaffe_pb2 import V1LayerParameter
from minicaffe.schema.upgrade import current_type

_OLD = "V1LayerParameter"
_ADVICE = "Write `layer` instead of `layers`"


def new_form_hint(field: str, message: Descriptor) -> str:
    """Return an error text if the current form of a layer has a field and the old form lacks it.

    `param`, a block now, is a list of names in the old form.

    Parameters
    ----------
    field : str
        The name of the field.
    message : Descriptor
        The message that contains it.
    """
    if message.name != _OLD:
        return ""
    current = message.file.message_types_by_name["LayerParameter"].fields_by_name
    if field not in current:
        return ""
    return (
        f"`layers` is the old form of a layer, which has no {field}{_block(current[field])}. "
        f'{_ADVICE}, for all layers of the file, with types in quotes: type: "Convolution"; '
        "blobs_lr and weight_decay become param { lr_mult: ... decay_mult: ... }."
    )


def _block(field: FieldDescriptor) -> str:
    return "" if field.message_type is None else " { }"


def old_type_number(name: str, field: FieldDescriptor) -> str:
    """Return the number of a layer type of the old form that is spelled as in the current form.

    Parameters
    ----------
    name : str
        The type as written, maybe in quotes: "Convolution", ReLu.
    field : FieldDescriptor
        The field that it is the value of.

    Returns
    -------
    str
        Empty for a type that is spelled right, an unknown type, and other fields.
    """
    types = V1LayerParameter.LayerType.DESCRIPTOR.values_by_name
    if not _is_old_type(field) or name in types:
        return ""
    return str(_numbers().get(name.strip("\"'").lower(), ""))


@cache
def _numbers() -> dict[str, int]:
    """Return the numbers of the types of the old form, by their names in lower case."""
    types = [number for number in V1LayerParameter.LayerType.values() if number]
    names = {V1LayerParameter.LayerType.Name(number).lower(): int(number) for number in types}
    return names | {current_type(number).lower(): int(number) for number in types}


def _is_old_type(field: FieldDescriptor) -> bool:
    owner = field.containing_type
    return owner is not None and owner.name == _OLD and field.name == "type"


def new_type_hint(name: str, field: FieldDescriptor) -> str:
    """Return an error text for an unknown layer type in the old form; "" for other fields.

    Parameters
    ----------
    name : str
        The type as written, maybe in quotes.
    field : FieldDescriptor
        The field that it is the value of.
    """
    if not _is_old_type(field):
        return ""
    word = name.strip("\"'")
    quotes = " without quotes" if word != name else ""
    return (
        f'"type" takes a type of the old form `layers`{quotes}; found {name}. '
        "Types that came later, such as BatchNorm, Scale and Input, are not among them. "
        f'{_ADVICE}, for all layers of the file, with types in quotes: type: "{_new_name(word)}". '
        f"{nearest(word, V1LayerParameter.LayerType.keys())}"
    )


def _new_name(word: str) -> str:
    """Return a type as the current form probably spells it."""
    return {"BATCHNORM": "BatchNorm", "BATCH_NORM": "BatchNorm"}.get(
        word, word.title().replace("_", "") if word.isupper() else word
    )
