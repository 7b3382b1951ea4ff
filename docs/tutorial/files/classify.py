"""Classify images: classify.py DEPLOY WEIGHTS LABELS IMAGE..."""

import sys
from pathlib import Path

import caffe

deploy, weights, labels_file, *images = sys.argv[1:]
labels = Path(labels_file).read_text().splitlines()

# load_image returns 0 to 1; LeNet was trained on pixels from 0 to 255, times 1/256.
classifier = caffe.Classifier(deploy, weights, raw_scale=255, input_scale=1 / 256)
scores = classifier.predict(
    [caffe.io.load_image(image, color=False) for image in images], oversample=False
)
for image, row in zip(images, scores, strict=True):
    print(image)
    for index in row.argsort()[: -5 - 1 : -1]:
        print(f"{row[index]:.4f} - {labels[index]}")
