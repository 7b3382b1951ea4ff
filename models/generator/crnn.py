"""A small CRNN for the lines of characters of data/glyphs/write_lines.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.generator.draft import MSRA, XAVIER, Draft

CLASSES = 32  # 31 characters, and the blank, number 0
ROWS, COLUMNS = 32, 128  # of the input
STEPS = COLUMNS // 4  # columns of the last feature map
BATCH = 25  # lines, in training and in testing
FOLDER = "data/glyphs/lines"
_UNITS = 64  # of the LSTM of each direction
_STATISTICS = {"moving_average_fraction": 0.99}


def crnn_lines(net: Draft) -> None:
    """Describe four convolutions, an LSTM in each direction over the columns, and CTC."""
    x = _data(net)
    x = _conv(net, "conv1", x, 32, pool=(2, 2))
    x = _conv(net, "conv2", x, 64, pool=(2, 2))
    x = _conv(net, "conv3", x, 96, pool=(2, 1))
    x = _conv(net, "conv4", x, 96, pool=(2, 1))
    x = _recurrent(net, _permute(net, "columns", x, (3, 0, 1, 2)))
    filler = {} if net.deploy else {"weight_filler": XAVIER}
    scores = net.layer(
        "InnerProduct",
        "score",
        x,
        inner_product_param={"num_output": CLASSES, "axis": 2, **filler},
    )
    if net.deploy:
        net.layer("CTCGreedyDecoder", "text", scores)
        return
    test = {"include": [{"phase": "TEST"}]}
    lines = _permute(net, "lines", scores, (1, 0, 2), **test)
    net.layer("LabelsequenceAccuracy", "accuracy", [lines, "label"], **test)
    net.layer("CtcLoss", "loss", [scores, "label"])


def _data(net: Draft) -> str:
    if net.deploy:
        shape = {"dim": [1, 1, ROWS, COLUMNS]}
        return net.layer("Input", "data", [], input_param={"shape": [shape]})
    for phase, part in (("TRAIN", "train"), ("TEST", "test")):
        shuffle = {"shuffle": True} if part == "train" else {}
        net.net.layer.add(
            name="data",
            type="HDF5Data",
            top=["data", "label"],
            include=[{"phase": phase}],
            hdf5_data_param={"source": f"{FOLDER}/{part}_h5.txt", "batch_size": BATCH, **shuffle},
        )
    return "data"


def _conv(net: Draft, name: str, bottom: str, channels: int, pool: tuple[int, int]) -> str:
    """Add a convolution, its normalisation, a ReLU, and a pooling of (rows, columns)."""
    x = net.conv(name, bottom, channels, 3, pad=1, weights=MSRA, bias=None)
    net.batch_norm(f"{name}/bn", f"{name}/scale", x, param=_STATISTICS)
    net.relu(f"{name}/relu", x)
    rows, columns = pool
    window = {"kernel_h": rows, "kernel_w": columns, "stride_h": rows, "stride_w": columns}
    return net.layer(
        "Pooling", name.replace("conv", "pool"), x, pooling_param={"pool": "MAX", **window}
    )


def _permute(net: Draft, name: str, bottom: str, order: Sequence[int], **fields: Any) -> str:
    return net.layer("Permute", name, bottom, permute_param={"order": order}, **fields)


def _recurrent(net: Draft, columns: str) -> str:
    """Add an LSTM from the left and one from the right; return the blob of both."""
    sizes = {"time_step": STEPS, "batch_size": 1 if net.deploy else BATCH}
    cont = net.layer("ContinuationIndicator", "cont", [], continuation_indicator_param=sizes)
    filler = {} if net.deploy else {"weight_filler": XAVIER}
    param = {"num_output": _UNITS, **filler}
    right = net.layer("LSTM", "lstm_right", [columns, cont], recurrent_param=param)
    x = net.layer("Reverse", "from_right", columns)
    x = net.layer("LSTM", "lstm_left", [x, cont], recurrent_param=param)
    left = net.layer("Reverse", "from_left", x)
    return net.layer("Concat", "both", [right, left], concat_param={"axis": 2})
