"""Draw what a convolution learnt: filters.py DEPLOY WEIGHTS LAYER PICTURE FOLDER.

Writes FOLDER/filters.png, the kernels of LAYER, and FOLDER/activations.png, what they answer to
PICTURE.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import caffe

ZOOM = 8


def grid(planes, columns=10):
    """Return planes (count x rows x columns) side by side, each stretched to 0 .. 255."""
    low, high = planes.min(axis=(1, 2), keepdims=True), planes.max(axis=(1, 2), keepdims=True)
    grey = (255 * (planes - low) / np.maximum(high - low, 1e-12)).astype(np.uint8)
    framed = np.pad(grey, ((0, -len(grey) % columns), (1, 1), (1, 1)), constant_values=255)
    return np.vstack([np.hstack(framed[i : i + columns]) for i in range(0, len(framed), columns)])


def save(planes, path):
    """Write a grid of planes, enlarged."""
    Image.fromarray(grid(planes).repeat(ZOOM, 0).repeat(ZOOM, 1)).save(path)
    print(f"{path}: {len(planes)} of {planes.shape[1]} x {planes.shape[2]}")


deploy, weights, layer, picture, folder = sys.argv[1:]
net = caffe.Net(deploy, caffe.TEST, weights=weights)
kernels = net.params[layer][0].data
save(kernels[:, 0], Path(folder, "filters.png"))

image = caffe.io.load_image(picture, color=False)
size = net.blobs["data"].shape[2:]
net.blobs["data"].data[0, 0] = caffe.io.resize_image(image, size)[:, :, 0] * 255 / 256
net.forward()
save(net.blobs[layer].data[0], Path(folder, "activations.png"))
