"""What the editor shows about the word under the pointer."""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf.descriptor import FieldDescriptor

from minicaffe.editor.known_values import names_of
from minicaffe.editor.manual import (
    comment_of,
    default_text,
    layer_page,
    name_in_schema,
    type_text,
)
from minicaffe.editor.outline import Place, PrototxtOutline, content_of, end_of, is_repeated
from minicaffe.schema.without_effect import is_without_effect


class Explanation(NamedTuple):
    """Markdown about a part of a text: a range of offsets."""

    start: int
    end: int
    text: str


def explain_at(outline: PrototxtOutline, offset: int) -> Explanation | None:
    """Return the documentation of the field or value at an offset; None if there is none."""
    place = outline.place(offset)
    if place is None or place.token is None or place.field is None:
        return None
    field = place.field.descriptor
    if field is None:
        return None
    text = _about_value(place, field) if place.is_value else _about_field(field)
    return Explanation(place.token.offset, end_of(place.token), text) if text else None


def _about_field(field: FieldDescriptor) -> str:
    """Return name, type, default and comments of a field, and of the message that it takes."""
    many = "repeated " if is_repeated(field) else ""
    default = default_text(field)
    parts = [
        f"**{field.name}**: {many}{type_text(field)}" + (f", default {default}" if default else ""),
        comment_of(field),
        comment_of(field.message_type) if field.message_type is not None else "",
    ]
    if is_without_effect(field) and "without effect" not in comment_of(field):
        parts.append("Accepted without effect.")
    return "\n\n".join(filter(None, parts))


def _about_value(place: Place, field: FieldDescriptor) -> str:
    value = content_of(place.token) if place.token is not None else ""
    name = name_in_schema(field)
    if field.enum_type is not None:
        comment = comment_of(field.enum_type, value)
        return f"**{value}**: {comment}" if comment else ""
    if name == "LayerParameter.type":
        page = layer_page(value)
        return f"**{value}**\n\n{page}" if page else ""
    line = names_of(name).get(value)
    return f"**{value}**: {line}" if line else ""
