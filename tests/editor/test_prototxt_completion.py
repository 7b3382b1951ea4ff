"""What can be written at a place of a prototxt, finished or not."""

import pytest
from prototxt_cursor import completed, proposed

from minicaffe.fillers import FILLERS
from minicaffe.layers import LAYERS
from minicaffe.solver.lr_policy import POLICIES
from minicaffe.solver.rules import RULES

NET = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" }
"""


def test_fields_of_the_block_at_the_cursor():
    inside = proposed('layer { type: "Pooling" pooling_param { kernel_size: 2 | } }')
    assert {"pool", "stride", "pad"} <= set(inside)
    assert "kernel_size" not in inside, "it is given already and takes one value"
    assert "pooling_param" not in inside
    outside = proposed('layer { bottom: "a" | }')
    assert {"bottom", "top", "pooling_param"} <= set(outside), "bottom may be repeated"
    top = proposed("name: 'net'\n|")
    assert "layer" in top
    assert "base_lr" not in top


def test_fields_of_the_type_come_first_and_old_ones_last():
    names = list(proposed('layer { name: "a" type: "Convolution" | }'))
    assert names[0] == "convolution_param"
    assert names.index("bottom") < names.index("pooling_param")
    both = list(proposed('layer { type: "SoftmaxWithLoss" | }'))
    assert set(both[:2]) == {"softmax_param", "loss_param"}
    net = proposed("|")
    assert list(net).index("layer") < list(net).index("layers")
    assert net["layers"].is_outdated
    assert not net["layer"].is_outdated


def test_a_field_comes_with_its_documentation():
    field = proposed("layer { pooling_param { | } }")["pool"]
    assert field.detail == "PoolMethod, default MAX"
    assert field.documentation
    assert proposed("layer { | }")["bottom"].detail == "repeated string"


@pytest.mark.parametrize(
    ("marked", "label", "expected"),
    [
        ("layer { convolution_param { num| } }", "num_output", "num_output: |"),
        ("layer { na|", "name", 'name: "|"'),
        ("layer { conv| }", "convolution_param", "convolution_param {\n  |\n}"),
        ("layer { na|me: 'a' }", "name", "name|: 'a'"),  # what follows stays
        ("layer { type: | }", "ReLU", 'type: "ReLU"|'),
        ('layer { type: "Re|" }', "ReLU", 'type: "ReLU|"'),
        ('layer { type: "Re|LU" }', "Sigmoid", 'type: "Sigmoid|"'),
        ('layer { type: "Re|\n bottom: "a"', "ReLU", 'type: "ReLU"|\n bottom: "a"'),
        ("layer { type: Re| }", "ReLU", 'type: "ReLU"|'),
        ("layer { pooling_param { pool: A| } }", "AVE", "pool: AVE|"),
        ("layer { include: { phase: |\n} }", "TEST", "phase: TEST|"),
        ("layer { propagate_down: [true, f|] }", "false", "[true, false|]"),
    ],
)
def test_what_is_written(marked, label, expected):
    assert expected in completed(marked, label)


def test_names_of_types_and_policies():
    assert set(proposed('layer { type: "|" }')) == set(LAYERS)
    assert set(proposed("layer { bias_filler_x { type: | } }")) == set()
    assert set(proposed("layer { scale_param { filler { type: | } } }")) == set(FILLERS)
    solver = "base_lr: 0.1\nmomentum: 0.9\n"
    assert set(proposed(f"{solver}lr_policy: |")) == set(POLICIES)
    assert set(proposed(f'{solver}type: "|"')) == set(RULES)
    assert proposed(f"{solver}lr_policy: |")["step"].detail.startswith("base_lr * gamma ^ floor")
    assert set(proposed("layer { include { phase: | } }")) == {"TRAIN", "TEST"}


def test_types_of_caffe_come_before_those_of_forks():
    names = list(proposed('layer { type: "|" }'))
    assert names.index("TanH") < names.index("Yolov3")


def test_blobs_of_the_layers_before_the_newest_first():
    assert list(proposed(NET + 'layer { bottom: "|" }')) == ["pool1", "conv1", "label", "data"]
    assert list(proposed(f'layer {{ bottom: "|" }}{NET}')) == []
    assert list(proposed('input: "x" layer { bottom: "|" }')) == ["x"]
    names = list(proposed('layer { name: "relu" bottom: "conv" top: "|" }'))
    assert names == ["relu", "conv"], "a name of its own, or in place"


def test_files_below_the_folders(tmp_path):
    for name in ("images/a.txt", "train_lmdb/data.mdb", "mean.binaryproto", ".git/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    folders = [tmp_path, tmp_path / "images"]
    found = proposed('layer { data_param { source: "|" } }', folders=folders)
    kinds = {name: item.kind for name, item in found.items()}
    assert kinds == {
        "images": "folder",
        "train_lmdb": "file",
        "mean.binaryproto": "file",
        "a.txt": "file",
    }
    assert list(proposed('net: "images/|"', "solver.prototxt", folders)) == ["images/a.txt"]
    assert list(proposed('net: "nowhere/|"', "solver.prototxt", folders)) == []


def test_a_missing_brace_does_not_swallow_the_next_layer():
    net = 'layer { name: "a" pooling_param { kernel_size: 2 | \nlayer { type: "ReLU" top: "x" }'
    assert "stride" in proposed(net)
    after = 'layer { name: "a" pooling_param { kernel_size: 2 \nlayer { type: "ReLU" | }'
    assert next(iter(proposed(after))) == "relu_param"


@pytest.mark.parametrize("marked", ["# type: |", "layer { # na|\n}", "layer { unknown { | } }"])
def test_nothing_in_comments_and_unknown_blocks(marked):
    assert not proposed(marked)


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("|", "lenet_solver.prototxt", "base_lr"),
        ("|", "lenet.prototxt", "layer"),
        ("base_lr: 1\n|", "lenet.prototxt", "max_iter"),
        ("item { name: 'cat' }\n|", "map.prototxt", "item"),
        ("layer { }\n|", "my_solver.prototxt", "layer"),
    ],
)
def test_the_kind_of_file_is_guessed(text, path, expected):
    assert expected in proposed(text, path)
