"""What can be written at a place of a prototxt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from google.protobuf.descriptor import FieldDescriptor

from minicaffe.editor.known_values import (
    blobs_before,
    is_path,
    names_of,
    types_of_forks,
)
from minicaffe.editor.manual import comment_of, field_summary, layer_page, name_in_schema
from minicaffe.editor.outline import OutlineBlock, Place, PrototxtOutline, content_span, is_repeated
from minicaffe.editor.paths import paths_that_begin_with
from minicaffe.layers import LAYERS
from minicaffe.schema.without_effect import is_without_effect

Kind = Literal["field", "block", "value", "type", "blob", "file", "folder"]
# Fields of forks have numbers from this one on, those of minicaffe from 2000 on.
_FORKS = range(1000, 2000)
# The place of a field in the list.
_OF_THE_TYPE, _USUAL, _OF_A_FORK, _OF_OTHER_TYPES, _OLD = range(5)
_OLD_FIELDS = {
    *("NetParameter.layers", "NetParameter.input", "NetParameter.input_shape"),
    *("NetParameter.input_dim", "SolverParameter.solver_type", "LayerParameter.blobs"),
}


@dataclass(frozen=True)
class Completion:
    """One proposal.

    Attributes
    ----------
    label : str
        What the list shows, and what the written text is compared with.
    kind : str
    text : str
        What is written; "$0" marks the place of the cursor.
    detail : str
        Type and default, or a summary.
    documentation : str
        Markdown.
    rank : int
        Small ones come first; those of one rank are in the order of the list.
    is_outdated : bool
        Whether it has no effect, or is old.
    """

    label: str
    kind: Kind
    text: str
    detail: str = ""
    documentation: str = ""
    rank: int = 0
    is_outdated: bool = False


@dataclass(frozen=True)
class Proposals:
    """Proposals for a place, and the part of the text that they replace: a range of offsets."""

    start: int
    end: int
    items: Sequence[Completion]


def complete_at(outline: PrototxtOutline, offset: int, folders: Sequence[Path] = ()) -> Proposals:
    """Return what can be written at an offset.

    Parameters
    ----------
    outline : PrototxtOutline
    offset : int
    folders : sequence of Path
        Where relative paths of files may begin.
    """
    place = outline.place(offset)
    if place is None:
        return Proposals(offset, offset, ())
    if not place.is_value:
        start, end = (offset, offset) if place.token is None else content_span(place.token)
        return Proposals(start, end, list(_fields(place, _has_value(place))))
    return _values(outline, place, offset, folders)


def _has_value(place: Place) -> bool:
    return place.field is not None and (place.field.has_colon or place.field.block is not None)


def _fields(place: Place, is_complete: bool) -> Iterator[Completion]:
    """Yield the fields of a block that it has not, or may have again."""
    block = place.block
    if block.descriptor is None:
        return
    given = {found.name.text for found in block.fields if found is not place.field}
    for field in block.descriptor.fields:
        if is_repeated(field) or field.name not in given:
            rank = _rank(field, block)
            yield Completion(
                field.name,
                "field" if field.message_type is None else "block",
                field.name if is_complete else _field_text(field),
                field_summary(field),
                comment_of(field),
                rank,
                is_outdated=rank == _OLD,
            )


def _field_text(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        return f"{field.name} {{\n  $0\n}}"
    is_text = field.cpp_type == FieldDescriptor.CPPTYPE_STRING
    return f'{field.name}: "$0"' if is_text else f"{field.name}: $0"


def _rank(field: FieldDescriptor, block: OutlineBlock) -> int:
    """Return the place of a field in the list."""
    name = name_in_schema(field)
    if is_without_effect(field) or name in _OLD_FIELDS:
        return _OLD
    if name.startswith("LayerParameter.") and name.endswith("_param"):
        layer = LAYERS.get(block.text("type"))
        if layer is not None:
            is_read = field.name in (layer.param_field, *layer.shared_fields)
            return _OF_THE_TYPE if is_read else _OF_OTHER_TYPES
    return _OF_A_FORK if field.number in _FORKS else _USUAL


def _values(
    outline: PrototxtOutline, place: Place, offset: int, folders: Sequence[Path]
) -> Proposals:
    field = place.field.descriptor if place.field is not None else None
    if field is None or field.message_type is not None:
        return Proposals(offset, offset, ())
    start, end = (offset, offset) if place.token is None else content_span(place.token)
    before, after = "", ""
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        if start == 0 or outline.text[start - 1] not in "\"'":
            before = after = '"'
        elif outline.text[end : end + 1] not in ('"', "'"):
            # The quotation mark is open: the rest of the line is no part of the value.
            end, after = offset, outline.text[start - 1]
    written = outline.text[start:offset]
    items = _values_of(field, place.block, written, folders)
    if before or after:
        items = [Completion(i.label, i.kind, f"{before}{i.text}{after}", *_rest(i)) for i in items]
    return Proposals(start, max(end, offset), list(items))


def _rest(item: Completion) -> tuple[str, str, int, bool]:
    return item.detail, item.documentation, item.rank, item.is_outdated


def _values_of(
    field: FieldDescriptor, block: OutlineBlock, written: str, folders: Sequence[Path]
) -> Sequence[Completion]:
    """Return the values of a field without quotation marks."""
    name = name_in_schema(field)
    if field.enum_type is not None:
        comments = {v.name: comment_of(field.enum_type, v.name) for v in field.enum_type.values}
        return [Completion(word, "value", word, "", text) for word, text in comments.items()]
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return [Completion(word, "value", word) for word in ("true", "false")]
    if name in ("LayerParameter.bottom", "V1LayerParameter.bottom"):
        return [Completion(blob, "blob", blob) for blob in blobs_before(block)]
    if name in ("LayerParameter.top", "V1LayerParameter.top"):
        names = dict.fromkeys([block.text("name"), *block.texts("bottom")])
        return [Completion(top, "blob", top) for top in names if top]
    if name == "LayerParameter.type":
        return [
            Completion(kind, "type", kind, summary, layer_page(kind), int(kind in types_of_forks()))
            for kind, summary in names_of(name).items()
        ]
    if is_path(name):
        paths = paths_that_begin_with(written, folders)
        return [Completion(p, "folder" if d else "file", p) for p, d in paths.items()]
    return [Completion(word, "value", word, line) for word, line in names_of(name).items()]
