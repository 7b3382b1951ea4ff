"""Settings given as ``base_lr=0.001`` or ``net.layer[conv1].convolution_param.num_output=32``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from google.protobuf import text_encoding, text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from minicaffe.errors import UsageError, nearest
from minicaffe.schema.locations import repeated_fields, value_error
from minicaffe.schema.source_text import Token

# A field, and in brackets the index or name of one of its values.
_STEP = re.compile(r"(\w+)(?:\[(.*?)\](?=\.|$))?(?:\.|$)")
_NET = "net"
_WORD = re.compile(r"[\w.+-]+")


class FieldStep(NamedTuple):
    """A part of a path: a field, and which of its values if it is repeated."""

    name: str
    which: str | None


@dataclass(frozen=True)
class Override:
    """A field of a message and its value.

    Attributes
    ----------
    flag : str
        The words of the command line, as messages begin.
    path : tuple of FieldStep
    value : str
        As in a prototxt, text without quotes; several values of a repeated field are separated by
        commas.
    """

    flag: str
    path: tuple[FieldStep, ...]
    value: str

    @classmethod
    def of(cls, text: str, flag: str) -> Override:
        """Parse ``path=value``.

        Raises
        ------
        UsageError
            If the text has another form.
        """
        path, equals, value = text.partition("=")
        steps, end = [], 0
        while end < len(path) and (found := _STEP.match(path, end)):
            steps.append(FieldStep(found[1], found[2]))
            end = found.end()
        if not equals or not steps or end < len(path) or path.endswith("."):
            raise UsageError(
                f"{flag}: must be FIELD=VALUE, as base_lr=0.001 or "
                "net.layer[conv1].convolution_param.num_output=32"
            )
        return cls(flag, tuple(steps), value)

    @property
    def is_of_net(self) -> bool:
        """Whether the path begins with ``net.``, so that it leads into the nets of a solver."""
        return self.path[0] == (_NET, None) and len(self.path) > 1

    def inside_net(self) -> Override:
        """Return the override with the path inside a net."""
        return Override(self.flag, self.path[1:], self.value)

    def set_in(self, message: Message) -> int:
        """Set the field in all places that the path selects; return their number.

        It is 0 only if the message has no layer of that name.

        Raises
        ------
        UsageError
            If the message has no such field, or the field does not take the value.
        """
        places = [message]
        for step in self.path[:-1]:
            places = [inner for place in places for inner in self._inner(place, step)]
        for place in places:
            self._set(place, self.path[-1])
        return len(places)

    def _field(self, message: Message, name: str) -> FieldDescriptor:
        fields = cast(Descriptor, message.DESCRIPTOR).fields_by_name
        if name not in fields:
            homes = [
                f"{field.name}.{name}"
                for field, _ in message.ListFields()
                if field.message_type is not None and name in field.message_type.fields_by_name
            ]
            kind = message.DESCRIPTOR.name
            advice = f"Write {' or '.join(homes)}." if homes else nearest(name, fields)
            raise UsageError(f'{self.flag}: message "{kind}" has no field "{name}". {advice}')
        return fields[name]

    def _inner(self, message: Message, step: FieldStep) -> Sequence[Message]:
        """Return the messages inside a message that a step of the path selects."""
        field = self._field(message, step.name)
        if field.message_type is None:
            raise UsageError(f'{self.flag}: "{step.name}" is no block, so no field is in it.')
        value = getattr(message, step.name)
        if step.name not in repeated_fields(cast(Descriptor, message.DESCRIPTOR)):
            self._refuse_index(step)
            return [value]
        if step.which is None:
            raise UsageError(
                f'{self.flag}: "{step.name}" occurs several times; say which: {step.name}[0]'
            )
        named = [entry for entry in value if getattr(entry, "name", None) == step.which]
        if named or (step.name == "layer" and not step.which.isdecimal()):
            return named
        k = self._number(step, len(value), may_append=step.name != "layer")
        return [value[k] if k < len(value) else value.add()]

    def _set(self, message: Message, step: FieldStep) -> None:
        """Set the last field of the path."""
        field = self._field(message, step.name)
        if field.message_type is not None:
            raise UsageError(
                f'{self.flag}: "{step.name}" is a block. Set a field of it, such as '
                f"{step.name}.{next(iter(field.message_type.fields_by_name))}"
            )
        if step.name not in repeated_fields(cast(Descriptor, message.DESCRIPTOR)):
            self._refuse_index(step)
            setattr(message, step.name, self._parsed(message, field, self.value))
            return
        values = getattr(message, step.name)
        if step.which is None:
            words = self.value.split(",") if self.value else []
            values[:] = [self._parsed(message, field, word.strip())[0] for word in words]
            return
        k = self._number(step, len(values), may_append=True)
        values[k:] = [*self._parsed(message, field, self.value), *values[k + 1 :]]

    def _refuse_index(self, step: FieldStep) -> None:
        if step.which is not None:
            raise UsageError(f'{self.flag}: "{step.name}" has one value. Remove [{step.which}]')

    def _number(self, step: FieldStep, n: int, may_append: bool) -> int:
        """Return the index of a step; the one after the last of n values may append one."""
        text = step.which or ""
        most = n if may_append else n - 1
        if text.isdecimal() and int(text) <= most:
            return int(text)
        raise UsageError(
            f'{self.flag}: "{step.name}" has {n} values here; [{text}] must be a number from 0 to '
            f"{most}"
        )

    # Any: the type depends on the field; of a repeated field, it is a list of one value.
    def _parsed(self, message: Message, field: FieldDescriptor, word: str) -> Any:
        is_text = field.cpp_type == FieldDescriptor.CPPTYPE_STRING
        literal = f'"{text_encoding.CEscape(word.encode(), False)}"' if is_text else word
        parsed = type(message)()
        try:
            if not is_text and not _WORD.fullmatch(word):
                raise text_format.ParseError
            text_format.Parse(f"{field.name}: {literal}", parsed)
        except text_format.ParseError:
            problem = value_error(field, Token("word", word or "nothing", 0))
            raise UsageError(f"{self.flag}: {problem}") from None
        return getattr(parsed, field.name)


@dataclass(frozen=True)
class Overrides:
    """The overrides of a training.

    Attributes
    ----------
    settings : tuple of Override
        In their order: later ones replace earlier ones.
    batch_size : Override or None
        The batch size of the data layers of the training net.
    """

    settings: tuple[Override, ...] = ()
    batch_size: Override | None = None

    @property
    def of_nets(self) -> Iterator[Override]:
        """Those of the nets, with the path inside a net."""
        return (override.inside_net() for override in self.settings if override.is_of_net)

    def apply_to_solver(self, param: Message) -> None:
        """Set the fields of a solver."""
        for override in self.settings:
            if not override.is_of_net:
                override.set_in(param)

    def apply_to_net(self, param: Message) -> None:
        """Set the fields of a net of the solver; layers of other nets are left out."""
        for override in self.of_nets:
            override.set_in(param)

    def flag_of(self, field: str) -> str:
        """Return the words that set a field of the solver; "" if none do."""
        flags = [o.flag for o in self.settings if not o.is_of_net and o.path[0].name == field]
        return flags[-1] if flags else ""
