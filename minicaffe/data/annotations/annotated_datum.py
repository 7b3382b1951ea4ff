"""Encoding and decoding of AnnotatedDatum, the record of SSD's databases."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from minicaffe.data.annotations.object_box import ObjectBox
from minicaffe.data.datum import Bytes, StoredImage, stored_image
from minicaffe.errors import DataError
from minicaffe.schema.forks_pb2 import AnnotatedDatum, AnnotationGroup, NormalizedBBox
from minicaffe.schema.minicaffe_pb2 import Datum

Floats = NDArray[np.float32]
# The columns of arrays of objects. Sides are in units of the image's width and height.
OBJECT_COLUMNS = ("label", "instance", "xmin", "ymin", "xmax", "ymax", "difficult")


def encode_annotated_datum(datum: bytes, boxes: Iterable[ObjectBox] | None) -> bytes:
    """Return the bytes of an AnnotatedDatum.

    Parameters
    ----------
    datum : bytes
        A Datum with the image.
    boxes : iterable of ObjectBox, or None
        Those of one label become a group, in the order in which labels come first. None for an
        image with the label of its Datum alone.
    """
    record = AnnotatedDatum(datum=Datum.FromString(datum))
    if boxes is None:
        return record.SerializeToString()
    record.type = AnnotatedDatum.BBOX
    groups: dict[int, AnnotationGroup] = {}
    for box in boxes:
        if box.label not in groups:
            groups[box.label] = record.annotation_group.add(group_label=box.label)
        group = groups[box.label]
        annotation = group.annotation.add(instance_id=len(group.annotation))
        sides = annotation.bbox
        sides.xmin, sides.ymin, sides.xmax, sides.ymax = box.sides
        sides.difficult = box.is_difficult
    return record.SerializeToString()


def read_annotated_datum(value: Bytes, where: object) -> tuple[StoredImage, Floats | None]:
    """Parse a record.

    Returns
    -------
    image : StoredImage
    objects : ndarray, float32, (n, 7), or None
        None if the image has the label of its Datum alone.

    Raises
    ------
    DataError
        If the bytes are no AnnotatedDatum; the ``str`` of `where` names database and key.
    """
    try:
        record = AnnotatedDatum.FromString(bytes(value))
    except DecodeError as error:
        raise DataError(_wrong_record(len(value), where)) from error
    if not record.HasField("datum"):
        raise DataError(_wrong_record(len(value), where))
    if not record.HasField("type"):
        return stored_image(record.datum), None
    rows = [
        (group.group_label, annotation.instance_id, *_sides(annotation.bbox))
        for group in record.annotation_group
        for annotation in group.annotation
    ]
    return stored_image(record.datum), np.array(rows, np.float32).reshape(-1, len(OBJECT_COLUMNS))


def _sides(box: NormalizedBBox) -> tuple[float, float, float, float, bool]:
    return box.xmin, box.ymin, box.xmax, box.ymax, box.difficult


def _wrong_record(size: int, where: object) -> str:
    return (
        f"{where}: {size} bytes that are not an AnnotatedDatum; AnnotatedData layers read "
        "databases with boxes. Write one with convert_annoset --anno_type=detection."
    )
