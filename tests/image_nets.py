"""Small nets that classify, segment and find objects, with weights; and images for them."""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image

from minicaffe.net import Net
from minicaffe.net.weights import save_net

DATA = """layer { name: "data" type: "TYPE" top: "data" top: "label"
  transform_param { mean_value: 10 mean_value: 20 mean_value: 30 TRANSFORM } SETTINGS }
"""
SCORES = """
layer { name: "score" type: "Convolution" bottom: "data" top: "score"
  convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }
"""
# One prior box, which covers the middle half of the image.
OBJECTS = """
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "prior" type: "PriorBox" bottom: "pool" bottom: "data" top: "prior"
  prior_box_param { min_size: 16 clip: false variance: 0.1 } }
layer { name: "loc" type: "InnerProduct" bottom: "pool" top: "loc"
  inner_product_param { num_output: 4 } }
layer { name: "conf" type: "InnerProduct" bottom: "pool" top: "conf"
  inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 0.001 } } }
layer { name: "rows" type: "Reshape" bottom: "conf" top: "rows"
  reshape_param { shape { dim: 0 dim: -1 dim: 2 } } }
layer { name: "soft" type: "Softmax" bottom: "rows" top: "soft" softmax_param { axis: 2 } }
layer { name: "flat" type: "Flatten" bottom: "soft" top: "flat" }
layer { name: "found" type: "DetectionOutput" bottom: "loc" bottom: "flat" bottom: "prior"
  top: "found" detection_output_param { num_classes: 2 nms_param { nms_threshold: 0.45 }
    code_type: CENTER_SIZE keep_top_k: 10 confidence_threshold: 0.01 } }
"""


def data(kind, settings, transform=""):
    text = DATA.replace("TYPE", kind).replace("SETTINGS", settings)
    return text.replace("TRANSFORM", transform)


NETS = {
    "classes": data(
        "ImageData",
        'image_data_param { source: "gone.txt" batch_size: 2 new_height: 6 new_width: 9 }',
    )
    + """layer { name: "score" type: "InnerProduct" bottom: "data" top: "score"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.001 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }""",
    "pixels": data(
        "DenseImageData",
        'dense_image_data_param { source: "gone.txt" batch_size: 2 new_height: 6 new_width: 9 }',
    )
    + SCORES,
    "objects": data(
        "AnnotatedData",
        'data_param { source: "gone" batch_size: 2 } annotated_data_param { anno_type: BBOX }',
        "resize_param { height: 32 width: 32 }",
    )
    + OBJECTS,
}
SHAPES = {"classes": (2, 3, 6, 9), "pixels": (2, 3, 6, 9), "objects": (1, 3, 32, 32)}


def write_image_nets(folder: Path) -> None:
    """Write NAME.prototxt, the training net; NAME_deploy.prototxt; and NAME.caffemodel."""
    for name, text in NETS.items():
        (folder / f"{name}.prototxt").write_text(text)
        dims = " ".join(f"dim: {n}" for n in SHAPES[name])
        layers = text.split("\n", 2)[2].split('layer { name: "loss"')[0]
        shape = f"input_param {{ shape {{ {dims} }} }}"
        deploy = f'layer {{ name: "data" type: "Input" top: "data" {shape} }}\n{layers}'
        path = folder / f"{name}_deploy.prototxt"
        path.write_text(deploy)
        save_random_weights(path, folder / f"{name}.caffemodel", 5)


def save_random_weights(net_file: Path, path: Path, seed: int) -> None:
    """Write the initial weights of a net."""
    with closing(Net(net_file, "TEST", seed=seed)) as net:
        save_net(net, path)


def picture(rows=40, columns=50, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()
