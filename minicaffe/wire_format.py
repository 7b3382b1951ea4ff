"""The bytes of protobuf messages: reading and writing large arrays without copying them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from mmap import mmap
from typing import Generic, TypeVar, cast

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

ByteChunk = bytes | memoryview
M = TypeVar("M", bound=Message)

_VARINT, _EIGHT_BYTES, _DELIMITED, _FOUR_BYTES = 0, 1, 2, 5
_SIZES = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}
# A multiple of the size of a number, so that it also parses as packed floats or doubles.
_INDEX_BYTES = 8


class Outline(Generic[M]):
    """A message whose fields of type `bytes` stay where they are in the serialised message.

    protobuf copies the content of such a field when it parses a message, and again when the field
    is read. Here the field holds a number instead, and `content` returns the bytes.

    Parameters
    ----------
    message_class : type of Message
    data : bytes or mmap
        The serialised message.

    Attributes
    ----------
    message : Message

    Raises
    ------
    DecodeError
        If `data` is not such a message.
    """

    def __init__(self, message_class: type[M], data: bytes | mmap) -> None:
        self._contents: list[memoryview] = []
        try:
            short = self._shorten(memoryview(data), cast(Descriptor, message_class.DESCRIPTOR))
        except IndexError as error:
            raise DecodeError(str(error)) from error
        self.message = message_class.FromString(short)

    def content(self, field: bytes) -> memoryview:
        """Return the content of a field, given its value in `message`; empty if it is not set."""
        return self._contents[int.from_bytes(field, "little")] if field else memoryview(b"")

    def _shorten(self, data: memoryview, descriptor: Descriptor) -> bytes:
        """Return a message with numbers in place of the content of fields of type `bytes`."""
        chunks: list[ByteChunk] = []
        for number, whole, content in _fields(data):
            field = descriptor.fields_by_number.get(number)
            if content is None or field is None:
                chunks.append(whole)
            elif field.type == FieldDescriptor.TYPE_BYTES:
                index = len(self._contents).to_bytes(_INDEX_BYTES, "little")
                self._contents.append(content)
                chunks += length_delimited(number, [index])
            elif field.message_type is not None and _has_bytes(field.message_type):
                chunks += length_delimited(number, [self._shorten(content, field.message_type)])
            else:
                chunks.append(whole)
        return b"".join(chunks)


def _has_bytes(descriptor: Descriptor) -> bool:
    """Return whether a message, or one in it, has fields of type `bytes`."""
    return any(
        field.type == FieldDescriptor.TYPE_BYTES
        or (field.message_type is not None and _has_bytes(field.message_type))
        for field in descriptor.fields
    )


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview, memoryview | None]]:
    """Yield number, all bytes and, if it has a length, the content of each field of a message.

    Numbers of four or eight bytes with equal keys are yielded together, because there may be
    millions of them.
    """
    at, end = 0, len(data)
    while at < end:
        begin, content = at, None
        key, at = read_varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            _, at = read_varint(data, at)
        elif kind == _DELIMITED:
            size, at = read_varint(data, at)
            content, at = data[at : at + size], at + size
        elif kind in _SIZES:
            at = _end_of_run(data, begin, at, at + _SIZES[kind])
        else:
            raise IndexError(f"a field of type {kind}")
        if at > end:
            raise IndexError("the last field is not complete")
        yield key >> 3, data[begin:at], content


def _end_of_run(data: memoryview, begin: int, content: int, end: int) -> int:
    """Return where fields with the key of the first one end, which lies from `begin` to `end`."""
    size, n_key = end - begin, content - begin
    n = (len(data) - begin) // size
    keys = np.frombuffer(data, np.uint8, n * size, begin).reshape(n, size)[:, :n_key]
    differs = np.flatnonzero((keys != keys[:1]).any(axis=1))
    return begin + size * (int(differs[0]) if differs.size else max(n, 1))


def read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return a whole number of seven bits a byte, the lowest first, and where it ends.

    Raises
    ------
    IndexError
        If the data end before it, or it has more than 64 bits.
    """
    number = shift = 0
    while (byte := data[at]) >= 0x80:
        number |= (byte & 0x7F) << shift
        shift += 7
        at += 1
    number |= byte << shift
    if number >> 64:
        raise IndexError("more than 64 bits")
    return number, at + 1


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def length_delimited(number: int, content: Iterable[ByteChunk]) -> list[ByteChunk]:
    """Return `content` as length-delimited field `number`: its key, its length, and the content."""
    chunks = list(content)
    size = sum(len(chunk) for chunk in chunks)
    return [_varint(number << 3 | _DELIMITED) + _varint(size), *chunks]
