"""Names and numbers of blobs: what is refused, with file and line, all at once."""

from __future__ import annotations

import pytest

from minicaffe.errors import NetError
from minicaffe.net import Net
from minicaffe.schema import parse_net
from probe import net_from_text

DATA = 'layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'


def test_automatic_tops_are_no_outputs(caplog_minicaffe):
    net = net_from_text(
        DATA + 'layer { name: "y" type: "ReLU" bottom: "x" top: "y" }\n'
        'layer { name: "l1" type: "EuclideanLoss" bottom: "x" bottom: "y" }\n'
        'layer { name: "l2" type: "EuclideanLoss" bottom: "x" bottom: "y" loss_weight: 2 }'
    )
    assert net.outputs == []
    assert "This network produces output" not in caplog_minicaffe.text
    net.blobs["x"].data.set([[1, 2, 3], [-2, 0, -4]])
    net.forward()
    assert net.loss() == 3 * (4 + 16) / 4


def refused(*layers):
    """Return the messages of building a net of these layers, one a line from line 2 on."""
    with pytest.raises(NetError) as caught:
        net_from_text(DATA + "\n".join(f"layer {{ {layer} }}" for layer in layers))
    return str(caught.value).split("\n")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            'name: "a" type: "Softmax" bottom: "x" top: "y" softmax_param { normalize_type: "L2" }',
            "(Softmax): softmax_param { normalize_type: L2 }, of a fork, is not computed; remove",
        ),
        (
            'name: "a" type: "implicit" top: "y"',
            '(implicit): unknown layer type "implicit". This is netscope\'s placeholder for data: ',
        ),
        (
            'name: "a" type: "ReLu" bottom: "x" top: "y"',
            '(ReLu): unknown layer type "ReLu". Did you mean ReLU',
        ),
        ('name: "a" bottom: "x" top: "y"', "(): type is missing. Known: "),
        (
            'name: "a" type: "ReLU" bottom: "xx" top: "y"',
            '(ReLU): bottom "xx" does not exist here. Did you mean x?',
        ),
        ('name: "a" type: "ReLU" top: "y"', "(ReLU): has 0 bottoms; ReLU takes exactly 1"),
        ('name: "a" type: "ReLU" bottom: "x"', "(ReLU): has 0 tops; ReLU takes exactly 1"),
        (
            'name: "a" type: "Pooling" bottom: "x" top: "y" top: "m" top: "z"',
            "(Pooling): has 3 tops; Pooling takes 1 to 2",
        ),
        ('name: "a" type: "Split" bottom: "x"', "(Split): has 0 tops; Split takes at least 1"),
        (
            'name: "a" type: "Flatten" bottom: "x" top: "x"',
            '(Flatten): top "x" is its bottom, but Flatten cannot work in place; '
            "give the top a name of its own",
        ),
        (
            'name: "a" type: "Input" top: "x"',
            '(Input): top "x" is made by an earlier layer already; give it another name',
        ),
        (
            'name: "a" type: "ReLU" bottom: "x" top: "y" propagate_down: true propagate_down: true',
            "(ReLU): propagate_down is given 2 times for 1 bottoms",
        ),
    ],
)
def test_one_error(layer, message):
    (found,) = refused(layer)
    assert found.startswith(f'net.prototxt:2, layer "a" {message}')


def test_what_is_known_is_listed_once_for_many_unknown_types():
    first, second, again, nameless = refused(
        'name: "a" type: "Foveate" bottom: "x" top: "y"',
        'name: "b" type: "Eltwis" bottom: "y" top: "z"',
        'name: "c" type: "Foveate" bottom: "z" top: "w"',
        'name: "d" bottom: "w" top: "v"',
    )
    assert first.startswith(
        'net.prototxt:2, layer "a" (Foveate): unknown layer type "Foveate". Replace a layer of a '
        'fork of Caffe by known layers or by one in Python (type: "Python"), or cut the net before '
        "it. Known: "
    )
    assert second.endswith('(Eltwis): unknown layer type "Eltwis". Did you mean Eltwise?')
    assert again == 'net.prototxt:4, layer "c" (Foveate): unknown layer type "Foveate".'
    assert "(): type is missing. " in nameless


def test_copies_of_a_blob_are_not_named():
    (found,) = refused(
        'name: "a" type: "ReLU" bottom: "x" top: "y"',
        'name: "b" type: "TanH" bottom: "x" top: "z"',
        'name: "c" type: "TanH" bottom: "q" top: "w"',
    )
    assert found.endswith("Known: x, y, z.")


def test_a_blob_made_later_is_named_with_its_maker():
    (found,) = refused(
        'name: "a" type: "ReLU" bottom: "y" top: "z"', 'name: "b" type: "ReLU" bottom: "x" top: "y"'
    )
    assert found == (
        'net.prototxt:2, layer "a" (ReLU): bottom "y" does not exist here. '
        'Layer "b" makes it only later; move that layer up'
    )


def test_independent_errors_come_together_and_dependent_ones_do_not():
    found = refused(
        'name: "a" type: "Nonsense" bottom: "x" top: "y"',
        'name: "b" type: "ReLU" bottom: "y" top: "z"',
        'name: "c" type: "ReLU" bottom: "nowhere" top: "v"',
    )
    assert [line.split(":")[1].split(",")[0] for line in found] == ["2", "4"]


def test_shape_errors_of_independent_layers_come_together():
    found = refused(
        'name: "a" type: "Pooling" bottom: "x" top: "y" pooling_param { kernel_size: 2 }',
        'name: "b" type: "ReLU" bottom: "y" top: "z"',
        'name: "c" type: "InnerProduct" bottom: "x" top: "v"',
    )
    assert len(found) == 2
    assert 'layer "a" (Pooling): bottom "x" must be (N, C, H, W)' in found[0]
    assert 'layer "c" (InnerProduct): num_output is missing or 0' in found[1]


def test_a_line_of_its_own_for_each_bottom():
    text = DATA + 'layer {\n  name: "a"\n  type: "Split"\n  bottom: "u"\n  top: "y"\n}\n'
    with pytest.raises(NetError, match=r'^net\.prototxt:5, layer "a"'):
        net_from_text(text)


def test_outputs_are_blobs_without_readers():
    net = net_from_text(
        DATA
        + 'layer { name: "a" type: "ReLU" bottom: "x" top: "z" }'
        + 'layer { name: "b" type: "ReLU" bottom: "x" top: "y" }'
    )
    assert [blob.name for blob in net.outputs] == ["y", "z"]
    assert [blob.name for blob in net.inputs] == ["x"]


def test_a_blob_with_several_readers_has_the_name_it_has_in_the_file():
    messages = refused(
        'name: "ip" type: "InnerProduct" bottom: "x" top: "y" '
        "inner_product_param { num_output: 4 }",
        'name: "sum" type: "Eltwise" bottom: "x" bottom: "y" top: "z"',
    )
    assert len(messages) == 1
    assert messages[0].endswith('bottoms "x" (2, 3) and "y" (2, 4) must have the same shape')


def test_layers_with_parameters_and_one_name(caplog_minicaffe):
    fc = 'type: "InnerProduct" inner_product_param { num_output: 2 }'
    layers = [
        f'name: "fc" {fc} bottom: "x" top: "y"',
        f'name: "fc" {fc} bottom: "y" top: "z"',
        'name: "relu" type: "ReLU" bottom: "z" top: "z"',
        'name: "relu" type: "ReLU" bottom: "y" top: "y2"',
    ]
    net_from_text(DATA + "\n".join(f"layer {{ {layer} }}" for layer in layers))
    warnings = [r.message for r in caplog_minicaffe.records if r.levelname == "WARNING"]
    assert warnings == [
        f'net.prototxt:{line}, layer "fc" (InnerProduct): 2 layers have this name, but weights are '
        "saved and found by it. Give each layer a name of its own."
        for line in (2, 3)
    ]


def test_a_layer_of_the_other_phase_is_named():
    text = (
        'layer { name: "d" type: "DummyData" top: "data" include { phase: TEST } '
        "dummy_data_param { shape { dim: 2 } } }\n"
        'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }\n'
    )
    with pytest.raises(NetError) as caught:
        Net(parse_net(text, "net.prototxt"), "TRAIN")
    assert str(caught.value) == (
        'net.prototxt:2, layer "r" (ReLU): bottom "data" does not exist here. Layer "d" '
        "(net.prototxt:1) makes it, but its include or exclude rule leaves it out of this phase "
        "(or level, or stage); correct the rule, or add such a layer for this phase"
    )


def test_a_bottom_before_all_blobs():
    with pytest.raises(NetError, match=r"does not exist here\. No layer before it makes a blob"):
        Net(parse_net('layer { name: "r" type: "ReLU" bottom: "data" top: "r" }'), "TRAIN")
