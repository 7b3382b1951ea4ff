#!/usr/bin/env python3
"""Write the subset in this folder: the first images of the full Fashion-MNIST, in order.

    python data/fashion-mnist/make_subset.py FOLDER_OF_THE_FULL_SET

The same input gives the same bytes.
"""

import gzip
import sys
from pathlib import Path

from minicaffe.data.idx import read_images, read_labels, write_idx

COUNTS = {"train": 10_000, "t10k": 2_000}
READERS = {"images-idx3-ubyte.gz": read_images, "labels-idx1-ubyte.gz": read_labels}


def main() -> None:
    """Write the four files beside this script."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for part, count in COUNTS.items():
        for kind, read in READERS.items():
            name = f"{part}-{kind}"
            values = read(Path(sys.argv[1]) / name)[:count]
            content = gzip.compress(write_idx(values), compresslevel=9, mtime=0)
            Path(__file__).with_name(name).write_bytes(content)


main()
