"""Where Split layers go, and what everything is called then."""

from __future__ import annotations

from minicaffe.net.include_rules import filter_layers
from minicaffe.net.splits import insert_splits
from minicaffe.schema import NetState, parse_net


def split(*layers):
    """Return the layers after the pass, as (name, type, bottoms, tops, loss weights)."""
    text = "\n".join(f"layer {{ {layer} }}" for layer in layers)
    nodes = insert_splits(filter_layers(parse_net(text), NetState()))
    return [
        (p.name, p.type, list(p.bottom), list(p.top), list(p.loss_weight))
        for p in (node.param for node in nodes)
    ]


DATA = 'name: "data" type: "Input" top: "x" top: "t"'


def test_one_reader_needs_no_split():
    assert [name for name, *_ in split(DATA, 'name: "a" type: "ReLU" bottom: "x" top: "y"')] == [
        "data",
        "a",
    ]


def test_several_readers_get_copies_in_their_order():
    assert split(
        DATA,
        'name: "a" type: "ReLU" bottom: "t" top: "u"',
        'name: "b" type: "ReLU" bottom: "t" top: "v"',
    )[1:] == [
        ("t_data_1_split", "Split", ["t"], ["t_data_1_split_0", "t_data_1_split_1"], []),
        ("a", "ReLU", ["t_data_1_split_0"], ["u"], []),
        ("b", "ReLU", ["t_data_1_split_1"], ["v"], []),
    ]


def test_a_layer_that_reads_a_blob_twice_counts_twice():
    layers = split(DATA, 'name: "a" type: "Eltwise" bottom: "x" bottom: "x" top: "y"')
    assert layers[-1][2] == ["x_data_0_split_0", "x_data_0_split_1"]


def test_in_place_readers_are_of_the_blob_as_it_was_then():
    layers = split(
        DATA,
        'name: "a" type: "ReLU" bottom: "x" top: "x"',
        'name: "b" type: "ReLU" bottom: "x" top: "u"',
        'name: "c" type: "ReLU" bottom: "x" top: "v"',
    )
    assert [(name, bottoms) for name, _, bottoms, *_ in layers] == [
        ("data", []),
        ("a", ["x"]),
        ("x_a_0_split", ["x"]),
        ("b", ["x_a_0_split_0"]),
        ("c", ["x_a_0_split_1"]),
    ]


def test_a_loss_weight_counts_as_a_reader_and_moves_to_the_first_copy():
    layers = split(
        DATA,
        'name: "a" type: "ReLU" bottom: "x" top: "y" loss_weight: 0.5',
        'name: "b" type: "ReLU" bottom: "y" top: "z"',
    )
    assert layers[1:] == [
        ("a", "ReLU", ["x"], ["y"], [0.0]),
        ("y_a_0_split", "Split", ["y"], ["y_a_0_split_0", "y_a_0_split_1"], [0.5, 0.0]),
        ("b", "ReLU", ["y_a_0_split_1"], ["z"], []),
    ]


def test_superfluous_and_missing_loss_weights_are_no_error_where_a_loss_moves(caplog_minicaffe):
    layers = split(
        DATA,
        'name: "a" type: "ReLU" bottom: "x" top: "y" loss_weight: 0.5 loss_weight: 2',
        'name: "b" type: "ReLU" bottom: "y" top: "z"',
        'name: "c" type: "Slice" bottom: "t" top: "u" top: "v" top: "w" loss_weight: 3',
        'name: "d" type: "ReLU" bottom: "u" top: "s"',
    )
    assert [weights for *_, weights in layers] == [[], [0], [0.5, 0], [], [0, 0, 0], [3, 0], []]
    [message] = [r.getMessage() for r in caplog_minicaffe.records if r.levelname == "WARNING"]
    assert message == (
        'layer "a" (ReLU): loss_weight is given 2 times for 1 top; those from number 2 on have no '
        "effect. Remove them."
    )


def test_weights_of_other_tops_stay_where_a_loss_moves():
    layers = split(
        DATA,
        'name: "c" type: "Slice" bottom: "t" top: "u" top: "v" loss_weight: 3 loss_weight: 2',
        'name: "d" type: "ReLU" bottom: "u" top: "s"',
    )
    assert [weights for *_, weights in layers] == [[], [0, 2], [3, 0], []]


def test_a_loss_without_readers_stays():
    layers = split(DATA, 'name: "a" type: "ReLU" bottom: "x" top: "y" loss_weight: 0.5')
    assert layers[-1] == ("a", "ReLU", ["x"], ["y"], [0.5])
