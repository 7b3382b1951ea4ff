"""Say what is on pictures: classify.py DEPLOY WEIGHTS LABELS PICTURE..."""

import sys
from pathlib import Path

import caffe

deploy, weights, labels_file, *pictures = sys.argv[1:]
labels = Path(labels_file).read_text().splitlines()

# load_image gives 0 to 1; LeNet was trained on pixels from 0 to 255, times 1/256.
classifier = caffe.Classifier(deploy, weights, raw_scale=255, input_scale=1 / 256)
scores = classifier.predict(
    [caffe.io.load_image(picture, color=False) for picture in pictures], oversample=False
)
for picture, row in zip(pictures, scores, strict=True):
    print(picture)
    for index in row.argsort()[: -5 - 1 : -1]:
        print(f"{row[index]:.4f} - {labels[index]}")
