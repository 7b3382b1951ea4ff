"""Upgrades of old formats give the output of Caffe's own tools and preserve line numbers."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from minicaffe.errors import SchemaError
from minicaffe.log import logger
from minicaffe.schema import (
    NetParameter,
    ParamSpec,
    SolverParameter,
    format_prototxt,
    net_is_current,
    parse_net,
    read_net,
    read_net_binary,
    read_net_weights,
    read_prototxt,
    read_solver,
    upgrade_net,
    upgrade_solver,
)
from minicaffe.schema.minicaffe_pb2 import Pooling3DParameter, V1LayerParameter
from minicaffe.schema.upgrade import current_type

LEGACY = Path(__file__).parents[1] / "golden" / "legacy"
NETS = ("v0_net", "v1_net", "input_fields")


@pytest.fixture
def lines():
    """Collect the log messages."""
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def upgraded(name: str) -> str:
    return (LEGACY / f"{name}.upgraded.prototxt").read_text()


@pytest.mark.parametrize("name", NETS)
def test_text_nets_equal_those_of_caffes_tool(name):
    source = read_net(LEGACY / f"{name}.prototxt")
    assert format_prototxt(source.param) == upgraded(name)
    # As in Caffe, a BatchNorm with three param entries is upgraded again and again.
    assert net_is_current(source.param) == (name != "input_fields")


@pytest.mark.parametrize("name", NETS)
def test_binary_nets_equal_those_of_caffes_tool(name, tmp_path):
    old = read_prototxt(LEGACY / f"{name}.prototxt", NetParameter).message
    (tmp_path / "net.caffemodel").write_bytes(old.SerializeToString())
    source = read_net_binary(tmp_path / "net.caffemodel")
    assert format_prototxt(source.param) == upgraded(name)
    assert source.where(0) == str(tmp_path / "net.caffemodel")


def test_reading_weights_logs_what_reading_their_net_does(lines, tmp_path):
    old = read_prototxt(LEGACY / "v0_net.prototxt", NetParameter).message
    path = tmp_path / "net.caffemodel"
    path.write_bytes(old.SerializeToString())
    read_net_binary(path)
    of_net = lines[:]
    lines.clear()
    read_net_weights(path)
    assert lines == of_net != []


def test_reading_weights_with_batch_norms_logs_their_upgrade(lines, tmp_path):
    path = tmp_path / "net.caffemodel"
    net = NetParameter()
    net.layer.add(name="bn", type="BatchNorm").param.extend([ParamSpec(lr_mult=0)] * 3)
    path.write_bytes(net.SerializeToString())
    read_net_weights(path)
    assert lines == [
        f"Attempting to upgrade batch norm layers using deprecated params: {path}",
        "Successfully upgraded batch norm layers using deprecated params.",
    ]


def test_weights_of_a_fork_are_read_although_their_net_is_not(lines, tmp_path):
    path = tmp_path / "net.caffemodel"
    net = NetParameter()
    v0 = net.layers.add().layer
    v0.name, v0.type = "x", "of a fork"
    v0.blobs.add(data=[1, 2]).shape.dim.extend([2])
    path.write_bytes(net.SerializeToString())
    [layer] = read_net_weights(path)
    assert (layer.name, layer.blobs[0].tolist()) == ("x", [1, 2])


def test_solver_equals_that_of_caffes_tool(lines):
    solver = read_prototxt(LEGACY / "solver_enum.prototxt", SolverParameter).message
    upgrade_solver(solver, "s.prototxt")
    assert format_prototxt(solver) == upgraded("solver_enum")
    assert lines == [
        "Attempting to upgrade input file specified using deprecated 'solver_type' field (enum): "
        "s.prototxt",
        "Successfully upgraded file specified using deprecated 'solver_type' field (enum) to "
        "'type' field (string).",
    ]


def test_each_step_is_logged_as_caffe_does(lines):
    path = LEGACY / "v1_net.prototxt"
    read_net(path)
    prefix = "Attempting to upgrade input file specified using deprecated"
    assert lines == [
        f"{prefix} transformation parameters: {path}",
        "Successfully upgraded file specified using deprecated data transformation parameters.",
        f"{prefix} V1LayerParameter: {path}",
        "Successfully upgraded file specified using deprecated V1LayerParameter",
    ]


def test_the_upgrade_preserves_line_numbers():
    v0 = read_net(LEGACY / "v0_net.prototxt")
    assert v0.origin == [None, 1, 2, 3, 4, 5, 6, 7]  # an Input layer is added, padding removed
    assert [v0.where(i).rpartition(":")[2] for i in (0, 1, 7)] == ["2", "4", "10"]
    v1 = read_net(LEGACY / "v1_net.prototxt")
    assert v1.where(0, "data_param.batch_size").endswith("v1_net.prototxt:4")
    assert v1.where(2, "convolution_param.num_output").endswith("v1_net.prototxt:15")
    assert v1.where(2, "convolution_param.pad").endswith("v1_net.prototxt:15")
    assert v1.where().endswith("v1_net.prototxt")


def test_where_of_a_current_net():
    text = 'layer {\n  name: "a"\n  bottom: "x"\n  bottom: "y"\n}\ninput: "x"\n'
    text += "input_shape { dim: 1 }\n"
    source = parse_net(text, "net.prototxt")
    assert source.origin == [None, 0]
    assert source.where(1, "bottom", 1) == "net.prototxt:4"
    assert source.where(0, "top") == "net.prototxt:6"


def test_a_net_inside_a_solver_is_upgraded_with_its_line_numbers(tmp_path):
    path = tmp_path / "solver.prototxt"
    path.write_text(
        'snapshot_prefix: "snap"\nbase_lr: 0.1\nstepvalue: 1\nstepvalue: 2\n'
        'test_net_param { name: "one" }\n'
        'test_net_param {\n  layers { type: RELU\n    name: "r" }\n}\n'
    )
    solver = read_solver(path)
    assert solver.where("stepvalue", 1) == f"{path}:4"
    assert solver.where() == str(path)
    net = solver.inline_net("test_net_param", 1)
    assert net.param.layer[0].type == "ReLU"
    assert net.where() == f"{path}:6"
    assert net.where(0) == f"{path}:7"
    assert net.where(0, "name") == f"{path}:8"


def test_snapshot_prefix_defaults_to_the_path_of_the_solver(tmp_path, lines):
    path = tmp_path / "quick_solver.prototxt"
    path.write_text("max_iter: 1")
    assert read_solver(path).param.snapshot_prefix == str(tmp_path / "quick_solver")
    assert lines[-1].startswith("snapshot_prefix was not specified and is set to ")
    path.write_text(f'snapshot_prefix: "{tmp_path}"')
    assert read_solver(path).param.snapshot_prefix == str(tmp_path / "quick_solver")
    assert lines[-1].startswith("snapshot_prefix was a directory and is replaced to ")
    path.write_text('snapshot_prefix: "later/"')
    assert read_solver(path).param.snapshot_prefix == "later/quick_solver"


def test_every_v1_type_has_the_name_of_a_layer():
    names = {current_type(number) for number in V1LayerParameter.LayerType.values()}
    assert {"Im2col", "HDF5Data", "SigmoidCrossEntropyLoss", "SoftmaxWithLoss", "LRN", ""} <= names
    assert len(names) == len(V1LayerParameter.LayerType.values())
    assert not any("_" in name for name in names)


def test_v0_fields_of_every_type_move_to_their_block(lines):
    text = """
    layers { layer { name: "d" type: "images" source: "l.txt" batchsize: 4 cropsize: 8 scale: 0.5
             meanfile: "m" mirror: true shuffle_images: true new_height: 9 new_width: 9 } top: "d" }
    layers { layer { name: "w" type: "window_data" det_fg_threshold: 0.6 det_crop_mode: "square" } }
    layers { layer { name: "c" type: "concat" concat_dim: 0 } bottom: "d" top: "c" }
    layers { layer { name: "i" type: "infogain_loss" source: "h" } bottom: "c" }
    layers { layer { name: "o" type: "hdf5_output" hdf5_output_param { file_name: "o.h5" } } }
    layers { layer { name: "r" type: "relu" num_output: 3 } bottom: "d" top: "d" }
    """
    layers = parse_net(text).param.layer
    assert [layer.type for layer in layers] == [
        "ImageData",
        "WindowData",
        "Concat",
        "InfogainLoss",
        "HDF5Output",
        "ReLU",
    ]
    images = layers[0]
    assert images.image_data_param.source == "l.txt"
    assert images.image_data_param.shuffle
    assert images.image_data_param.new_height == 9
    assert images.transform_param.crop_size == 8
    assert images.transform_param.mean_file == "m"
    assert layers[1].window_data_param.crop_mode == "square"
    assert layers[2].concat_param.concat_dim == 0
    assert layers[3].infogain_loss_param.source == "h"
    assert layers[4].hdf5_output_param.file_name == "o.h5"
    assert "Unknown parameter num_output for layer type relu (<string>)" in lines


def test_the_upgrade_preserves_weights():
    net = NetParameter()
    old = net.layers.add(bottom=["x"], top=["y"])
    old.layer.name, old.layer.type = "fc", "innerproduct"
    old.layer.blobs.add(num=1, channels=1, height=2, width=1).data.extend([3, 4])
    upgrade_net(net, "n")
    assert list(net.layer[0].blobs[0].data) == [3, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'layers { layer { type: "relu" } } layer { }',
            "n: the net has 1 `layers` .* must have one kind",
        ),
        ('layers { layer { name: "a" type: "magic" } }', 'n: .* unknown V0 type "magic". Known: '),
        (
            'layers { layer { name: "p" type: "padding" pad: 1 } bottom: "a" top: "b" }'
            'layers { layer { name: "r" type: "relu" } bottom: "b" top: "c" }',
            'n: layer "r" .relu. reads from padding layer "p"; only conv and pool can pad',
        ),
        (
            'layers { layer { name: "p" type: "padding" pad: 1 } bottom: "a" }',
            'n: padding layer "p" has 1 bottoms and 0 tops; it must have one of each',
        ),
        (
            'input: "a" input: "b" input_dim: 1',
            "n: .* 2 input and 1 input_dim; .* four .* 8 ",
        ),
        (
            'input: "a" input: "b" input_shape {}',
            "n: .* 2 input and 1 input_shape; .* one .* 2 ",
        ),
    ],
)
def test_invalid_nets_in_old_formats_are_refused(text, message):
    with pytest.raises(SchemaError, match=message):
        parse_net(text, "n")


def test_a_solver_with_type_and_solver_type_is_refused():
    solver = SolverParameter(type="Adam", solver_type=SolverParameter.ADAM)
    with pytest.raises(SchemaError, match=r"s: solver_type .* and type are both set"):
        upgrade_solver(solver, "s")


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("type: DATA input_param { shape { dim: 1 } }", "which has no input_param { }. Write"),
        ("type: CONVOLUTION param { lr_mult: 0 }", "which has no param { }. Write `layer`"),
        ("type: RELU propagate_down: false", "which has no propagate_down. Write `layer`"),
        ('type: "BatchNorm"', 'without quotes; found "BatchNorm".'),
        ("type: BATCHNORM", 'type: "BatchNorm". Known: ABSVAL,'),
        ("type: CONVOLUTON", "Did you mean CONVOLUTION"),
    ],
)
def test_the_current_form_inside_the_old_one(layer, words):
    with pytest.raises(SchemaError) as caught:
        parse_net(f'layers {{\n  name: "a" {layer} }}', "net.prototxt")
    assert str(caught.value).startswith("net.prototxt:2:")
    assert words in str(caught.value)
    assert "`layers`" in str(caught.value)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('layers { type: "Convolution" }', "Convolution"),
        ("layers { type: ReLu }", "ReLU"),
        ("layers { type: 'SigmoidCrossEntropyLoss' }", "SigmoidCrossEntropyLoss"),
        ('layers { type: "SoftmaxWithLoss" }', "SoftmaxWithLoss"),
        ('layers { type: "Softmax" }', "Softmax"),
        ('layer { type: "SoftmaxLoss" }', "SoftmaxWithLoss"),
        ("layers { type: VIDEO_DATA }", "VideoData"),
        ("layers { type: CROP }", "Crop"),
        ("layers { type: VOXEL_SOFTMAX_LOSS }", "VoxelSoftmaxLoss"),
    ],
)
def test_types_that_mix_the_forms_are_read(written, read):
    net = parse_net(written)
    assert [layer.type for layer in net.param.layer] == [read]
    with pytest.raises(SchemaError, match=f'n:1:{len(written) + 2}: message "NetParameter" has no'):
        parse_net(f"{written} wrong: 1", "n")


def test_a_text_may_mix_both_forms(lines):
    net = parse_net(
        """layer { name: "a" type: "Input" }
layers { name: "b" type: DATA data_param { source: "x" mirror: true } }
layer { name: "c" type: "ReLU"
  relu_param { negative_slope: 2 } }
layers { name: "d" type: CONVOLUTION
  blobs_lr: 3 convolution_param { num_output: 4 } }
layer { name: "e" type: "SoftmaxLoss" }""",
        "n",
    )
    assert "".join(layer.name for layer in net.param.layer) == "abcde"
    assert not net.param.layers
    assert net.param.layer[1].transform_param.mirror
    assert (net.param.layer[3].type, net.param.layer[3].param[0].lr_mult) == ("Convolution", 3)
    assert net.param.layer[4].type == "SoftmaxWithLoss"
    assert [net.where(k) for k in range(5)] == ["n:1", "n:2", "n:3", "n:5", "n:7"]
    assert net.where(2, "relu_param.negative_slope") == "n:4"
    assert net.where(3, "convolution_param.num_output") == "n:6"
    assert lines[0].startswith("n: the net has 2 `layers` (the old format) and 3 `layer` (the")


def test_a_message_cannot_mix_both_forms():
    net = NetParameter()
    net.layers.add()
    net.layer.add()
    with pytest.raises(SchemaError, match="it must have one kind"):
        upgrade_net(net, "n")


def test_crop_of_the_old_form_is_warned_of(lines):
    parse_net('layers { name: "c" type: CROP bottom: "a" bottom: "b" top: "c" }', "n")
    assert any(line.startswith('n: layer "c": type CROP of early forks finds') for line in lines)


def test_layers_of_c3d_get_the_messages_of_its_next_version():
    net = parse_net("""
        layers { name: "data" type: VIDEO_DATA
          image_data_param { source: "x" mean_file: "m" new_length: 16 use_image: true
            mirror: true } }
        layers { name: "conv" type: CONVOLUTION3D blobs_lr: 2
          convolution_param { num_output: 4 kernel_size: 3 kernel_depth: 2 pad: 1 temporal_pad: 1
            weight_filler { type: "xavier" } } }
        layers { name: "pool" type: POOLING3D
          pooling_param { pool: AVE kernel_size: 2 kernel_depth: 1 temporal_stride: 1 } }""")
    data, conv, pool = net.param.layer
    assert format_prototxt(data).splitlines()[1:] == [
        'type: "VideoData"',
        "transform_param {",
        "  mirror: true",
        '  mean_file: "m"',
        "}",
        "video_data_param {",
        '  source: "x"',
        "  new_length: 16",
        "  use_image: true",
        "}",
    ]
    assert not conv.HasField("convolution_param")
    c = conv.convolution3d_param
    assert (c.num_output, c.kernel_size, c.kernel_depth, c.pad, c.temporal_pad) == (4, 3, 2, 1, 1)
    assert c.weight_filler.type == "xavier"
    assert conv.param[0].lr_mult == 2
    assert (pool.type, pool.pooling3d_param.pool, pool.pooling3d_param.kernel_depth) == (
        "Pooling3D",
        Pooling3DParameter.AVE,
        1,
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("kernel_h: 3", 'layer "a": convolution_param { kernel_h } has no meaning in a layer of'),
        ("pad: 1 pad: 2", 'layer "a": convolution_param { pad } takes one value in a layer of'),
    ],
)
def test_settings_that_c3d_lacks(setting, message):
    text = f'layers {{ name: "a" type: CONVOLUTION3D convolution_param {{ {setting} }} }}'
    with pytest.raises(SchemaError, match=message):
        parse_net(text)


@pytest.mark.parametrize(
    "content",
    [b"\x12\x04\x22\x02\xff\xfe", b"\x12\x0c\x0a\x0a\x0a\x02\xff\xfe\x12\x04conv"],
    ids=["V1", "V0"],
)
def test_old_weights_with_a_name_that_is_not_utf8(content):
    net = NetParameter.FromString(content)
    with pytest.raises(SchemaError, match=r"w: the name b'\\xff\\xfe' is not UTF-8 text; the file"):
        upgrade_net(net, "w")
