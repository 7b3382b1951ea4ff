"""Building LeNet logs what Caffe logged, line by line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.net import Net
from minicaffe.schema import NetParameter, format_prototxt, parse_net, parse_prototxt

# Printed by BVLC Caffe 1.0 (git 9b89154, CPU) while it trained LeNet on Fashion-MNIST.
LOG = Path(__file__).parents[1] / "golden" / "lenet" / "train.log"
FIRST = {"TRAIN": "Creating training net from net file", "TEST": "Creating test net (#0)"}


def logged_build(phase):
    """Return the messages of building one net, from its first rule to its end."""
    messages = re.split(r"^[IWEF]\d{4} [\d:.]+ +\d+ [\w.]+:\d+\] ", LOG.read_text(), flags=re.M)
    messages = [message.removesuffix("\n") for message in messages]
    start = next(i for i, m in enumerate(messages) if m.startswith(FIRST[phase])) + 1
    end = messages.index("Network initialization done.", start)
    build = messages[start : end + 1]
    # Caffe makes the loss layer's inner softmax with the layer's own name; we need no such layer.
    inner = [i for i, m in enumerate(build) if m == "Creating layer loss"][1]
    return build[:inner] + build[inner + 1 :]


def logged_net(phase):
    """Return the NetParameter that the log prints."""
    (text,) = (m for m in logged_build(phase) if m.startswith("Initializing net"))
    return parse_prototxt(text.split("\n", 1)[1], NetParameter).message


@pytest.fixture
def lenet(tmp_path, monkeypatch):
    """The net of both phases, and the databases that it names, with 110 grey images each."""
    monkeypatch.chdir(tmp_path)
    train, test = logged_net("TRAIN"), logged_net("TEST")
    for layer in (train.layer[0], test.layer[0]):
        Path(layer.data_param.source).parent.mkdir(parents=True, exist_ok=True)
        with create_database(layer.data_param.source, "LMDB") as database:
            for i in range(110):
                datum = encode_datum(np.full((1, 28, 28), i, np.uint8), i % 10)
                database.put(b"%08d" % i, datum)
    both = NetParameter(name=train.name)
    accuracy, loss = test.layer[-2:]
    both.layer.extend([train.layer[0], test.layer[0], *train.layer[1:-1], accuracy, loss])
    return parse_net(format_prototxt(both), "lenet.prototxt")


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_building_lenet_logs_what_caffe_logs(lenet, phase, caplog_minicaffe):
    net = Net(lenet, logged_net(phase).state)
    net.close()
    lines = [record.getMessage().removesuffix("\n") for record in caplog_minicaffe.records]
    assert lines == logged_build(phase)
