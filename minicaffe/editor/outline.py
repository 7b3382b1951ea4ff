"""Blocks and fields of a prototxt that is being written, so that it need not be complete.

`minicaffe.schema.locations` reads complete texts and raises errors. Here nothing is an error: a
value may be missing, a quotation mark or a brace not closed, a field unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from minicaffe.schema.locations import repeated_fields
from minicaffe.schema.minicaffe_pb2 import LabelMap, NetParameter, SolverParameter
from minicaffe.schema.source_text import TOKEN, Token

_QUOTES = ("'", '"')


def end_of(token: Token) -> int:
    """Return the offset behind a token."""
    return token.offset + len(token.text)


def content_of(token: Token) -> str:
    """Return the text of a value without quotation marks."""
    start, end = content_span(token)
    return token.text[start - token.offset : end - token.offset]


def content_span(token: Token) -> tuple[int, int]:
    """Return the offsets of a value without quotation marks; the last one may be missing."""
    if not token.text.startswith(_QUOTES):
        return token.offset, end_of(token)
    is_closed = len(token.text) > 1 and token.text.endswith(token.text[0])
    return token.offset + 1, end_of(token) - is_closed


@dataclass
class OutlineField:
    """A field of a block: its name and what follows.

    Attributes
    ----------
    name : Token
    descriptor : FieldDescriptor or None
        None if the message has no such field.
    has_colon : bool
    value_start : int
        The offset behind the colon.
    values : list of Token
        One, several in brackets, or none yet.
    block : OutlineBlock, optional
        The fields in braces.
    end : int
        The offset behind the field.
    """

    name: Token
    descriptor: FieldDescriptor | None
    has_colon: bool
    value_start: int
    values: list[Token] = field(default_factory=list)
    block: OutlineBlock | None = None
    end: int = 0

    @property
    def text(self) -> str:
        """The first value without quotation marks; "" if there is none."""
        return content_of(self.values[0]) if self.values else ""


@dataclass
class OutlineBlock:
    """The fields between two braces, or of the whole text.

    Attributes
    ----------
    descriptor : Descriptor or None
        The message; None inside of unknown fields.
    parent : OutlineBlock or None
    start, end : int
        The offsets behind the opening brace and before the closing one.
    """

    descriptor: Descriptor | None
    parent: OutlineBlock | None
    start: int
    end: int
    fields: list[OutlineField] = field(default_factory=list)

    def named(self, *names: str) -> list[OutlineField]:
        """Return the fields of these names."""
        return [found for found in self.fields if found.name.text in names]

    def texts(self, *names: str) -> list[str]:
        """Return the values of the fields of these names, without quotation marks."""
        return [content_of(token) for found in self.named(*names) for token in found.values]

    def text(self, name: str) -> str:
        """Return the first value of a field, "" if it has none."""
        return next(iter(self.texts(name)), "")

    def field_named(self, name: str) -> FieldDescriptor | None:
        """Return the field of the message that has a name; None if there is none."""
        return None if self.descriptor is None else self.descriptor.fields_by_name.get(name)

    def innermost(self, offset: int) -> OutlineBlock:
        """Return the smallest block around an offset of this one."""
        for found in self.fields:
            inner = found.block
            if inner is not None and inner.start <= offset <= inner.end:
                return inner.innermost(offset)
        return self

    def layer_blocks(self) -> list[OutlineBlock]:
        """Return the blocks of the layers of a net."""
        return [found.block for found in self.named("layer", "layers") if found.block is not None]


@dataclass(frozen=True)
class Place:
    """Where a cursor is.

    Attributes
    ----------
    block : OutlineBlock
        The block around it.
    field : OutlineField or None
        The field whose name or value is there.
    is_value : bool
        Whether it is behind the colon.
    token : Token or None
        The name or the value at the cursor; None in white space.
    """

    block: OutlineBlock
    field: OutlineField | None = None
    is_value: bool = False
    token: Token | None = None


class PrototxtOutline:
    """The blocks and fields of a prototxt.

    Parameters
    ----------
    text : str
    path : str
        The name of the file, which decides if the text does not tell a net from a solver.

    Attributes
    ----------
    root : OutlineBlock
        Its `descriptor` is that of a net, a solver or a label map.
    """

    def __init__(self, text: str, path: str = "") -> None:
        self.text = text
        self._comments: list[tuple[int, int]] = []
        tokens = list(self._tokens())
        self.root = _Reader(tokens, _message_of(tokens, path), len(text)).read()

    def place(self, offset: int) -> Place | None:
        """Return where an offset is; None inside of a comment."""
        if any(start < offset <= end for start, end in self._comments):
            return None
        block = self.root.innermost(offset)
        for found in block.fields:
            if found.name.offset <= offset <= end_of(found.name):
                return Place(block, found, False, found.name)
            if self._is_in_value(found, offset):
                token = next((t for t in found.values if t.offset <= offset <= end_of(t)), None)
                return Place(block, found, True, token)
        return Place(block)

    def _is_in_value(self, found: OutlineField, offset: int) -> bool:
        if not found.has_colon or found.block is not None or offset < found.value_start:
            return False
        if found.values:
            return offset <= found.end
        return "\n" not in self.text[found.value_start : offset]

    def _tokens(self) -> Iterator[Token]:
        """Yield the tokens; an open quotation mark begins a text that ends with its line."""
        at = 0
        while (match := TOKEN.match(self.text, at)) is not None:
            at = match.end()
            if match.lastgroup == "other" and match.group() in _QUOTES:
                at = (self.text.find("\n", at) + 1 or len(self.text) + 1) - 1
                yield Token("text", self.text[match.start() : at].rstrip(), match.start())
            elif match.lastgroup is not None:
                yield Token(match.lastgroup, match.group(), match.start())
            elif match.group().startswith("#"):
                self._comments.append(match.span())


def _message_of(tokens: list[Token], path: str) -> Descriptor:
    """Return the message whose fields a text has most of, at any depth: a guess."""
    messages = (NetParameter, SolverParameter, LabelMap)
    kinds = [cast(Descriptor, message.DESCRIPTOR) for message in messages]
    if "solver" in path.lower():
        kinds.insert(0, kinds.pop(1))
    depth, top_level = 0, []
    for token in tokens:
        depth += {"{": 1, "<": 1, "}": -1, ">": -1}.get(token.text, 0)
        if depth <= 0 and token.kind == "word":
            top_level.append(token.text)
    return max(kinds, key=lambda kind: sum(word in kind.fields_by_name for word in top_level))


class _Reader:
    """The state of one reading: the tokens and the open block."""

    def __init__(self, tokens: list[Token], descriptor: Descriptor, end: int) -> None:
        self._tokens = [*tokens, Token("end", "", end)]
        self._at = 0
        self._length = end
        self._block = OutlineBlock(descriptor, None, 0, end)

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += token.kind != "end"
        return token

    def read(self) -> OutlineBlock:
        """Return the outermost block."""
        while (token := self._take()).kind != "end":
            if token.text in ("}", ">"):
                self._close(token.offset)
            elif token.kind == "word":
                self._field(token)
        block = self._block
        while block.parent is not None:
            block = block.parent
        return block

    def _close(self, offset: int) -> None:
        if self._block.parent is not None:
            self._block.end = offset
            self._block = self._block.parent

    def _field(self, name: Token) -> None:
        has_colon = self._next.text == ":"
        last = self._take() if has_colon else name
        if self._next.text in ("{", "<"):
            self._leave_unclosed_blocks(name)
        descriptor = self._block.field_named(name.text)
        found = OutlineField(name, descriptor, has_colon, end_of(last), end=end_of(last))
        self._block.fields.append(found)
        if self._next.text in ("{", "<"):
            self._open(found)
        elif has_colon and self._next.text == "[":
            self._list(found)
        elif has_colon:
            self._value(found)

    def _leave_unclosed_blocks(self, name: Token) -> None:
        """Close blocks that lack a field which a block around them has: their brace is missing."""
        outer: OutlineBlock | None = self._block
        while outer is not None and outer.field_named(name.text) is None:
            outer = outer.parent
        while outer is not None and self._block is not outer:
            self._close(name.offset)

    def _open(self, found: OutlineField) -> None:
        brace = self._take()
        descriptor = found.descriptor.message_type if found.descriptor is not None else None
        inner = OutlineBlock(descriptor, self._block, end_of(brace), self._length)
        found.block, self._block = inner, inner

    def _list(self, found: OutlineField) -> None:
        self._take()
        while self._next.kind != "end" and self._next.text not in ("]", "}", ">", ":"):
            if self._next.text in ("{", "<"):
                self._open(found)
                return
            token = self._take()
            found.values += [token] if token.kind in ("word", "text") else []
        found.end = end_of(self._take()) if self._next.text == "]" else self._next.offset

    def _value(self, found: OutlineField) -> None:
        """Take a value, unless the next token is the name of the next field."""
        token = self._next
        if token.kind not in ("word", "text"):
            return
        following = self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        if token.kind == "word" and following.text in (":", "{", "<"):
            return
        found.values.append(self._take())
        if token.text == "-" and self._next.kind == "word":
            found.values = [Token("word", f"-{self._take().text}", token.offset)]
        while token.kind == "text" and self._next.kind == "text":
            self._take()
        found.end = end_of(self._tokens[self._at - 1])


def is_repeated(found: FieldDescriptor) -> bool:
    """Return whether a field may be set several times."""
    return found.name in repeated_fields(found.containing_type)
