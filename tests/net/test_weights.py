"""Copying weights by layer name, and saving them."""

import re

import h5py
import numpy as np
import pytest

from minicaffe.errors import NetError, SnapshotError
from minicaffe.layers.batch_norm_with_scale import BatchNormWithScale
from minicaffe.layers.inner_product import InnerProduct
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers, same_shape, save_net
from minicaffe.schema import (
    NetParameter,
    parse_net,
    read_binary,
    read_net_binary,
    read_net_weights,
)
from zoo import deploy_file, drawn

TEXT = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" } } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" } } }
"""


def make(text=TEXT, seed=1):
    return Net(parse_net(text), "TEST", seed=seed)


def values(net):
    return {(p.layer.name, p.index): p.blob.data.get().copy() for p in net.parameters}


@pytest.fixture
def saved(tmp_path):
    net = make()
    save_net(net, tmp_path / "w.caffemodel")
    return net, tmp_path / "w.caffemodel"


@pytest.mark.parametrize("name", ["w.caffemodel", "w.caffemodel.h5"])
def test_there_and_back(tmp_path, name):
    net, other = make(seed=1), make(seed=2)
    save_net(net, tmp_path / name)
    copy_trained_layers(other, tmp_path / name)
    for key, array in values(net).items():
        np.testing.assert_array_equal(values(other)[key], array)


def test_the_file_holds_the_net(saved):
    net, path = saved
    stored = read_binary(path, NetParameter)
    assert [(x.name, x.type) for x in stored.layer] == [(x.name, x.type) for x in net.layers]
    assert [len(x.blobs) for x in read_net_weights(path)] == [0, 2, 2]


def test_only_layers_of_the_same_name(saved, caplog_minicaffe):
    net, path = saved
    other = make(TEXT.replace('name: "b"', 'name: "new"'), seed=2)
    before = values(other)
    copy_trained_layers(other, path)
    np.testing.assert_array_equal(values(other)["a", 0], values(net)["a", 0])
    np.testing.assert_array_equal(values(other)["new", 0], before["new", 0])
    assert "Ignoring source layer b" in caplog_minicaffe.messages


def test_later_files_win(saved, tmp_path):
    _, path = saved
    second = make(seed=9)
    save_net(second, tmp_path / "second.caffemodel")
    net = make(seed=2)
    copy_trained_layers(net, path, tmp_path / "second.caffemodel")
    np.testing.assert_array_equal(values(net)["a", 0], values(second)["a", 0])


def test_every_mismatch_at_once_and_nothing_copied(saved):
    _, path = saved
    other = make(
        TEXT.replace("num_output: 4", "num_output: 6 bias_term: false").replace(
            "num_output: 5", "num_output: 7"
        ),
        seed=2,
    )
    before = values(other)
    with pytest.raises(SnapshotError) as caught:
        copy_trained_layers(other, path)
    assert str(caught.value).splitlines() == [
        f'{path}: layer "a" (InnerProduct) has 1 parameters in the net and 2 in the file',
        f'{path}: layer "b" (InnerProduct): parameter 0 is (7, 6) in the net and (5, 4) in the '
        "file; parameter 1 is (7,) in the net and (5,) in the file",
        "To start a layer anew, rename it in the prototxt; its weights are then left out.",
    ]
    for key, array in before.items():
        np.testing.assert_array_equal(values(other)[key], array)


def test_nothing_is_copied_if_a_later_file_is_missing(saved):
    _, path = saved
    other = make(seed=2)
    before = values(other)
    with pytest.raises(SnapshotError, match=re.escape("nowhere: no such file")):
        copy_trained_layers(other, path, "nowhere")
    for key, array in before.items():
        np.testing.assert_array_equal(values(other)[key], array)


@pytest.mark.parametrize(
    ("shape", "stored", "same"),
    [
        ((500, 800), (1, 1, 500, 800), True),
        ((500,), (1, 1, 1, 500), True),
        ((1,), (1, 1, 1, 1), True),
        ((), (1, 1, 1, 1), True),
        ((1, 500), (500,), True),
        ((4096, 9216), (4096, 256, 6, 6), False),
        ((500, 800), (800, 500), False),
        ((500, 1), (500,), False),
    ],
)
def test_old_files_hold_four_axes(shape, stored, same):
    assert same_shape(shape, stored) is same


def test_saving_where_one_cannot(tmp_path):
    with pytest.raises(SnapshotError, match=r"no/w.caffemodel cannot be written: No such file"):
        save_net(make(), tmp_path / "no" / "w.caffemodel")


def test_a_net_without_layers_in_its_phase():
    text = 'layer { name: "x" type: "Input" top: "x" include { phase: TRAIN } }'
    with pytest.raises(NetError) as caught:
        make(text)
    assert str(caught.value) == (
        "<string>: no layer is left in phase TEST (1 in the file). Look at the include and "
        "exclude rules."
    )


def test_diverged_scores_are_never_right():
    net = make(
        'layer { name: "x" type: "Input" top: "x" top: "y" '
        "input_param { shape { dim: 3 dim: 2 } shape { dim: 3 } } }"
        'layer { name: "acc" type: "Accuracy" bottom: "x" bottom: "y" top: "acc" }'
    )
    net.inputs[0].data.set(np.array([[np.nan, np.nan], [1, np.nan], [1, 0]], np.float32))
    net.forward()
    assert net.outputs[0].data.get() == pytest.approx(1 / 3)


def test_hdf5_holds_what_the_binary_file_holds(tmp_path):
    net = Net(deploy_file("squeezenet"), "TEST", seed=1)  # its layers' names have slashes
    for layer in net.layers:
        for index, blob in enumerate(layer.blobs):
            blob.data.set(drawn(f"{layer.name}/{index}", blob.shape))
    save_net(net, tmp_path / "w.caffemodel")
    save_net(net, tmp_path / "w.caffemodel.h5")
    with h5py.File(tmp_path / "w.caffemodel.h5") as file:
        for layer in read_net_weights(tmp_path / "w.caffemodel"):
            group = file["data"][layer.name]
            assert sum(isinstance(item, h5py.Dataset) for item in group.values()) == len(
                layer.blobs
            )
            for index, blob in enumerate(layer.blobs):
                np.testing.assert_array_equal(group[str(index)], blob, strict=True)


SHARED = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" }
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" } } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" }
  inner_product_param { num_output: 3 bias_filler { value: 5 } } }
layer { name: "c" type: "InnerProduct" bottom: "b" top: "c" param { name: "w" }
  inner_product_param { num_output: 3 bias_term: false } }
"""


def test_hdf5_leaves_out_shared_parameters_as_caffe_does(tmp_path):
    net = make(SHARED)
    save_net(net, tmp_path / "w.caffemodel.h5", diffs=True)
    with h5py.File(tmp_path / "w.caffemodel.h5") as file:
        assert {name: sorted(group) for name, group in file["data"].items()} == {
            "x": [],
            "a": ["0", "1"],
            "b": ["1"],
            "c": [],
        }
        assert {name: sorted(group) for name, group in file["diff"].items()} == {
            "a": ["0", "1"],
            "b": ["0", "1"],
            "c": ["0"],
        }
    other = make(SHARED)
    copy_trained_layers(other, tmp_path / "w.caffemodel.h5")
    for mine, theirs in zip(values(other).items(), values(net).items(), strict=True):
        assert mine[0] == theirs[0]
        np.testing.assert_array_equal(mine[1], theirs[1])


def test_only_shared_parameters_may_be_missing(tmp_path):
    save_net(make(SHARED), tmp_path / "w.caffemodel.h5")
    first, *others = SHARED.split('param { name: "w" }')
    text = 'param { name: "w" }'.join([first, "".join(others)])
    with pytest.raises(SnapshotError, match=r'"b" .* has 2 parameters in the net and 1 in'):
        copy_trained_layers(make(text), tmp_path / "w.caffemodel.h5")


def test_a_saved_net_is_what_caffe_saves(tmp_path):
    text = (
        'name: "n" force_backward: true\n'
        'layer { name: "x" type: "Input" top: "x" top: "t" '
        "input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }"
        'layer { name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "t" top: "l" top: "p" }'
        'layer { name: "m" type: "HingeLoss" bottom: "x" bottom: "t" loss_weight: 0.5 }'
    )
    save_net(make(text), tmp_path / "w.caffemodel")
    saved = read_net_binary(tmp_path / "w.caffemodel").param
    assert [field.name for field, _ in saved.ListFields()] == ["name", "layer"]
    assert saved.name == "n"
    assert [list(layer.loss_weight) for layer in saved.layer[-2:]] == [[1, 0], [0.5]]


SMALL = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n' + (
    'layer { name: "one" type: "InnerProduct" bottom: "x" top: "one" '
    "inner_product_param { num_output: 4 } }\n"
    'layer { name: "two" type: "InnerProduct" bottom: "one" top: "two" '
    "inner_product_param { num_output: 4 } }\n"
)


@pytest.fixture
def small_weights(tmp_path):
    """The weights of SMALL."""
    net = Net(parse_net(SMALL), "TEST", seed=1)
    save_net(net, tmp_path / "w.caffemodel")
    return tmp_path / "w.caffemodel"


def warnings_of_copy(log, text, path, phase="TEST"):
    log.clear()
    copy_trained_layers(Net(parse_net(text, "n.prototxt"), phase, seed=2), path)
    return [r.getMessage() for r in log.records if r.levelname == "WARNING"]


def test_weights_for_all_layers_are_no_warning(small_weights, caplog_minicaffe):
    assert warnings_of_copy(caplog_minicaffe, SMALL, small_weights) == []


def test_layers_without_weights_are_named_with_the_nearest_names(small_weights, caplog_minicaffe):
    text = SMALL.replace('name: "two"', 'name: "twos"')
    assert warnings_of_copy(caplog_minicaffe, text, small_weights) == [
        'n.prototxt: the weights have nothing for "twos". They keep the values of their fillers '
        '(without a filler zeros), so results are wrong. "twos": Did you mean two?'
    ]
    (message,) = warnings_of_copy(caplog_minicaffe, text, small_weights, "TRAIN")
    assert (
        "They learn from the values of their fillers, as new layers in fine-tuning do." in message
    )


def test_weights_of_which_no_layer_matches(small_weights, caplog_minicaffe):
    text = SMALL.replace('name: "', 'name: "net/')
    (message,) = warnings_of_copy(caplog_minicaffe, text, small_weights)
    assert message.startswith(
        "n.prototxt: no layer of the net got weights, because the names differ: the net has "
        '"net/one", "net/two", the weights have "one", "two".'
    )


def test_weights_that_a_layer_shares_are_not_missing(small_weights, caplog_minicaffe):
    shared = SMALL.replace("inner_product_param", 'param { name: "w" } inner_product_param', 1)
    shared += (
        'layer { name: "again" type: "InnerProduct" bottom: "x" top: "again" param { name: "w" } '
        "inner_product_param { num_output: 4 bias_term: false } }\n"
    )
    assert warnings_of_copy(caplog_minicaffe, shared, small_weights) == []


BN = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 5 } } }
layer { name: "bn" type: "BN" bottom: "x" top: "bn"
  bn_param { %s slope_filler { type: "gaussian" } } }
"""


@pytest.mark.parametrize("settings", [("engine: CAFFE", ""), ("", "engine: CAFFE")])
def test_batch_norms_of_forks_read_parameters_with_other_axes_of_size_1(settings, tmp_path):
    net, other = (make(BN % text, seed) for seed, text in enumerate(settings))
    save_net(net, tmp_path / "w.caffemodel")
    copy_trained_layers(other, tmp_path / "w.caffemodel")
    for key, array in values(net).items():
        assert array.shape != values(other)[key].shape
        np.testing.assert_array_equal(values(other)[key].ravel(), array.ravel())


def test_a_type_may_find_its_parameters_in_another_order(saved, monkeypatch):
    _, path = saved
    monkeypatch.setattr(InnerProduct, "order_in_file", classmethod(lambda cls, shapes: (1, 0)))
    other = make(seed=2)
    with pytest.raises(SnapshotError, match=r"parameter 1 is \(4,\) in the net and \(4, 3\)"):
        copy_trained_layers(other, path)


@pytest.mark.parametrize(
    ("shapes", "order"),
    [
        ([(3,), (3,), (1,)], [0, 1, 2]),
        ([(3,), (3,), (1,), (3,), (3,)], [0, 1, 2, 3, 4]),
        ([(1, 3), (1, 3), (1, 3), (1, 3), (1,)], [3, 4, 0, 1, 2]),
    ],
    ids=["caffe", "nvcaffe 0.16", "nvcaffe 0.15"],
)
def test_the_parameters_of_batch_norm_in_files(shapes, order):
    assert list(BatchNormWithScale.order_in_file(shapes)) == order
