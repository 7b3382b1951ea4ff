#!/usr/bin/env python3
"""Write the images of this folder as 32 x 32 colour PNG files, with lists for ImageData.

    python data/fashion-mnist/write_colour_pictures.py [FOLDER]

FOLDER (default: the folder "colour" beside this script) receives the images in folders of 1,000
below train/ and test/, and the lists train.txt and test.txt with one line per image: path below
FOLDER, space, label. Grey values are interpolated between a dark and a light colour, which are
drawn at random for each image, independently of its class. The same input gives the same pixels.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from minicaffe.data.idx import read_set

SEEDS = {"train": 0, "test": 1}
MARGIN = 2  # 28 + 2 + 2 = 32
DARKEST_LIGHT, LIGHTEST_DARK = 156, 100
IMAGES_PER_FOLDER = 1000


def coloured(images: np.ndarray, seed: int) -> np.ndarray:
    """Pad and colour grey images (n, rows, columns), uint8; return (n, rows, columns, 3)."""
    rng = np.random.default_rng(seed)
    n = len(images)
    dark = rng.integers(0, LIGHTEST_DARK + 1, (n, 1, 1, 3))
    light = rng.integers(DARKEST_LIGHT, 256, (n, 1, 1, 3))
    grey = np.pad(images, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))[..., None].astype(int)
    return (dark + (light - dark) * grey // 255).astype(np.uint8)


def idx_files(part: str) -> list[Path]:
    """Return the files of grey images and of labels of a part, train or test."""
    prefix = "t10k" if part == "test" else part
    kinds = ("images-idx3-ubyte.gz", "labels-idx1-ubyte.gz")
    return [Path(__file__).with_name(f"{prefix}-{kind}") for kind in kinds]


def write_part(folder: Path, part: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Write the images of a part below the folder, and their list."""
    lines = []
    coloured_images = coloured(images, SEEDS[part])
    for index, (image, label) in enumerate(zip(coloured_images, labels, strict=True)):
        name = f"{part}/{index // IMAGES_PER_FOLDER}/{index:05}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)
        lines.append(f"{name} {label}\n")
    (folder / f"{part}.txt").write_text("".join(lines))
    print(f"{folder / part}.txt: {len(lines)} images")


def main() -> None:
    """Write both parts."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("colour")
    for part in SEEDS:
        write_part(folder, part, *read_set(*idx_files(part)))


if __name__ == "__main__":
    main()
