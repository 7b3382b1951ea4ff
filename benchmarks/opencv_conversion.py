"""Stand-in for Caffe's convert_imageset: OpenCV and LMDB in one loop, in one thread.

    python -m benchmarks.opencv_conversion LISTFILE DB_NAME SIZE

It prints the seconds of the loop, without those of imports. Caffe itself does the same in C++:
cv::imread, cv::resize, a Datum, and a transaction for each thousand records.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import cv2
import lmdb
import numpy as np

from minicaffe.data.datum import encode_datum

TRANSACTION = 1000
MAP_BYTES = 1 << 40


def convert(list_file: str, database: str, size: int) -> float:
    """Write the images of a list, resized, to an LMDB; return the seconds."""
    cv2.setNumThreads(1)
    start = time.perf_counter()
    environment = lmdb.open(database, map_size=MAP_BYTES)
    transaction = environment.begin(write=True)
    for k, line in enumerate(Path(list_file).read_text().splitlines()):
        name, _, label = line.rpartition(" ")
        image = cv2.resize(cv2.imread(name), (size, size))
        planes = np.ascontiguousarray(image.transpose(2, 0, 1))
        transaction.put(f"{k:08d}_{name}".encode(), encode_datum(planes, int(label)))
        if (k + 1) % TRANSACTION == 0:
            transaction.commit()
            transaction = environment.begin(write=True)
    transaction.commit()
    environment.close()
    return time.perf_counter() - start


if __name__ == "__main__":
    print(convert(sys.argv[1], sys.argv[2], int(sys.argv[3])))
