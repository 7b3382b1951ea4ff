"""Detection of objects by a net with a DetectionOutput layer, drawn as boxes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from minicaffe.atomic_file import write_atomically
from minicaffe.cli.commands._image_names import png_names
from minicaffe.cli.options.preprocessing import PreprocessingArguments
from minicaffe.data.annotations.label_map import read_label_map
from minicaffe.data.image import read_image
from minicaffe.data.preparation import find_images
from minicaffe.errors import NetError
from minicaffe.ops.backend import HostArray
from minicaffe.pictures.boxes import LabelledBox, draw_boxes
from minicaffe.pycaffe.classifier import Preprocessing, PreprocessingNet

_COLUMNS = 7  # image, class, score, xmin, ymin, xmax, ymax


class ObjectDetector:
    """A net that lists the objects of an image, and the names of their classes.

    Parameters
    ----------
    model, weights : str
        The deploy net and its weights.
    preprocessing : PreprocessingArguments
    label_map : str
        A label map; empty: classes are numbered.
    least : float
        Smallest score of the objects that are shown.

    Raises
    ------
    NetError
        If the net has other inputs than one for images, or another output.
    """

    def __init__(
        self,
        model: str,
        weights: str,
        preprocessing: PreprocessingArguments,
        label_map: str,
        least: float,
    ) -> None:
        self._net = PreprocessingNet(model, weights, Preprocessing(**preprocessing))
        self._names = _class_names(label_map) if label_map else {}
        self._least = least
        shapes = [[self._net.blobs[name].shape for name in names] for names in self._ends()]
        if [[len(shape) for shape in end] for end in shapes] != [[4], [4]] or (
            shapes[1][0][3] != _COLUMNS
        ):
            found = " and ".join(str([tuple(shape) for shape in end]) for end in shapes)
            raise NetError(
                f"{model}: needs one input for images, and one output of {_COLUMNS} columns, as "
                f"DetectionOutput has; the shapes are {found}"
            )

    def _ends(self) -> tuple[list[str], list[str]]:
        return list(self._net.inputs), list(self._net.outputs)

    def draw(self, source: str, folder: str) -> None:
        """Draw the objects of an image, or of each image of a folder, and print them."""
        images = find_images([source])
        names = png_names(images, "OUTPUT")
        output = Path(folder)
        output.mkdir(parents=True, exist_ok=True)
        for path, name in zip(images, names, strict=True):
            pixels = read_image(path)
            boxes = list(self._boxes(path, pixels.shape[1:]))
            content = io.BytesIO()
            draw_boxes(pixels, boxes).save(content, "PNG")
            with write_atomically(output / name) as file:
                file.write(content.getvalue())
            print(output / name)
            for box in reversed(boxes):
                print(f"  {box.text}  {' '.join(f'{side:.0f}' for side in box.corners)}")

    def _boxes(self, path: str, size: tuple[int, ...]) -> Iterator[LabelledBox]:
        """Yield the objects of an image of `size` (rows, columns), by ascending score."""
        rows = self._rows(path)
        rows = rows[(rows[:, 1] >= 0) & (rows[:, 2] >= self._least)]
        for row in rows[np.argsort(rows[:, 2], kind="stable")].tolist():
            _, label, score, *corners = row
            left, top, right, bottom = np.multiply(corners, (size[1], size[0]) * 2).tolist()
            name = self._names.get(int(label), f"class {int(label)}")
            yield LabelledBox(int(label), f"{name} {score:.2f}", (left, top, right, bottom))

    def _rows(self, path: str) -> HostArray:
        """Return the rows of the net's output for an image, (M, 7)."""
        net, in_ = self._net, self._net.inputs[0]
        _, channels, height, width = net.blobs[in_].shape
        image = read_image(path, channels == 3, height, width)[::-1].transpose(1, 2, 0)
        net.blobs[in_].reshape(1, channels, height, width)
        net.blobs[in_].data[...] = net.transformer.preprocess(in_, image / np.float32(255))
        return np.array(net.forward()[net.outputs[0]][0, 0])


def _class_names(path: str) -> Mapping[int, str]:
    """Return the names by class that a label map displays."""
    return {item.label: item.display_name or item.name for item in read_label_map(path)}
