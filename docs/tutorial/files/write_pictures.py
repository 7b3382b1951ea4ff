"""Write test images of Fashion-MNIST as PNG files with lists: write_pictures.py FOLDER.

Each of four groups of clothing gets 20 images for training and 100 for testing. The images are from
the test set, because LeNet was not trained on them before page 5 fine-tunes it.
"""

import gzip
import sys
from pathlib import Path

import numpy as np
from PIL import Image

GROUPS = {"tops": (0, 2, 4, 6), "trousers": (1,), "shoes": (5, 7, 9), "bags": (8,)}
TRAIN, TEST = 20, 100


def read(path, header_bytes):
    """Return the bytes of an IDX file after its header."""
    return np.frombuffer(gzip.decompress(Path(path).read_bytes()), np.uint8, offset=header_bytes)


folder = Path(sys.argv[1])
images = read("data/fashion-mnist/t10k-images-idx3-ubyte.gz", header_bytes=16).reshape(-1, 28, 28)
labels = read("data/fashion-mnist/t10k-labels-idx1-ubyte.gz", header_bytes=8)

lists: dict[str, list[str]] = {"train": [], "test": []}
for number, (group, classes) in enumerate(GROUPS.items()):
    (folder / group).mkdir(parents=True, exist_ok=True)
    for count, index in enumerate(np.flatnonzero(np.isin(labels, classes))[: TRAIN + TEST]):
        name = f"{group}/{index:04}.png"
        # Double the size, so that convert_imageset has to resize the images.
        Image.fromarray(images[index].repeat(2, 0).repeat(2, 1)).save(folder / name)
        lists["train" if count < TRAIN else "test"].append(f"{name} {number}\n")
for name, lines in lists.items():
    (folder / f"{name}.txt").write_text("".join(lines))
    print(f"{folder / name}.txt: {len(lines)} images")
