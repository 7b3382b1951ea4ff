"""Where blobs are made and files lie, and the layers of a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from minicaffe.editor.known_values import is_path
from minicaffe.editor.outline import OutlineBlock, PrototxtOutline, content_of, content_span, end_of


class Symbol(NamedTuple):
    """A layer or a setting of a solver, with ranges of offsets: all of it, and its name."""

    name: str
    detail: str
    start: int
    end: int
    name_start: int
    name_end: int


def definitions_at(outline: PrototxtOutline, offset: int) -> list[tuple[int, int]]:
    """Return the tops that make the blob at an offset: ranges of offsets.

    There are several if layers of different phases make it. Layers that compute it in place do not
    count.
    """
    place = outline.place(offset)
    if place is None or not place.is_value or place.token is None or place.field is None:
        return []
    if place.field.name.text not in ("bottom", "top") or place.block.parent is None:
        return []
    name = content_of(place.token)
    found: list[tuple[int, int]] = []
    for layer in place.block.parent.layer_blocks():
        if name not in layer.texts("bottom"):
            found += _values_named(layer, "top", name)
    inputs = _values_named(place.block.parent, "input", name)
    return inputs + found


def _values_named(block: OutlineBlock, field: str, value: str) -> list[tuple[int, int]]:
    tokens = [token for found in block.named(field) for token in found.values]
    return [content_span(token) for token in tokens if content_of(token) == value]


def file_at(outline: PrototxtOutline, offset: int, folders: Sequence[Path]) -> Path | None:
    """Return the file that the value at an offset names; None if there is none."""
    place = outline.place(offset)
    if place is None or place.token is None or place.field is None or not place.is_value:
        return None
    if place.block.descriptor is None or not is_path(place.field.name.text):
        return None
    paths = (folder / content_of(place.token) for folder in folders)
    return next((path for path in paths if path.is_file()), None)


def symbols_of(outline: PrototxtOutline) -> Iterator[Symbol]:
    """Yield the layers of a net, or the fields of a solver or a label map."""
    for found in outline.root.fields:
        block = found.block
        end = min(block.end + 1, len(outline.text)) if block is not None else found.end
        if block is None or found.name.text not in ("layer", "layers"):
            span = found.name.offset, end_of(found.name)
            yield Symbol(found.name.text, found.text, found.name.offset, end, *span)
            continue
        named = block.named("name")
        if named and named[0].values and content_of(named[0].values[0]):
            span = content_span(named[0].values[0])
        else:
            span = found.name.offset, end_of(found.name)
        rules = [rule.block for rule in block.named("include") if rule.block is not None]
        phases = " ".join(word for rule in rules for word in rule.texts("phase"))
        detail = " ".join(filter(None, (block.text("type"), phases)))
        yield Symbol(block.text("name") or "(no name)", detail, found.name.offset, end, *span)
