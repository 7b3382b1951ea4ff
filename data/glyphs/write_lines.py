#!/usr/bin/env python3
"""Write images of short lines of characters, to train a net that reads text (OCR).

    python data/glyphs/write_lines.py [FOLDER] [--train 4000] [--test 500]

FOLDER (default: the folder "lines" beside this script) receives for each part, train and test,

    PART/NAME.png     grey images of equal size: 3 to 8 characters of varying size and place
    PART.txt          one image a line: path below FOLDER, space, the characters
    PART.h5           the same for HDF5Data: data (n, 1, rows, columns), grey values 0 to 1, and
                      label (n, 8), the numbers of the characters from 1, and 0, the blank
    PART_h5.txt       the list that HDF5Data reads

and characters.txt, one character a line, the first is number 1. The font is Pillow's own, so that
the same arguments give the same images with the same version of Pillow.
"""

import argparse
from pathlib import Path

import h5py
import numpy as np
from PIL import Image, ImageDraw, ImageFont

DEFAULT_CHARACTERS = "0123456789ABCDEFGHKLMNPRTUVWXYZ"
SEEDS = {"train": 0, "test": 1}
SHORTEST, LONGEST = 3, 8
MARGIN = 3  # pixels


def background(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return a grey texture, float: patches of different brightness, and noise."""
    patches = rng.integers(150, 230, (2, int(rng.integers(2, 9))), np.uint8)
    smooth = Image.fromarray(patches).resize(shape[::-1], Image.Resampling.BICUBIC)
    return np.asarray(smooth) + rng.normal(0, rng.uniform(2, 12), shape)


def draw_line(rng: np.random.Generator, text: str, shape: tuple[int, int]) -> np.ndarray:
    """Return a text as an image, uint8, shape (rows, columns)."""
    height, width = shape
    font = ImageFont.load_default(float(rng.uniform(0.55, 0.8) * height))
    gaps = rng.uniform(0, 2.5, len(text))
    steps = [font.getlength(character) + gap for character, gap in zip(text, gaps, strict=True)]
    strip = Image.new("L", (int(sum(steps)) + 2 * MARGIN, height))
    pen = ImageDraw.Draw(strip)
    x = float(MARGIN)
    for character, step in zip(text, steps, strict=True):
        y = height / 2 + rng.uniform(-0.06, 0.06) * height
        pen.text((x, y), character, fill=255, font=font, anchor="lm")
        x += step
    if strip.width > width:
        strip = strip.resize((width, height), Image.Resampling.BILINEAR)
    ink = Image.new("L", (width, height))
    ink.paste(strip, (int(rng.integers(width - strip.width + 1)), 0))
    dark = rng.uniform(10, 90)
    scene, cover = background(rng, shape), np.asarray(ink) / 255
    return (scene + (dark - scene) * cover).clip(0, 255).astype(np.uint8)


def write_part(folder: Path, part: str, n: int, shape: tuple[int, int], characters: str) -> None:
    """Write n lines of a part, and its lists."""
    (folder / part).mkdir(parents=True, exist_ok=True)
    images = np.zeros((n, 1, *shape), np.uint8)
    labels = np.zeros((n, LONGEST), np.float32)
    lines = []
    for index in range(n):
        rng = np.random.default_rng([SEEDS[part], index])
        numbers = rng.integers(len(characters), size=int(rng.integers(SHORTEST, LONGEST + 1)))
        text = "".join(characters[number] for number in numbers)
        images[index, 0] = draw_line(rng, text, shape)
        labels[index, : len(numbers)] = numbers + 1
        name = f"{part}/{index:05}.png"
        Image.fromarray(images[index, 0]).save(folder / name)
        lines.append(f"{name} {text}\n")
    (folder / f"{part}.txt").write_text("".join(lines))
    with h5py.File(folder / f"{part}.h5", "w") as file:
        file.create_dataset("data", data=images / np.float32(255), compression="gzip")
        file["label"] = labels
    (folder / f"{part}_h5.txt").write_text(f"{folder / part}.h5\n")
    print(f"{folder / part}.txt: {n} lines")


def main() -> None:
    """Write both parts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    default = Path(__file__).with_name("lines")
    parser.add_argument("folder", nargs="?", type=Path, default=default)
    parser.add_argument("--train", type=int, default=4000, help="lines to train with")
    parser.add_argument("--test", type=int, default=500, help="lines to test with")
    parser.add_argument("--height", type=int, default=32, help="rows of an image")
    parser.add_argument("--width", type=int, default=128, help="columns of an image")
    parser.add_argument("--characters", default=DEFAULT_CHARACTERS, help="the alphabet")
    options = parser.parse_args()
    for part in SEEDS:
        shape = options.height, options.width
        write_part(options.folder, part, getattr(options, part), shape, options.characters)
    (options.folder / "characters.txt").write_text("".join(f"{c}\n" for c in options.characters))


if __name__ == "__main__":
    main()
