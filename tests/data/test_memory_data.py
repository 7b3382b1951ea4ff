import json

import numpy as np
import pytest

from minicaffe.errors import DataError, NetError
from minicaffe.net import Net
from minicaffe.schema import parse_net

DATA = np.arange(4 * 2 * 3 * 5, dtype=np.float32).reshape(4, 2, 3, 5)
LABELS = np.arange(4, dtype=np.float32)


def memory_net(settings="batch_size: 2 channels: 2 height: 3 width: 5", rest=""):
    text = (
        'layer { name: "data" type: "MemoryData" top: "data" top: "label" '
        f"memory_data_param {{ {settings} }} {rest} }}"
    )
    return Net(parse_net(text, "net.prototxt"), "TRAIN")


def forward(net):
    net.forward()
    return net.blobs["data"].data.get(), net.blobs["label"].data.get()


@pytest.mark.parametrize("labels", [LABELS, LABELS.reshape(4, 1, 1, 1)])
def test_batches_go_round(labels):
    net = memory_net()
    assert net.blobs["data"].shape == (2, 2, 3, 5)
    assert net.blobs["label"].shape == (2,)
    net.layers[0].reset(DATA, labels)
    for first in (0, 2, 0, 2):
        data, label = forward(net)
        np.testing.assert_array_equal(data, DATA[first : first + 2])
        assert label.shape == (2, 1, 1, 1)
        np.testing.assert_array_equal(label.ravel(), LABELS[first : first + 2])


def test_arrays_are_not_copied_and_a_reset_begins_anew():
    net = memory_net()
    data = DATA.copy()
    net.layers[0].reset(data, LABELS)
    forward(net)
    data[2:] = 7
    assert (forward(net)[0] == 7).all()
    forward(net)
    net.layers[0].reset(DATA, LABELS)
    np.testing.assert_array_equal(forward(net)[0], DATA[:2])


def test_a_restored_layer_continues_in_its_arrays():
    net, other = memory_net(), memory_net()
    for each in (net, other):
        each.layers[0].reset(DATA, LABELS)
    forward(net)
    state = json.loads(json.dumps(net.state()))
    assert state["data"]["position"] == {"next": 2}
    other.restore(state)
    np.testing.assert_array_equal(forward(other)[0], DATA[2:])
    other.restore(state)
    other.layers[0].reset(DATA, LABELS)
    np.testing.assert_array_equal(forward(other)[0], DATA[:2])
    empty = memory_net()
    empty.restore(state)
    empty.layers[0].reset(DATA[:2], LABELS[:2])
    empty.restore(state)
    np.testing.assert_array_equal(forward(empty)[0], DATA[:2])


def test_without_data():
    with pytest.raises(DataError, match=r'"data" \(MemoryData\): there are no data yet; give them'):
        memory_net().forward()


@pytest.mark.parametrize(
    ("data", "labels", "message"),
    [
        (DATA[:3], LABELS[:3], "3 samples; it must be a multiple of batch_size, 2, and not 0"),
        (DATA[:0], LABELS[:0], "0 samples; it must be a multiple of batch_size, 2, and not 0"),
        (DATA, LABELS[:2], "4 samples and 2 labels; there must be equally many"),
        (
            DATA[:, :1].copy(),
            LABELS,
            r"the data have shape \(4, 1, 3, 5\); it must be \(n, 2, 3, 5",
        ),
        (DATA, LABELS.reshape(2, 2), r"the labels have shape \(2, 2\); it must be \(n, 1, 1, 1\)"),
        (DATA.astype(float), LABELS, "the data are float64 of shape .* must be C-contiguous float"),
        (DATA[::-1], LABELS, "the data are float32 of shape .*, not C-contiguous; they must be"),
        (DATA, LABELS.astype(int), r"Use np.ascontiguousarray\(labels, np.float32\)"),
    ],
)
def test_arrays_that_do_not_fit(data, labels, message):
    with pytest.raises(DataError, match=r'net.prototxt:1, layer "data" \(MemoryData\): ') as caught:
        memory_net().layers[0].reset(data, labels)
    caught.match(message)


def test_missing_sizes():
    with pytest.raises(NetError, match="batch_size: 2, channels: 0, height: 0, width: 5; all four"):
        memory_net("batch_size: 2 width: 5")


def test_an_ignored_transform_param_is_logged(caplog_minicaffe):
    memory_net(rest="transform_param { scale: 2 }").layers[0].reset(DATA, LABELS)
    assert "MemoryData does not transform the arrays it is given" in caplog_minicaffe.text
