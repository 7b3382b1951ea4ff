"""Parameters shared by name."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.errors import NetError
from probe import net_from_text

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'


def ip(name, top, spec, settings="num_output: 3", bottom="x"):
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" '
        f"param {{ {spec} }} inner_product_param {{ bias_term: false {settings} "
        'weight_filler { type: "gaussian" } } }\n'
    )


def test_shared_parameters_are_one_with_one_gradient(caplog_minicaffe):
    net = net_from_text(
        "force_backward: true\n" + INPUT + ip("a", "u", 'name: "w"') + ip("b", "v", 'name: "w"')
    )
    (parameter,) = net.parameters
    assert (parameter.layer.name, parameter.index, parameter.name) == ("a", 0, "w")
    first, second = (net.layers[net.layer_index(name)].blobs[0] for name in "ab")
    np.testing.assert_array_equal(first.data.get(), second.data.get())
    first.data.set(np.ones((3, 3)))
    assert second.data.get().all()
    net.forward()
    for name in "uv":
        net.blobs[name].diff.set(np.ones((2, 3)))
    net.blobs["x"].data.set(np.ones((2, 3)))
    net.forward()
    net.clear_param_diffs()
    net.backward()
    np.testing.assert_array_equal(first.diff.get(), np.full((3, 3), 4))
    messages = caplog_minicaffe.messages
    shared = messages.index("Sharing parameters 'w' owned by layer 'a', param index 0")
    # In Caffe's place: when the layer has been set up, before the next is created.
    assert messages[shared - 1].startswith("Memory required for data: ")
    assert messages[shared - 3] == "Setting up b"


def test_strict_sharing_refuses_another_shape():
    with pytest.raises(NetError) as caught:
        net_from_text(
            INPUT + ip("a", "u", 'name: "w"') + ip("b", "v", 'name: "w"', "num_output: 5")
        )
    assert str(caught.value) == (
        'net.prototxt:3, layer "b" (InnerProduct): parameter 0, "w", has shape (5, 3); layer "a", '
        "which it shares it with, has (3, 3). They need the same shape, or share_mode: PERMISSIVE "
        "with as many values."
    )


def test_permissive_sharing_needs_as_many_values():
    first = ip("a", "u", 'name: "w"', "num_output: 5")
    wide = ip("b", "v", 'name: "w" share_mode: PERMISSIVE', "num_output: 3", bottom="u")
    net = net_from_text(INPUT + first + wide)
    shapes = [net.layers[net.layer_index(name)].blobs[0].shape for name in "ab"]
    assert shapes == [(5, 3), (3, 5)]
    net.parameters[0].blob.data.set(np.arange(15).reshape(5, 3))
    shared = net.layers[net.layer_index("b")].blobs[0].data.get()
    np.testing.assert_array_equal(shared, np.arange(15).reshape(3, 5))
    with pytest.raises(NetError, match="They need as many values"):
        net_from_text(INPUT + first + wide.replace("num_output: 3", "num_output: 4"))


def test_rates_may_be_given_once_and_must_not_contradict():
    layers = ip("a", "u", 'name: "w"') + ip("b", "v", 'name: "w" lr_mult: 3 decay_mult: 0')
    (parameter,) = net_from_text(INPUT + layers).parameters
    assert (parameter.lr_mult, parameter.decay_mult) == (3, 0)
    with pytest.raises(NetError) as caught:
        net_from_text(
            INPUT
            + ip("a", "u", 'name: "w" lr_mult: 1 decay_mult: 1')
            + ip("b", "v", 'name: "w" lr_mult: 3 decay_mult: 0')
        )
    assert str(caught.value).split("\n") == [
        f'net.prototxt:3, layer "b" (InnerProduct): parameter "w" has {field}: {here} here and 1 '
        'in layer "a"; it can have one only'
        for field, here in (("lr_mult", 3), ("decay_mult", 0))
    ]


def test_more_param_blocks_than_parameters_are_refused():
    with pytest.raises(NetError, match="param is given 2 times; InnerProduct has 1 parameters"):
        net_from_text(INPUT + ip("a", "u", "lr_mult: 1 } param { lr_mult: 2"))


def test_debug_info_calls_a_parameter_by_its_name_forward_and_by_its_index_backward(
    caplog_minicaffe,
):
    net = net_from_text(
        "force_backward: true debug_info: true\n" + INPUT + ip("a", "u", 'name: "w"')
    )
    net.forward()
    net.backward()
    lines = [m.split(" data: ")[0].split(" diff: ")[0] for m in caplog_minicaffe.messages]
    assert "    [Forward] Layer a, param blob w" in lines
    assert "    [Backward] Layer a, param blob 0" in lines
