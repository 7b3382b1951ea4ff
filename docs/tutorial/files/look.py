"""Draw the first pictures of an LMDB database as one picture: look.py DATABASE OUTPUT.png."""

import sys

import lmdb
import numpy as np
from PIL import Image

import caffe

ROWS, COLUMNS = 4, 10

database, output = sys.argv[1:]
pictures, labels = [], []
with lmdb.open(database, readonly=True, lock=False) as environment, environment.begin() as txn:
    for key, value in txn.cursor():
        datum = caffe.proto.caffe_pb2.Datum.FromString(value)
        if not pictures:
            print(f"{key.decode()}: {datum.channels} x {datum.height} x {datum.width}")
        pictures.append(caffe.io.datum_to_array(datum)[0])
        labels.append(datum.label)
        if len(pictures) == ROWS * COLUMNS:
            break
rows = [np.hstack(pictures[i : i + COLUMNS]) for i in range(0, len(pictures), COLUMNS)]
Image.fromarray(np.vstack(rows)).save(output)
print("labels of the first row:", *labels[:COLUMNS])
