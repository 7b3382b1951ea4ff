"""Small files for the targets: nets, databases, images, weights."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from PIL import Image

from cases import CASES
from minicaffe.cli.main import main
from minicaffe.schema.minicaffe_pb2 import Datum

SMALL_NET = """name: "small" input: "x" input_shape { dim: 1 dim: 3 dim: 6 dim: 6 }
layer { name: "c" type: "Convolution" bottom: "x" top: "y"
  convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "i" type: "InnerProduct" bottom: "y" top: "z" inner_product_param { num_output: 3 } }
"""
DATA_LAYER = (
    'layer {{ name: "d" type: "Data" top: "data" top: "label" transform_param {{ {transform} }} '
    'data_param {{ source: "db" batch_size: {batch} backend: LMDB }} }}\n'
)
SILENCE = 'layer { name: "s" type: "Silence" bottom: "data" bottom: "label" }\n'


def run_quietly(*words: str) -> None:
    """Run a command that prepares a target; it must succeed."""
    if main(list(words)):
        raise RuntimeError(f"minicaffe {' '.join(words)} failed")


def layer_nets() -> list[str]:
    """Return nets of one layer, for every case of the generic layer suite."""
    return [_layer_net(layer_type, case) for layer_type, cases in CASES.items() for case in cases]


def _layer_net(layer_type: str, case: Any) -> str:
    text = "force_backward: true\n"
    for name, shape in case.shapes.items():
        dims = " ".join(f"dim: {size}" for size in shape)
        text += (
            f'layer {{ name: "in_{name}" type: "DummyData" top: "{name}" dummy_data_param {{ '
            f'shape {{ {dims} }} data_filler {{ type: "constant" value: 1 }} }} }}\n'
        )
    blobs = [f'bottom: "{name}"' for name in case.bottoms] + [f'top: "{n}"' for n in case.tops]
    return f'{text}layer {{ name: "l" type: "{layer_type}" {" ".join(blobs)} {case.settings} }}\n'


def write_weights() -> None:
    """Write small.prototxt, small.caffemodel and small.caffemodel.h5."""
    from minicaffe.net import Net
    from minicaffe.net.weights import save_net

    Path("small.prototxt").write_text(SMALL_NET)
    net = Net("small.prototxt", "TEST", seed=1)
    save_net(net, "small.caffemodel")
    save_net(net, "small.caffemodel.h5", hdf5=True)


def reader(name: str, layer: str) -> list[str]:
    """Write a net of a data layer, and return the command that reads a batch through it."""
    write_weights()
    Path(name).write_text(layer + SILENCE)
    words = ["test", f"--model={name}", "--weights=small.caffemodel"]
    return [*words, "--iterations=1", "--threads=1"]


def datum(values: np.ndarray, label: int = 0) -> bytes:
    """Return a Datum of an array (channels, rows, columns): of bytes, or of floats."""
    message = Datum(label=label)
    message.channels, message.height, message.width = values.shape
    if values.dtype == np.uint8:
        message.data = values.tobytes()
    else:
        message.float_data.extend(values.ravel().tolist())
    return message.SerializeToString()


def write_lmdb(path: str, records: Iterable[bytes]) -> bytes:
    """Write an LMDB and return its file."""
    with (
        lmdb.open(path, map_size=1 << 26, lock=False) as environment,
        environment.begin(write=True) as transaction,
    ):
        for number, record in enumerate(records):
            transaction.put(b"%08d" % number, record)
    return Path(path, "data.mdb").read_bytes()


def image(kind: str = "PNG", shape: tuple[int, ...] = (9, 11, 3), **options: Any) -> bytes:
    """Return a small image file."""
    values = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind, **options)
    return file.getvalue()


def images() -> list[bytes]:
    """Return image files of every kind and mode that Pillow writes here."""
    Image.init()
    found = []
    for kind in sorted(Image.SAVE):
        for shape in ((9, 11, 3), (9, 11), (9, 11, 4)):
            try:
                found.append(image(kind, shape))
            except Exception:  # no kind has every mode, and some need libraries
                continue
    return found
