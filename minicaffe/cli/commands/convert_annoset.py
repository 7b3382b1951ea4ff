r"""Write annotated images to a database for AnnotatedData layers.

LISTFILE has one line per image: its path below ROOTFOLDER, a space, and the path of the file with
its boxes (--anno_type=detection), or an integer label (--anno_type=classification). Boxes come from
XML of PASCAL VOC, JSON of COCO cut into a file for each image, or text: label xmin ymin xmax ymax.
The label map gives the labels of the names in XML and of the category numbers in JSON. Keys are the
8-digit line number, an underscore and the path of the image. Images and boxes that cannot be read
are skipped and counted. The same command continues a conversion that was interrupted.

Example:
  minicaffe convert_annoset --anno_type=detection --label_map_file=labelmap_voc.prototxt \
      --resize_height=300 --resize_width=300 VOCdevkit/ trainval.txt trainval_lmdb
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from minicaffe.cli.commands._image_conversion import (
    Conversion,
    ConversionFlags,
    Converted,
    Resizing,
    convert_images,
)
from minicaffe.cli.conversion_summary import end_conversion
from minicaffe.cli.flags import flag, positional
from minicaffe.data.annotations.annotated_datum import encode_annotated_datum
from minicaffe.data.annotations.annotation_files import read_boxes
from minicaffe.data.annotations.annotation_list import ListedAnnotation, read_annotation_list
from minicaffe.data.annotations.label_map import read_label_map
from minicaffe.data.annotations.object_box import AnnotationType
from minicaffe.data.records.image_list import ListedImage, read_image_list
from minicaffe.errors import UsageError
from minicaffe.log import logger
from minicaffe.random import RandomStream

E = TypeVar("E")

_NO_LABEL = -1  # of an image with boxes, as SSD writes it


class AnnosetFlags(ConversionFlags):
    """Flags of the command."""

    root: str = positional(metavar="ROOTFOLDER/", help="prefix of every path in the list")
    list_file: str = positional(metavar="LISTFILE", help="lines: path, space, annotation or label")
    database: str = positional(metavar="DB_NAME", help="database to create")
    anno_type: str = flag(
        choices=("classification", "detection"),
        default="classification",
        help="whether images have a label or boxes",
    )
    label_type: str = flag(
        choices=tuple(kind.value for kind in AnnotationType),
        default="xml",
        help="format of the files with boxes",
    )
    label_map_file: str = flag(metavar="FILE", help="prototxt with name and label of each class")
    check_label: bool = flag(help="fail if a name or a label occurs twice in the label map")
    min_dim: int = flag(default=0, help="enlarge images whose short side is below this")
    max_dim: int = flag(default=0, help="reduce images whose long side is above this")


@dataclass(frozen=True)
class AnnotationConversion:
    """Conversion of an image and its boxes to an AnnotatedDatum.

    Attributes
    ----------
    conversion : Conversion
    kind : AnnotationType
    labels : mapping
        By the names in the label map.
    """

    conversion: Conversion
    kind: AnnotationType
    labels: Mapping[str, int]

    def __call__(self, entry: ListedAnnotation) -> Converted:
        """Convert one image; raise DataError if it or its boxes cannot be read."""
        image = self.conversion.read(entry.name)
        _, height, width = image.shape
        path = self.conversion.path(entry.annotation)
        boxes = read_boxes(path, self.kind, (height, width), self.labels)
        converted = self.conversion.datum(entry.name, image, _NO_LABEL)
        value = encode_annotated_datum(converted.value, boxes)
        return converted._replace(value=value, boxes=tuple(box.label for box in boxes))


def run(flags: AnnosetFlags) -> int:
    """Convert."""
    resizing = flags.resizing()
    if flags.min_dim or flags.max_dim:
        resizing = Resizing(least=flags.min_dim, most=flags.max_dim)
    conversion = Conversion(
        flags.root,
        not flags.gray,
        resizing,
        flags.stores_files(),
        flags.encode_type,
        has_shape=True,
    )
    if flags.anno_type == "detection":
        labels = _labels(flags)
        convert_boxes = AnnotationConversion(conversion, _kind(flags), labels)
        annotated = _ordered(read_annotation_list(flags.list_file), flags)
        destination = flags.destination([" ".join(entry) for entry in annotated], labels)
        survey = convert_images(annotated, convert_boxes, destination, flags.root)
        end_conversion(survey, flags.database)
        return 0

    def convert(entry: ListedImage) -> Converted:
        converted = conversion.converted(entry.name, entry.label)
        return converted._replace(value=encode_annotated_datum(converted.value, None))

    entries = _ordered(list(read_image_list(flags.list_file)), flags)
    destination = flags.destination([f"{entry.name} {entry.label}" for entry in entries])
    survey = convert_images(entries, convert, destination, flags.root)
    end_conversion(survey, flags.database)
    return 0


def _kind(flags: AnnosetFlags) -> AnnotationType:
    return AnnotationType(flags.label_type)


def _labels(flags: AnnosetFlags) -> Mapping[str, int]:
    """Return the labels by name; text has none."""
    if not flags.label_map_file:
        if _kind(flags) is not AnnotationType.TXT:
            raise UsageError(
                f"--label_map_file is missing: --label_type={flags.label_type} gives names, not "
                "labels"
            )
        return {}
    items = read_label_map(flags.label_map_file, flags.check_label)
    return {item.name: item.label for item in items}


def _ordered(entries: list[E], flags: AnnosetFlags) -> list[E]:
    if flags.shuffle:
        logger.info("Shuffling data")
        RandomStream(0, "convert_annoset").generator().shuffle(entries)
    logger.info("A total of %d images.", len(entries))
    return entries
