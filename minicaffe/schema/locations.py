"""Scanner for prototxt that records the location of each field and reports syntax errors.

`scan` reads the text once and checks it against the schema: field names, braces and repetitions.
It does not check values, which protobuf's own text format parses (see `minicaffe.schema.text`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from minicaffe.errors import SchemaError, near, nearest
from minicaffe.log import logger
from minicaffe.schema.characters import is_full_width, lexical_error, number_as_name
from minicaffe.schema.old_form import new_form_hint, new_type_hint, old_type_number
from minicaffe.schema.source_text import TOKEN, SourceText, Token

_CLOSER = {"{": "}", "<": ">"}
_MISTAKEN = {  # expected message: (message that the file may contain instead, the error text)
    "NetParameter": ("SolverParameter", "This looks like a solver; a net is needed here. "),
    "SolverParameter": ("NetParameter", "This looks like a net; a solver is needed here. "),
}
_OLD_LAYER_FIELDS = {"blobs_lr": "lr_mult", "weight_decay": "decay_mult"}
_FORKS_LAYER = (
    "The settings of a fork's layer: replace that layer by known ones or by one in Python "
    '(type: "Python"), or cut the net before it.'
)
_FORKS_ENGINE = "This may be the engine of a fork: delete the line; results stay the same."
_FORKS_FIELD = "This may be a field of a fork: delete it if the results do not depend on it."


@dataclass
class Entry:
    """One value of one field.

    Attributes
    ----------
    descriptor : FieldDescriptor
        The field.
    name : Token
        The field's name in the text.
    value : Token
        The value, or the brace that opens it.
    block : TextBlock, optional
        The fields inside the braces, if the value is a message.
    """

    descriptor: FieldDescriptor
    name: Token
    value: Token
    block: TextBlock | None = None


@dataclass
class TextBlock:
    """One message in a text: its entries by field name, in text order."""

    descriptor: Descriptor
    opener: Token
    entries: dict[str, list[Entry]] = field(default_factory=dict)

    def find(self, *path: str | int) -> Entry | None:
        """Return an entry such as ``find("layer", 3, "convolution_param", "group")``, or None.

        A number after a name is the index among the entries of that name; the default is 0.
        """
        names = iter(path)
        block: TextBlock | None = self
        entry: Entry | None = None
        index: str | int | None = next(names, None)
        while index is not None:
            name, index = index, next(names, None)
            number, index = (index, next(names, None)) if isinstance(index, int) else (0, index)
            entries = block.entries.get(str(name), []) if block is not None else []
            if number >= len(entries):
                return None
            entry = entries[number]
            block = entry.block
        return entry

    def walk(self) -> Iterator[Entry]:
        """Yield all entries, including those of nested blocks."""
        for entries in self.entries.values():
            for entry in entries:
                yield entry
                if entry.block is not None:
                    yield from entry.block.walk()


@cache
def repeated_fields(descriptor: Descriptor) -> frozenset[str]:
    """Return the names of a message's repeated fields.

    The labels are read from the DescriptorProto, because `FieldDescriptor.label` is deprecated in
    newer releases of protobuf and `is_repeated` does not exist in older ones.
    """
    proto = descriptor_pb2.DescriptorProto()
    descriptor.CopyToProto(proto)
    return frozenset(f.name for f in proto.field if f.label == f.LABEL_REPEATED)


def scan(source: SourceText, descriptor: Descriptor) -> TextBlock:
    """Return the locations of all fields of a prototxt.

    Parameters
    ----------
    source : SourceText
        A prototxt.
    descriptor : Descriptor
        The message type that the text describes.

    Raises
    ------
    SchemaError
        The text has a syntax error, or a field that the message type lacks.
    """
    return _Scanner(source).scan(descriptor)


class _Scanner:
    """The state of one `scan`: the remaining tokens and the open blocks."""

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self._tokens = self._split()
        self._next = next(self._tokens)
        self._open: list[TextBlock] = []
        self._misaligned: TextBlock | None = None

    def scan(self, descriptor: Descriptor) -> TextBlock:
        root = TextBlock(descriptor, Token("mark", "", 0))
        self._fields(root)
        return root

    def _split(self) -> Iterator[Token]:
        for match in TOKEN.finditer(self.source.text):
            if match.lastgroup == "other" or (
                match.lastgroup == "word" and is_full_width(match.group())
            ):
                raise self.source.error(match.start(), lexical_error(self.source.text, match))
            if match.lastgroup is not None:
                yield Token(match.lastgroup, match.group(), match.start())
        yield Token("end", "", len(self.source.text))

    def _take(self) -> Token:
        token = self._next
        if token.kind != "end":
            self._next = next(self._tokens)
        return token

    def _fields(self, block: TextBlock) -> None:
        """Parse the fields of a block up to its closing brace."""
        self._open.append(block)
        while not self._closes(block, token := self._take()):
            if token.text in (";", ","):
                continue
            if token.kind != "word":
                raise self.source.error(
                    token.offset, f"a field name is expected here, not {token.text}"
                )
            if problem := number_as_name(self.source.text, token.offset, token.text):
                raise self.source.error(token.offset, problem)
            descriptor = self._field(token, block)
            if self._next.text == ":":
                self._take()
            elif descriptor.message_type is None:
                if self._next.text == "{" and (hint := new_form_hint(token.text, block.descriptor)):
                    raise self.source.error(token.offset, hint)
                found = self._next.text or "the end of the file"
                raise self.source.error(
                    self._next.offset, f'":" must follow "{token.text}", not {found}'
                )
            self._value(descriptor, token, block)
        self._open.pop()

    def _closes(self, block: TextBlock, token: Token) -> bool:
        opener = block.opener.text
        if token.kind == "end":
            if opener:
                raise self._unclosed(self._misaligned or block, token.offset)
            return True
        if token.text not in ("}", ">"):
            return False
        if not opener:
            message = f'"{token.text}" closes no block: there is one too many, here or above'
            raise self.source.error(token.offset, message)
        if token.text != _CLOSER[opener]:
            line = self.source.position(block.opener.offset).line
            raise self.source.error(
                token.offset, f'"{token.text}" cannot close the "{opener}" of line {line}'
            )
        self._check_alignment(block, token)
        return True

    def _check_alignment(self, block: TextBlock, closer: Token) -> None:
        """Remember the first block whose closing brace is indented less than its opening line."""
        begins = self.source.indent(block.opener.offset)
        ends = self.source.indent(closer.offset)
        if self._misaligned is None and ends < begins:
            line, column = self.source.position(closer.offset)
            if column == ends + 1 and line != self.source.position(block.opener.offset).line:
                self._misaligned = block

    def _unclosed(self, block: TextBlock, offset: int) -> SchemaError:
        line, column = self.source.position(block.opener.offset)
        opener, closer = block.opener.text, _CLOSER[block.opener.text]
        return self.source.error(
            offset,
            f'the file ends inside a block: the "{opener}" at line {line}, column {column} is '
            f'probably not closed. Add "{closer}"',
        )

    def _field(self, name: Token, block: TextBlock) -> FieldDescriptor:
        """Return the field of this name, or raise SchemaError."""
        descriptor = block.descriptor.fields_by_name.get(name.text)
        if descriptor is None:
            raise self._unknown(name, block)
        first = block.entries.get(name.text)
        if first and name.text not in repeated_fields(block.descriptor):
            line = self.source.position(first[0].name.offset).line
            raise self.source.error(
                name.offset,
                f'"{name.text}" is set twice in one {block.descriptor.name}, first in line {line}; '
                "it takes one value. Remove one of them",
            )
        return descriptor

    def _unknown(self, name: Token, block: TextBlock) -> SchemaError:
        """Return an error about an unknown field name, with the most likely cause and fix."""
        fields = block.descriptor.fields_by_name
        message, advice = f'message "{block.descriptor.name}" has no field "{name.text}". ', ""
        homes = [
            field.name
            for field in fields.values()
            if field.message_type is not None and name.text in field.message_type.fields_by_name
        ]
        if any(name.text in outer.descriptor.fields_by_name for outer in self._open[:-1]):
            line = self.source.position((self._misaligned or block).opener.offset).line
            message += f'Is a "}}" missing? The block of line {line} is still open. '
        elif mistaken := self._mistaken(name, block):
            message += mistaken
        elif block.descriptor.name == "LayerParameter" and name.text in _OLD_LAYER_FIELDS:
            new = _OLD_LAYER_FIELDS[name.text]
            message += f"It belongs to the old `layers`; in `layer` it is param {{ {new}: ... }}. "
        elif hint := new_form_hint(name.text, block.descriptor):
            return self.source.error(name.offset, hint)
        elif homes:
            message += f"It belongs in a block: {', '.join(homes)}. "
        elif block.descriptor.name.endswith("LayerParameter") and name.text.endswith("_param"):
            advice = _FORKS_LAYER
        elif not near(name.text, fields):
            advice = _FORKS_FIELD
        return self.source.error(name.offset, message + nearest(name.text, fields, advice))

    def _mistaken(self, name: Token, block: TextBlock) -> str:
        """Return an error text if another message type has this name at its top level, else ""."""
        kind, message = _MISTAKEN.get(block.descriptor.name, ("", ""))
        kinds = block.descriptor.file.message_types_by_name
        if len(self._open) > 1 or not kind or name.text not in kinds[kind].fields_by_name:
            return ""
        return message

    def _value(self, descriptor: FieldDescriptor, name: Token, block: TextBlock) -> None:
        """Parse one value, or a list of values in brackets."""
        token = self._take()
        if token.text != "[":
            self._single_value(descriptor, name, token, block)
            return
        if name.text not in repeated_fields(block.descriptor):
            if name.text != "device_id":
                raise self.source.error(token.offset, f'"{name.text}" takes one value, not a list')
            self._first_of(descriptor, name, token, block)
            return
        while self._next.text != "]":
            self._single_value(descriptor, name, self._take(), block)
            if self._next.text == ",":
                self._take()
            elif self._next.text != "]":
                raise self.source.error(
                    self._next.offset,
                    f'"," or "]" is expected here, not {self._next.text or "the end"}',
                )
        self._take()

    def _first_of(
        self, descriptor: FieldDescriptor, name: Token, opener: Token, block: TextBlock
    ) -> None:
        """Parse the list of GPUs of TSN's solvers as the first of them."""
        self.source.correct(opener.offset, opener.offset + 1, "")
        self._single_value(descriptor, name, self._take(), block)
        rest = self._next.offset
        while self._next.text not in ("]", ""):
            self._take()
        self.source.correct(rest, self._next.offset + 1, "")
        self._take()
        logger.warning(
            str(self.source.error(opener.offset, "one GPU is used, the first of device_id"))
        )

    def _single_value(
        self, descriptor: FieldDescriptor, name: Token, token: Token, block: TextBlock
    ) -> None:
        token = self._corrected(descriptor, token)
        entry = Entry(descriptor, name, token)
        block.entries.setdefault(name.text, []).append(entry)
        if descriptor.message_type is not None:
            if token.text not in _CLOSER:
                raise self.source.error(token.offset, value_error(descriptor, token))
            entry.block = TextBlock(descriptor.message_type, token)
            self._fields(entry.block)
        elif token.kind == "text":
            while self._next.kind == "text":  # adjacent strings are concatenated: "a" "b" is "ab"
                self._take()
        elif token.kind != "word":
            raise self.source.error(token.offset, value_error(descriptor, token))

    def _corrected(self, descriptor: FieldDescriptor, token: Token) -> Token:
        """Return a value as protobuf reads it: `- 1` is -1; "Convolution" is a type of `layers`."""
        value, end = "", token.offset + len(token.text)
        if (
            token.text == "-"
            and self._next.kind == "word"
            and self.source.text[end : self._next.offset].strip(" \t") == ""
        ):
            number = self._take()
            value, end = f"-{number.text}", number.offset + len(number.text)
        elif token.kind in ("text", "word"):
            value = old_type_number(token.text, descriptor)
        if not value:
            return token
        self.source.correct(token.offset, end, value)
        return Token("word", value, token.offset)


_KINDS = {
    FieldDescriptor.CPPTYPE_INT32: "a whole number from -2147483648 to 2147483647",
    FieldDescriptor.CPPTYPE_INT64: "a whole number",
    FieldDescriptor.CPPTYPE_UINT32: "a whole number from 0 to 4294967295",
    FieldDescriptor.CPPTYPE_FLOAT: "a number",
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_STRING: 'text in quotes ("...")',
    FieldDescriptor.CPPTYPE_MESSAGE: "a block: { ... }",
}


def value_error(descriptor: FieldDescriptor, found: Token) -> str:
    """Return the error text for a value of the wrong type."""
    what = {"{": "a block", "<": "a block", "": "the end of the file"}.get(found.text, found.text)
    if descriptor.enum_type is None:
        return f'"{descriptor.name}" takes {_KINDS[descriptor.cpp_type]}; found {what}'
    if hint := new_type_hint(found.text, descriptor):
        return hint
    names = [value.name for value in descriptor.enum_type.values]
    advice = _FORKS_ENGINE if descriptor.enum_type.name == "Engine" else ""
    hint = nearest(found.text.strip("\"'"), names, advice)
    quotes = " without quotes" if found.kind == "text" else ""
    rule = f"one of the names of {descriptor.enum_type.name}{quotes}"
    return f'"{descriptor.name}" takes {rule}; found {what}. {hint}'
