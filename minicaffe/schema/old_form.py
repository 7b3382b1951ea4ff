"""Hints for fields and types of the new form, `layer`, inside the old one, `layers`."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor

from minicaffe.schema.minicaffe_pb2 import LayerParameter, V1LayerParameter

_FIELDS = frozenset(LayerParameter.DESCRIPTOR.fields_by_name)


def old_form_hint(descriptor: Descriptor, field: str) -> str:
    """Return ". " and a hint for a field that exists in `layer` but not in `layers`, else ""."""
    if descriptor.full_name != V1LayerParameter.DESCRIPTOR.full_name or field not in _FIELDS:
        return ""
    rates = ", rates are blobs_lr and weight_decay" if field == "param" else ""
    return (
        f". `layers` is the old form of a layer: it has no {field} {{ }}{rates}. Write `layer` "
        'instead, with the type in quotes, such as type: "Input"'
    )


def old_type_hint(name: str) -> str:
    """Return a hint for a type in `layers` that the old form does not know, followed by " "."""
    words = {
        "".join(stem.split("_")): "".join(part.capitalize() for part in stem.split("_"))
        for stem in (field.removesuffix("_param") for field in _FIELDS if field.endswith("_param"))
    }
    new = words.get(name.replace("_", "").lower(), name)
    return f'`layers` is the old form; newer types need `layer {{ type: "{new}" ... }}`. '
