"""Readers of files with the boxes of one image: VOC XML, COCO JSON and text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from xml.etree import ElementTree

from minicaffe.data.annotations.object_box import AnnotationType, ObjectBox, scaled, unusual_box
from minicaffe.errors import DataError, SchemaError, nearest
from minicaffe.log import logger
from minicaffe.text_file import read_text

_COLUMNS = 5  # of a line of text


class _Source(NamedTuple):
    """A file with boxes: its path and text, rows and columns of the image, labels by name."""

    path: str
    text: str
    height: int
    width: int
    labels: Mapping[str, int]

    def label(self, name: str) -> int:
        if name not in self.labels:
            # Not a DataError, for which a converter would go on with the next image.
            raise SchemaError(
                f'{self.path}: the class "{name}" has no item in the label map. '
                f"{nearest(name, self.labels)}"
            )
        return self.labels[name]

    def size(self, height: str | int | None, width: str | int | None) -> tuple[int, int]:
        """Return the size that the file gives, or that of the image; warn if they differ."""
        given = int(height or 0), int(width or 0)
        if given == (self.height, self.width):
            return given
        known = min(given) > 0
        logger.warning(
            f"{self.path}: inconsistent image size: {given[0]} x {given[1]} (rows x columns), the "
            f"image has {self.height} x {self.width}; using {'the former' if known else 'these'}."
        )
        return given if known else (self.height, self.width)


def read_boxes(
    path: str, kind: AnnotationType, image_size: tuple[int, int], labels: Mapping[str, int]
) -> list[ObjectBox]:
    """Read the boxes of an image.

    Parameters
    ----------
    path : str
    kind : AnnotationType
        XML: PASCAL VOC's objects. JSON: an image and its annotations, as SSD's tools cut COCO's
        file into. TXT: lines of label, xmin, ymin, xmax, ymax. All are pixels; XML and JSON give
        the size of the image as well.
    image_size : tuple of int
        Rows and columns of the image file.
    labels : mapping
        Labels by the names of XML, and by the category numbers of JSON.

    Raises
    ------
    DataError
        If the file cannot be read.
    SchemaError
        If a class has no label.
    """
    reader, rule = _READERS[kind]
    source = _Source(path, read_text(path, "the annotation", rule=rule), *image_size, labels)
    try:
        boxes = list(reader(source))
    except (SyntaxError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: the boxes cannot be read ({type(error).__name__}: {error}); {rule}"
        ) from error
    for box in boxes:
        if unusual := unusual_box(box.sides):
            logger.warning("%s: %s.", path, unusual)
    return boxes


def _xml(source: _Source) -> Iterator[ObjectBox]:
    root = ElementTree.fromstring(source.text)
    height, width = source.size(root.findtext("size/height"), root.findtext("size/width"))
    for found in root.iterfind("object"):
        label = source.label((found.findtext("name") or "").strip())
        sides = [float(found.findtext(f"bndbox/{name}", "missing")) for name in _SIDES]
        is_difficult = (found.findtext("difficult") or "0").strip() not in ("0", "")
        yield ObjectBox(label, scaled(sides, width, height), is_difficult)


_SIDES = ("xmin", "ymin", "xmax", "ymax")


def _json(source: _Source) -> Iterator[ObjectBox]:
    content = json.loads(source.text)
    height, width = source.size(content["image"]["height"], content["image"]["width"])
    for found in content["annotation"]:
        left, top, columns, rows = map(float, found["bbox"])
        sides = scaled((left, top, left + columns, top + rows), width, height)
        yield ObjectBox(source.label(str(found["category_id"])), sides, bool(found["iscrowd"]))


def _txt(source: _Source) -> Iterator[ObjectBox]:
    for line in filter(None, map(str.split, source.text.split("\n"))):
        if len(line) != _COLUMNS:
            raise ValueError(f"{len(line)} numbers in a line")
        yield ObjectBox(int(line[0]), scaled([*map(float, line[1:])], source.width, source.height))


_READERS: Mapping[AnnotationType, tuple[Callable[[_Source], Iterator[ObjectBox]], str]] = {
    AnnotationType.XML: (_xml, "an XML file has PASCAL VOC's size, object, name and bndbox"),
    AnnotationType.JSON: (
        _json,
        'a JSON file has "image" with height and width, and "annotation", a list of bbox [x, y, '
        "width, height], category_id and iscrowd",
    ),
    AnnotationType.TXT: (_txt, "a line of a text file is label xmin ymin xmax ymax, in pixels"),
}
