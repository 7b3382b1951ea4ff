#!/usr/bin/env python3
"""Write the pictures of this folder as 32 x 32 colour PNG files, with lists for ImageData.

    python data/fashion-mnist/write_colour_pictures.py [FOLDER]

FOLDER, by default the folder "colour" beside this script, gets train/ and test/ with the pictures
in folders of 1,000, and train.txt and test.txt with a line for each: path below FOLDER, space,
label. Every picture has a dark and a light colour drawn at random, whatever its class is, between
which its grey values are mixed. The same input gives the same pixels.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from minicaffe.data.idx import read_set

SEEDS = {"train": 0, "test": 1}
MARGIN = 2  # 28 + 2 + 2 = 32
DARKEST_LIGHT, LIGHTEST_DARK = 156, 100
PICTURES_A_FOLDER = 1000


def coloured(images: np.ndarray, seed: int) -> np.ndarray:
    """Return grey pictures (n, rows, columns), uint8, framed and tinted (n, rows, columns, 3)."""
    rng = np.random.default_rng(seed)
    n = len(images)
    dark = rng.integers(0, LIGHTEST_DARK + 1, (n, 1, 1, 3))
    light = rng.integers(DARKEST_LIGHT, 256, (n, 1, 1, 3))
    grey = np.pad(images, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))[..., None].astype(int)
    return (dark + (light - dark) * grey // 255).astype(np.uint8)


def idx_files(part: str) -> list[Path]:
    """Return the files of grey pictures and of labels of a part, train or test."""
    prefix = "t10k" if part == "test" else part
    kinds = ("images-idx3-ubyte.gz", "labels-idx1-ubyte.gz")
    return [Path(__file__).with_name(f"{prefix}-{kind}") for kind in kinds]


def write_part(folder: Path, part: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Write the pictures of a part below the folder, and the list of them."""
    lines = []
    pictures = coloured(images, SEEDS[part])
    for index, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        name = f"{part}/{index // PICTURES_A_FOLDER}/{index:05}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / name)
        lines.append(f"{name} {label}\n")
    (folder / f"{part}.txt").write_text("".join(lines))
    print(f"{folder / part}.txt: {len(lines)} pictures")


def main() -> None:
    """Write both parts."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("colour")
    for part in SEEDS:
        write_part(folder, part, *read_set(*idx_files(part)))


if __name__ == "__main__":
    main()
