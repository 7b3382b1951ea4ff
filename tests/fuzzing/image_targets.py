"""Targets: images, and lists of them."""

from __future__ import annotations

from pathlib import Path

from fuzzing.material import image, images, reader
from fuzzing.mutations import change_bytes, change_list
from fuzzing.target import Target, target

_NUMBERS = "-1 0 ++1 +-1 1.5 2147483648 99999999999999999999 1e400 nan inf 0x1 1_0 ٣ ²"
_PATHS = "../p0.png /dev/null / . p0.png/ ~ $HOME p0.png"
_MARKS = "#|\udcff|\ufeff|\x85|\u2028|\0| |\t|\n|"
_WORDS = [*_NUMBERS.split(), *_PATHS.split(), *_MARKS.split("|"), "1" * 5000]


def _write_images() -> None:
    for name in ("p0.png", "p1.png", "p2.png", "a b.png"):
        Path(name).write_bytes(image())


@target
def image_file() -> Target:
    """Images of all kinds."""
    seeds = images()
    Path("list.txt").write_text("q.image 0\n")
    return Target(
        lambda rng, number: {"q.image": change_bytes(seeds[number % len(seeds)], rng)},
        [["convert_imageset", "./", "list.txt", "db"]],
        ["db", "db.partial"],
    )


@target
def image_list() -> Target:
    """Lists of images and labels."""
    _write_images()
    text = "p0.png 0\np1.png 1\na b.png 2\r\n\np2.png -3\n"
    layer = (
        'layer { name: "d" type: "ImageData" top: "data" top: "label" image_data_param { source: '
        '"list.txt" batch_size: 3 new_height: 4 new_width: 4 } }\n'
    )
    return Target(
        lambda rng, number: {"list.txt": change_list(text, rng, _WORDS)},
        [reader("reader.prototxt", layer), ["convert_imageset", "./", "list.txt", "db"]],
        ["db", "db.partial"],
    )


@target
def window_file() -> Target:
    """Window files."""
    _write_images()
    text = (
        "# 0\np0.png\n3\n9\n11\n2\n1 0.7 0 0 5 5\n0 0.2 1 1 8 8\n"
        "# 1\np1.png\n3\n9\n11\n1\n2 0.9 2 2 7 7\n"
    )
    layer = (
        'layer { name: "d" type: "WindowData" top: "data" top: "label" window_data_param { '
        'source: "w.txt" batch_size: 4 fg_threshold: 0.5 bg_threshold: 0.5 fg_fraction: 0.25 '
        'context_pad: 1 crop_mode: "square" } transform_param { crop_size: 4 mirror: true } }\n'
    )
    return Target(
        lambda rng, number: {"w.txt": change_list(text, rng, _WORDS)},
        [reader("reader.prototxt", layer)],
    )
