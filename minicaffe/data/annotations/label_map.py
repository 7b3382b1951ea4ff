"""Label maps: prototxt files that name the classes of annotated images."""

from __future__ import annotations

from pathlib import Path

from minicaffe.errors import DataError, SchemaError
from minicaffe.schema import read_prototxt
from minicaffe.schema.forks_pb2 import LabelMap, LabelMapItem


def read_label_map(path: str | Path, is_unique: bool = False) -> list[LabelMapItem]:
    """Read a label map: `item { name: "dog" label: 2 display_name: "dog" }` for each class.

    Parameters
    ----------
    path : str or Path
    is_unique : bool
        Whether two items must not have the same name or label. Otherwise the last of a name counts.

    Raises
    ------
    DataError
        If the file cannot be read, an item lacks name or label, or one occurs twice.
    """
    try:
        parsed = read_prototxt(path, LabelMap)
    except SchemaError as error:
        raise DataError(
            f"{error}. A label map is a prototxt with an item for each class."
        ) from error
    items = list(parsed.message.item)
    if not items:
        raise DataError(f'{path}: the label map is empty; write item {{ name: "..." label: 1 }}')
    for item in items:
        if not (item.HasField("name") and item.HasField("label")):
            raise DataError(f"{path}: an item lacks its {'label' if item.name else 'name'}: {item}")
    if is_unique:
        for field in ("name", "label"):
            values = [getattr(item, field) for item in items]
            twice = {value for value in values if values.count(value) > 1}
            if twice:
                raise DataError(f"{path}: {field} {min(twice)!r} occurs more than once.")
    return items
