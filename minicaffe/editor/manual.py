"""Documentation of fields and layer types as Markdown, from comments and docstrings."""

from __future__ import annotations

import inspect
import re
from functools import cache

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from minicaffe.layers import LAYERS
from minicaffe.schema.locations import repeated_fields
from minicaffe.shipped_files import shipped_folder

_SCALARS = {1: "double", 2: "float", 3: "int64", 5: "int32", 8: "bool", 9: "string", 13: "uint32"}
# Sections of a docstring that follow what a layer does and its shapes.
_SECTION = re.compile(r"^\w[\w ]*\n-+\n", re.MULTILINE)


def read_comments(proto: str) -> dict[str, str]:
    """Return the comment above each message, enum, field and enum value of a .proto file, by name.

    Parameters
    ----------
    proto : str
        The text; nesting is followed by its braces.

    Returns
    -------
    dict of str to str
        By full name, such as "PoolingParameter.PoolMethod.MAX".
    """
    comments: dict[str, str] = {}
    path: list[str] = []
    above: list[str] = []
    for raw in proto.splitlines():
        line = raw.strip()
        if line.startswith("//"):
            above.append(line.removeprefix("//").strip())
            continue
        opened = re.match(r"(?:message|enum|extend) ([\w.]+) \{", line)
        field = re.match(r"(?:(?:optional|required|repeated) [\w.]+ )?(\w+) = ", line)
        if found := opened or field:
            comments[".".join([*path, found[1]])] = " ".join(above)
        if opened:
            path.append(opened[1])
        if line.startswith("}"):
            path.pop()
        above = []
    return comments


@cache
def schema_comments() -> dict[str, str]:
    """Return the comments of the schema that comes with the program."""
    files = sorted(shipped_folder("proto").glob("*.proto"))
    return read_comments("\n".join(path.read_text(encoding="utf-8") for path in files))


def name_in_schema(found: Descriptor | EnumDescriptor | FieldDescriptor) -> str:
    """Return the full name without the package, such as "LayerParameter.type"."""
    return found.full_name.partition(".")[2]


def comment_of(found: Descriptor | EnumDescriptor | FieldDescriptor, value: str = "") -> str:
    """Return the comment of a message, a field or an enum, or of one value of an enum."""
    name = name_in_schema(found)
    return schema_comments().get(f"{name}.{value}" if value else name, "")


def type_text(field: FieldDescriptor) -> str:
    """Return a field's type; of an enumeration, its values."""
    if field.enum_type:
        return ", ".join(f"`{value.name}`" for value in field.enum_type.values)
    return field.message_type.name if field.message_type else _SCALARS[field.type]


def default_text(field: FieldDescriptor) -> str:
    """Return a field's default as prototxt writes it; "" if it has none."""
    is_repeated = field.name in repeated_fields(field.containing_type)
    if is_repeated or field.message_type or not field.has_default_value:
        return ""
    if field.enum_type:
        return f"`{field.enum_type.values_by_number[field.default_value].name}`"
    if isinstance(field.default_value, bool):
        return f"`{str(field.default_value).lower()}`"
    value = field.default_value
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def field_summary(field: FieldDescriptor) -> str:
    """Return type, default and whether a field is repeated, in one line without Markdown."""
    many = "repeated " if field.name in repeated_fields(field.containing_type) else ""
    kind = field.enum_type.name if field.enum_type else type_text(field)
    default = default_text(field).strip("`")
    return f"{many}{kind}" + (f", default {default}" if default else "")


def layer_page(name: str) -> str:
    """Return what a layer type does, its shapes and its formula; "" for an unknown type."""
    if name not in LAYERS:
        return ""
    head = re.split(r"^References\n-+\n", _layer_docstring(name), flags=re.MULTILINE)[0]
    text = re.sub(r"^Shapes: (.*)$", r"Shapes: `\1`", head.strip(), flags=re.MULTILINE)
    return _SECTION.sub("", text)


def layer_summary(name: str) -> str:
    """Return the first line of a layer type's documentation."""
    return _layer_docstring(name).partition("\n")[0]


def _layer_docstring(name: str) -> str:
    return inspect.cleandoc(LAYERS[name].__doc__ or "")
