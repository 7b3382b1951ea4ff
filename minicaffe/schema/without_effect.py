"""Fields of forks that a file sets and nothing reads: speed, engines, caches, precisions.

The schema marks them with the option `without_effect`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from minicaffe.schema.common_pb2 import without_effect

# Values of Engine that Caffe lacks.
_FIRST_FORKS_NUMBER = 1000


def sentence_about_fields_without_effect(message: Message) -> str:
    """Return a sentence that names the fields without effect that a net or solver sets; "" if none.

    Nets inside a solver are left out.
    """
    counts = Counter(_names(message, ""))
    if not counts:
        return ""
    names = (f"{name} ({n} times)" if n > 1 else name for name, n in sorted(counts.items()))
    return (
        f"accepted without effect: {', '.join(names)}. These are fields of forks of Caffe, of "
        "which the results do not depend here."
    )


def marked_fields(*messages: type[Message]) -> dict[str, list[str]]:
    """Return the fields without effect of some messages and of those inside them.

    Returns
    -------
    dict
        The names of fields, by the name of the message.
    """
    found: dict[str, list[str]] = {}
    waiting = [cast(Descriptor, message.DESCRIPTOR) for message in messages]
    for descriptor in waiting:
        fields = [field.name for field in descriptor.fields if is_without_effect(field)]
        found[descriptor.name] = fields
        inner = (f.message_type for f in descriptor.fields if not is_without_effect(f))
        waiting += [m for m in dict.fromkeys(inner) if m is not None and m not in waiting]
    return {name: fields for name, fields in sorted(found.items()) if fields}


def _names(message: Message, prefix: str) -> Iterator[str]:
    for field, value in message.ListFields():
        name = f"{prefix}{field.name}"
        if is_without_effect(field):
            yield name
        elif _is_engine(field) and field.enum_type is not None:
            if value >= _FIRST_FORKS_NUMBER:
                yield f"{name}: {field.enum_type.values_by_number[value].name}"
        elif field.message_type is not None and _contains_any(field.message_type):
            inner = "" if field.name == "layer" else f"{name}."
            for each in [value] if isinstance(value, Message) else value:
                yield from _names(each, inner)


@cache
def is_without_effect(field: FieldDescriptor) -> bool:
    """Return whether the schema marks a field as one that nothing reads."""
    # Any: the type of the extension is not among those that the stubs know.
    extensions: Any = field.GetOptions().Extensions
    return bool(extensions[without_effect])


def _is_engine(field: FieldDescriptor) -> bool:
    return field.name == "engine" and field.enum_type is not None


@cache
def _contains_any(descriptor: Descriptor) -> bool:
    """Return whether a message other than a net, or one inside it, has a field without effect."""
    return descriptor.name != "NetParameter" and any(
        is_without_effect(field)
        or _is_engine(field)
        or (field.message_type is not None and _contains_any(field.message_type))
        for field in descriptor.fields
    )
