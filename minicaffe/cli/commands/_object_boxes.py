"""Objects that a net finds in images: drawn as boxes, printed, and compared with true ones."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from minicaffe.analysis.detection import match_objects, precision_report, read_true_objects
from minicaffe.atomic_file import write_atomically
from minicaffe.cli.commands._image_names import png_names
from minicaffe.data.annotations.label_map import read_label_map
from minicaffe.data.image import Pixels, image_content, read_image
from minicaffe.data.preparation import find_images
from minicaffe.errors import DataError
from minicaffe.ops.backend import HostArray
from minicaffe.pictures.boxes import LabelledBox, draw_boxes
from minicaffe.prediction import FoundObjects, ImageModel


class ObjectDetector:
    """Draws the objects that a net finds.

    Parameters
    ----------
    model : ImageModel
    label_map : str
        A label map; empty: classes are numbered.
    least : float
        Smallest score of the objects that are shown.
    truth : str
        A folder with NAME.xml in PASCAL VOC's form for each image NAME, which needs a label map;
        empty: objects are not compared.
    """

    def __init__(
        self, model: ImageModel[FoundObjects], label_map: str, least: float, truth: str
    ) -> None:
        self._model, self._least, self._truth = model, least, truth
        items = read_label_map(label_map) if label_map else []
        self._labels = {item.name: item.label for item in items}
        self._names: Mapping[int, str] = {
            item.label: item.display_name or item.name for item in items
        }

    def draw(self, source: str, folder: str) -> None:
        """Draw the objects of an image, or of each image of a folder, and print them."""
        images = find_images([source])
        names = png_names(images, "OUTPUT")
        self._check_truth(images)
        output = Path(folder)
        output.mkdir(parents=True, exist_ok=True)
        matches: list[HostArray] = []
        for path, name in zip(images, names, strict=True):
            pixels = read_image(path)
            (found,) = self._model.predict([self._model.prepare(image_content(path), path)])
            self._show(output / name, pixels, found)
            if self._truth:
                matches.append(self._matches(path, pixels, found))
        if self._truth:
            for line in precision_report(np.concatenate(matches), self._names):
                print(line)

    def _show(self, path: Path, pixels: Pixels, found: FoundObjects) -> None:
        """Write the image with its boxes, and print them."""
        boxes = list(self._boxes(found))
        content = io.BytesIO()
        draw_boxes(pixels, boxes).save(content, "PNG")
        with write_atomically(path) as file:
            file.write(content.getvalue())
        print(path)
        for box in reversed(boxes):
            print(f"  {box.text}  {' '.join(f'{side:.0f}' for side in box.corners)}")

    def _boxes(self, found: FoundObjects) -> Iterator[LabelledBox]:
        """Yield the objects that are shown, by ascending score."""
        for row in found.above(self._least).tolist():
            label, score, left, top, right, bottom = row
            name = self._names.get(int(label), f"class {int(label)}")
            yield LabelledBox(int(label), f"{name} {score:.2f}", (left, top, right, bottom))

    def _truth_file(self, image: str) -> Path:
        return Path(self._truth) / f"{Path(image).stem}.xml"

    def _check_truth(self, images: Sequence[str]) -> None:
        """Raise a DataError unless each image has a file with its true objects."""
        missing = [path for path in map(self._truth_file, images) if not path.is_file()]
        if self._truth and missing:
            more = f" ({len(missing)} of {len(images)} files are missing)"
            raise DataError(
                f"{missing[0]}: no such file{more if len(missing) > 1 else ''}; --truth needs "
                "a file in PASCAL VOC's form for each image, with the image's name"
            )

    def _matches(self, image: str, pixels: Pixels, found: FoundObjects) -> HostArray:
        """Return the rows of an image for `precision_report`."""
        path, (rows, columns) = str(self._truth_file(image)), pixels.shape[1:]
        true = read_true_objects(path, (rows, columns), self._labels)
        moved = found.rows.astype(np.float64)
        moved[:, 2:] += 1 - found.first_pixel
        return match_objects(moved, true)
