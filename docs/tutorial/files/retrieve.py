"""Find similar images: retrieve.py DEPLOY WEIGHTS BLOB OUTPUT.png.

The training database is the collection; the test database contains the queries. The similarity of
two images is the cosine of the angle between their features, the values of BLOB.
"""

import sys

import lmdb
import numpy as np
from PIL import Image

import caffe

COLLECTION, QUERIES, FOUND = 2000, 200, 5


def read(database, count):
    """Return the first `count` images (count x 1 x rows x columns, 0 to 255) and their labels."""
    with lmdb.open(database, readonly=True, lock=False) as environment, environment.begin() as txn:
        values = [value for _, (_, value) in zip(range(count), txn.cursor(), strict=False)]
    datums = [caffe.proto.caffe_pb2.Datum.FromString(value) for value in values]
    images = np.stack([caffe.io.datum_to_array(datum) for datum in datums])
    return images, np.array([datum.label for datum in datums])


def features(net, images, blob):
    """Return a row of length 1 for every image."""
    values = net.forward_all(blobs=[blob], data=images.astype(np.float32) / 256)[blob]
    rows = values.reshape(len(images), -1)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


deploy, weights, blob, output = sys.argv[1:]
net = caffe.Net(deploy, caffe.TEST, weights=weights)
net.blobs["data"].reshape(100, *net.blobs["data"].shape[1:])
collection, classes = read("data/fashion-mnist/train_lmdb", COLLECTION)
queries, wanted = read("data/fashion-mnist/test_lmdb", QUERIES)

similarity = features(net, queries, blob) @ features(net, collection, blob).T
found = np.argsort(-similarity, axis=1)[:, :FOUND]
share = np.mean(classes[found] == wanted[:, np.newaxis])
print(f"{blob}: {share:.3f} of the {FOUND} nearest of {len(collection)} have the query's class")

rows = [np.hstack([queries[i, 0], *collection[found[i], 0]]) for i in range(8)]
sheet = Image.fromarray(np.vstack(rows))
sheet.resize((3 * sheet.width, 3 * sheet.height), Image.Resampling.NEAREST).save(output)
