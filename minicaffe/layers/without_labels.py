"""What takes the place of layers that need labels, where a trained net is used."""

from __future__ import annotations

from minicaffe.schema import LayerParameter


def layer_without_labels(param: LayerParameter, kind: str) -> LayerParameter:
    """Return a layer of a type without settings, from the first bottom to the first top.

    "Power" copies, also in place; "Split" lets both blobs share the values.
    """
    return LayerParameter(name=param.name, type=kind, bottom=param.bottom[:1], top=param.top[:1])
