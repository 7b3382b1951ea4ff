#!/usr/bin/env python3
"""Write scenes with several objects of this folder's images, with boxes and masks, as PASCAL VOC.

    python data/fashion-mnist/write_scenes.py [FOLDER] [--train 3000] [--test 200] [--size 300]

FOLDER (default: the folder "scenes" beside this script) receives, as in a VOC devkit,

    JPEGImages/NAME.jpg         the scenes: two to five objects, coloured, on textured backgrounds
    Annotations/NAME.xml        boxes; corners are pixels counted from 1, the last one included
    SegmentationClass/NAME.png  the class of each pixel, with a palette
    ImageSets/Main/PART.txt     the names of a part, train or test

and lists for the data layers and the converters of Caffe's forks:

    PART_boxes.txt              path of the scene, path of its boxes
    PART_masks.txt              path of the scene, path of its mask
    PART_name_size.txt          name, rows, columns
    labelmap.prototxt           names and numbers of the classes
    classes.txt                 one class a line, the background first

Paths are below FOLDER. The same arguments give the same files.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from minicaffe.data.idx import read_set
from minicaffe.pictures.palette import class_palette

NAMES = ("tshirt", "trouser", "pullover", "dress", "coat")
NAMES += ("sandal", "shirt", "sneaker", "bag", "boot")
DEFAULT_CLASSES = ("tshirt", "trouser", "pullover", "sandal", "bag", "boot")
PREFIXES = {"train": "train", "test": "t10k"}
FEWEST_OBJECTS, MOST_OBJECTS = 2, 5
SMALLEST, LARGEST = 0.2, 0.55  # sides of objects, as shares of the scene's
MOST_COVERED = 0.1  # share of a box that another one may cover
TRIALS = 20  # places tried for an object
DARKEST_LIGHT, LIGHTEST_DARK = 170, 90
INK = 24  # grey values of pixels that belong to an object
JPEG_QUALITY = 92


@dataclass(frozen=True)
class Thing:
    """An object in a scene: its class from 1, and its box, left, top, right, bottom, pixels."""

    label: int
    box: tuple[int, int, int, int]


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a texture, float, shape (size, size, 3): patches of colour, stripes, noise."""
    cells = int(rng.integers(2, 9))
    patches = Image.fromarray(rng.integers(40, 200, (cells, cells, 3), np.uint8))
    texture = np.asarray(patches.resize((size, size), Image.Resampling.BICUBIC)).astype(float)
    y, x = np.mgrid[:size, :size] / size
    for _ in range(int(rng.integers(0, 3))):
        across, down = rng.uniform(-25, 25, 2)
        wave = np.sin(2 * np.pi * (across * x + down * y + rng.uniform()))
        texture += wave[..., None] * rng.uniform(-25, 25, 3)
    return texture + rng.normal(0, rng.uniform(2, 10), texture.shape)


def cut_out(image: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an object, grey 0 to 1, and its mask, bool, at a larger size and without margins.

    Holes inside the object belong to it; a pixel outside is reached from the corner.
    """
    ink = Image.fromarray(np.pad((image >= INK).astype(np.uint8) * 255, 1)).copy()
    ImageDraw.floodfill(ink, (0, 0), 128)
    solid = Image.fromarray((np.asarray(ink)[1:-1, 1:-1] != 128).astype(np.uint8) * 255)
    mask = np.asarray(solid.resize((side, side), Image.Resampling.BILINEAR)) >= 128
    grey = Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    inside = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.asarray(grey)[inside] / 255, mask[inside]


def covers(box: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Return whether a box covers too much of another one, or the other way round."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
    return max(width, 0) * max(height, 0) > MOST_COVERED * min(areas)


class SceneWriter:
    """Draws scenes of the images of a part.

    Parameters
    ----------
    images : ndarray, uint8, shape (n, rows, columns)
    labels : ndarray, shape (n,)
        Classes of the scenes, from 1.
    size : int
        Rows and columns of the scenes.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, size: int) -> None:
        self.images, self.labels, self.size = images, labels, size

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[Thing]]:
        """Return a scene (size, size, 3), its mask (size, size), both uint8, and its objects."""
        scene = background(rng, self.size)
        mask = np.zeros((self.size, self.size), np.uint8)
        things: list[Thing] = []
        for _ in range(int(rng.integers(FEWEST_OBJECTS, MOST_OBJECTS + 1))):
            number = int(rng.integers(len(self.images)))
            share = SMALLEST * (LARGEST / SMALLEST) ** rng.uniform()
            image = self.images[number][:, :: int(rng.choice((1, -1)))]
            grey, shape = cut_out(image, max(8, round(share * self.size)))
            box = self._place(rng, shape.shape, [thing.box for thing in things])
            if box is None:
                continue
            part = np.s_[box[1] : box[3], box[0] : box[2]]
            dark = rng.integers(0, LIGHTEST_DARK + 1, 3)
            light = rng.integers(DARKEST_LIGHT, 256, 3)
            colour = dark + (light - dark) * grey[..., None]
            scene[part] = np.where(shape[..., None], colour, scene[part])
            mask[part] = np.where(shape, self.labels[number], mask[part])
            things.append(Thing(int(self.labels[number]), box))
        return scene.clip(0, 255).astype(np.uint8), mask, things

    def _place(
        self, rng: np.random.Generator, shape: tuple[int, ...], taken: list[tuple[int, ...]]
    ) -> tuple[int, int, int, int] | None:
        height, width = shape
        for _ in range(TRIALS):
            left = int(rng.integers(self.size - width + 1))
            top = int(rng.integers(self.size - height + 1))
            box = left, top, left + width, top + height
            if not any(covers(box, other) for other in taken):
                return box
        return None


def annotation(name: str, size: int, things: list[Thing], classes: list[str]) -> str:
    """Return VOC's XML of a scene."""
    lines = ["<annotation>", f"\t<filename>{name}.jpg</filename>", "\t<size>"]
    lines += [f"\t\t<{side}>{size}</{side}>" for side in ("width", "height")]
    lines += ["\t\t<depth>3</depth>", "\t</size>", "\t<segmented>1</segmented>"]
    for thing in things:
        left, top, right, bottom = thing.box
        corners = {"xmin": left + 1, "ymin": top + 1, "xmax": right, "ymax": bottom}
        lines += ["\t<object>", f"\t\t<name>{classes[thing.label]}</name>"]
        lines += ["\t\t<truncated>0</truncated>", "\t\t<difficult>0</difficult>", "\t\t<bndbox>"]
        lines += [f"\t\t\t<{corner}>{value}</{corner}>" for corner, value in corners.items()]
        lines += ["\t\t</bndbox>", "\t</object>"]
    return "\n".join([*lines, "</annotation>", ""])


def label_map(classes: list[str]) -> Iterator[str]:
    """Yield the items of a label map, as SSD's scripts write them."""
    for label, name in enumerate(classes):
        plain = name if label else "none_of_the_above"
        yield f'item {{\n  name: "{plain}"\n  label: {label}\n  display_name: "{name}"\n}}\n'


def write_part(folder: Path, part: str, writer: SceneWriter, classes: list[str], n: int) -> None:
    """Write n scenes of a part, and its lists."""
    names = [f"{part}_{index:05}" for index in range(n)]
    for index, name in enumerate(names):
        scene, mask, things = writer.draw(
            np.random.default_rng([list(PREFIXES).index(part), index])
        )
        Image.fromarray(scene).save(folder / f"JPEGImages/{name}.jpg", quality=JPEG_QUALITY)
        labels = Image.fromarray(mask, "P")
        labels.putpalette(class_palette().tobytes())
        labels.save(folder / f"SegmentationClass/{name}.png")
        text = annotation(name, writer.size, things, classes)
        (folder / f"Annotations/{name}.xml").write_text(text)
    lists = {
        f"ImageSets/Main/{part}.txt": "{0}\n",
        f"{part}_boxes.txt": "JPEGImages/{0}.jpg Annotations/{0}.xml\n",
        f"{part}_masks.txt": "JPEGImages/{0}.jpg SegmentationClass/{0}.png\n",
        f"{part}_name_size.txt": f"{{0}} {writer.size} {writer.size}\n",
    }
    for path, line in lists.items():
        (folder / path).write_text("".join(line.format(name) for name in names))
    print(f"{folder}: {n} scenes for {part}ing")


def main() -> None:
    """Write both parts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    default = Path(__file__).with_name("scenes")
    parser.add_argument("folder", nargs="?", type=Path, default=default)
    parser.add_argument("--train", type=int, default=3000, help="scenes to train with")
    parser.add_argument("--test", type=int, default=200, help="scenes to test with")
    parser.add_argument("--size", type=int, default=300, help="rows and columns of a scene")
    parser.add_argument(
        "--classes", nargs="+", choices=NAMES, default=DEFAULT_CLASSES, help="kinds of objects"
    )
    options = parser.parse_args()
    for name in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Main"):
        (options.folder / name).mkdir(parents=True, exist_ok=True)
    classes = ["background", *options.classes]
    numbers = [NAMES.index(name) for name in options.classes]
    for part, prefix in PREFIXES.items():
        kinds = ("images-idx3-ubyte.gz", "labels-idx1-ubyte.gz")
        images, labels = read_set(*(Path(__file__).with_name(f"{prefix}-{k}") for k in kinds))
        chosen = np.isin(labels, numbers)
        scene_labels = np.array([numbers.index(label) + 1 for label in labels[chosen].tolist()])
        writer = SceneWriter(images[chosen], scene_labels, options.size)
        write_part(options.folder, part, writer, classes, getattr(options, part))
    (options.folder / "labelmap.prototxt").write_text("".join(label_map(classes)))
    (options.folder / "classes.txt").write_text("".join(f"{name}\n" for name in classes))


if __name__ == "__main__":
    main()
