"""Draw the first images of an LMDB database as one image: look.py DATABASE OUTPUT.png."""

import sys

import lmdb
import numpy as np
from PIL import Image

import caffe

ROWS, COLUMNS = 4, 10

database, output = sys.argv[1:]
images, labels = [], []
with lmdb.open(database, readonly=True, lock=False) as environment, environment.begin() as txn:
    for key, value in txn.cursor():
        datum = caffe.proto.caffe_pb2.Datum.FromString(value)
        if not images:
            print(f"{key.decode()}: {datum.channels} x {datum.height} x {datum.width}")
        images.append(caffe.io.datum_to_array(datum)[0])
        labels.append(datum.label)
        if len(images) == ROWS * COLUMNS:
            break
rows = [np.hstack(images[i : i + COLUMNS]) for i in range(0, len(images), COLUMNS)]
sheet = Image.fromarray(np.vstack(rows))
sheet.resize((3 * sheet.width, 3 * sheet.height), Image.Resampling.NEAREST).save(output)
print("labels of the first row:", *labels[:COLUMNS])
