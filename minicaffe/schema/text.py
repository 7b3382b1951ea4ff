"""Parser and formatter for prototxt (protobuf's text format) with the line of every field.

`google.protobuf.text_format` parses the values and `minicaffe.schema.locations` the structure and
locations. Every error in a text is raised as one SchemaError of the form
``path:line:column: what is wrong and how to fix it``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import numpy as np
from google.protobuf import text_encoding, text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from minicaffe.errors import SchemaError
from minicaffe.schema.file_type import HEAD_BYTES, detect_file_type, is_binary, read_file
from minicaffe.schema.locations import TextBlock, repeated_fields, scan, value_error
from minicaffe.schema.source_text import SourceText
from minicaffe.schema.strings import string_problem
from minicaffe.text_file import ForeignBytes, decode_text

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Parsed(Generic[M]):
    """A message and the locations of its fields in a text.

    Attributes
    ----------
    message : Message
        The message.
    path : str
        The file, as the caller named it.
    locations : TextBlock
        The entries of the text, by field name.
    source : SourceText
        The text.
    """

    message: M
    path: str
    locations: TextBlock
    source: SourceText

    def where(self, *path: str | int) -> str:
        """Return ``file:line`` of a field, or of the innermost enclosing block in the text.

        ``where("layer", 3, "bottom", 1)`` is the second bottom of the fourth layer.
        """
        for end in range(len(path), 0, -1):
            if end < len(path) and isinstance(path[end], int):
                continue  # without its index, the name would select the first entry
            entry = self.locations.find(*path[:end])
            if entry is not None:
                return f"{self.path}:{self.source.position(entry.name.offset).line}"
        return self.path


def read_prototxt(path: str | Path, message_class: type[M]) -> Parsed[M]:
    """Read a prototxt file.

    Parameters
    ----------
    path : str or Path
        The file, in UTF-8, or in UTF-16 with a byte order mark, as PowerShell writes it. Comments
        may have any encoding, lines any end.
    message_class : type of Message
        The message type: `NetParameter`, `SolverParameter`, ...

    Raises
    ------
    SchemaError
        The file is missing, is not a prototxt, or does not match the message type.
    """
    data = read_file(path)
    text = decode_text(data, path, ForeignBytes.ESCAPE, SchemaError)
    head = text[:HEAD_BYTES].encode("utf-8", "surrogateescape")
    kind = detect_file_type(data[:HEAD_BYTES]) or detect_file_type(head)
    if not kind and is_binary(head):
        kind = "a binary file (.caffemodel, .solverstate or .binaryproto?)"
    if kind:
        raise SchemaError(f"{path}: a prototxt is needed here; this looks like {kind}")
    return parse_prototxt(text, message_class, str(path))


def parse_prototxt(text: str, message_class: type[M], path: str = "<string>") -> Parsed[M]:
    """Parse a prototxt from a string; error messages give `path`. See `read_prototxt`."""
    source = SourceText(path, text.replace("\r\n", "\n").replace("\r", "\n"))
    locations = scan(source, cast(Descriptor, message_class.DESCRIPTOR))
    _check_strings(source, locations)
    message = message_class()
    try:
        text_format.Parse(source.corrected(), message)
    except text_format.ParseError as error:
        raise _located(error, source, locations) from None
    _require(message, source, locations)
    return Parsed(message, path, locations, source)


def _check_strings(source: SourceText, locations: TextBlock) -> None:
    """Raise an error for a text in quotes that is not UTF-8 or has a wrong escape."""
    if not re.search("[\\\\\0\udc80-\udcff]", source.text):
        return
    for entry in locations.walk():
        if entry.value.kind == "text" and (found := string_problem(entry)):
            at, message = found
            raise source.error(entry.value.offset + at, message)


def _located(
    error: text_format.ParseError, source: SourceText, locations: TextBlock
) -> SchemaError:
    """Translate protobuf's error about a value of the wrong type to a SchemaError."""
    line, column = error.GetLine(), error.GetColumn()
    if line is None or column is None:
        return SchemaError(f"{source.path}: {error}")
    offset = source.offset(line, column)
    for entry in locations.walk():
        if entry.value.offset == offset:
            return source.error(offset, value_error(entry.descriptor, entry.value))
    return source.error(offset, re.sub(r"^\d+:\d+ : ", "", str(error)))


def _require(message: Message, source: SourceText, locations: TextBlock) -> None:
    """Raise an error if a required field is missing, such as the min of a clip_param."""
    # Every message class has this method, but the type stubs omit it.
    for missing in cast(Any, message).FindInitializationErrors():
        *parents, name = re.findall(r"\w+", missing)
        entry = locations.find(*(int(p) if p.isdigit() else p for p in parents))
        offset = entry.name.offset if entry is not None else 0
        inside = entry.name.text if entry is not None else message.DESCRIPTOR.name
        raise source.error(offset, f'"{inside}" must set "{name}"; add {name}: ...')


def write_prototxt(message: Message, path: str | Path) -> None:
    """Write a message as a prototxt file."""
    Path(path).write_text(format_prototxt(message), encoding="utf-8", newline="\n")


def format_prototxt(message: Message) -> str:
    """Return a message as text, byte for byte as Caffe logs it and writes it to files.

    Fields are in the order of their numbers, one per line; blocks are indented by two spaces.
    """
    return "".join(f"{line}\n" for line in _lines(message, ""))


def _lines(message: Message, indent: str) -> Iterator[str]:
    repeated = repeated_fields(cast(Descriptor, message.DESCRIPTOR))
    for field, content in message.ListFields():
        for value in content if field.name in repeated else [content]:
            if field.message_type is None:
                yield f"{indent}{field.name}: {value_text(field, value)}"
            else:
                yield f"{indent}{field.name} {{"
                yield from _lines(value, indent + "  ")
                yield f"{indent}}}"


def value_text(field: FieldDescriptor, value: Any) -> str:  # Any: the type depends on the field
    """Return one value of a field that is no message as prototxt."""
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return str(value) if known is None else known.name
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return f'"{text_encoding.CEscape(value, False)}"'
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return "true" if value else "false"
    if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
        return _digits(np.float32(value), 6, 9)
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        return _digits(np.float64(value), 15, 17)
    return str(value)


def _digits(value: np.float32 | np.float64, short: int, exact: int) -> str:
    """Return `short` digits if they parse to the same value, else `exact`, as protobuf for C++."""
    text = f"{value:.{short}g}"
    return text if type(value)(text) == value or value != value else f"{value:.{exact}g}"
