"""Prototxt: parsing, locations of fields, formatting, and the error for each kind of mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from minicaffe.errors import SchemaError
from minicaffe.schema.minicaffe_pb2 import TEST, NetParameter, SolverParameter
from minicaffe.schema.text import format_prototxt, parse_prototxt, read_prototxt, write_prototxt

LEGACY = Path(__file__).parents[1] / "golden" / "legacy"

NET = """\
name: "places"  # the first line
layer {
  name: "conv1"
  type: "Convolution"
  bottom: "data"
  convolution_param {
    kernel_size: [3,
                  5]
    group: 2
  }
}
layer { name: "sum" type: "Eltwise"
  bottom: "a"
  bottom: "b" }
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("layer", 0), 2),
        (("layer", 0, "convolution_param", "group"), 9),
        (("layer", 0, "convolution_param", 0, "group"), 9),
        (("layer", 0, "convolution_param", "kernel_size", 1), 7),
        (("layer", 1), 12),
        (("layer", 1, "bottom", 1), 14),
        (("layer", 1, "eltwise_param", "operation"), 12),
        (("layer", 0, "convolution_param", "stride"), 6),
    ],
)
def test_where_returns_the_line_of_a_field_or_of_the_enclosing_block(path, line):
    assert parse_prototxt(NET, NetParameter, "net.prototxt").where(*path) == f"net.prototxt:{line}"


def test_where_returns_the_path_if_no_line_is_known():
    assert parse_prototxt(NET, NetParameter, "net.prototxt").where("layer", 7) == "net.prototxt"


def test_the_whole_text_format_is_parsed():
    text = (
        "layer < name: 'x' \"y\" bottom: [\"a\", 'b\\n']; loss_weight: [1, -.5, 2.f, 1e-3],\n"
        "  include: { phase: 1 } propagate_down: true propagate_down: 0 > # end"
    )
    [layer] = parse_prototxt(text, NetParameter).message.layer
    assert layer.name == "xy"
    assert list(layer.bottom) == ["a", "b\n"]
    assert list(layer.loss_weight) == pytest.approx([1, -0.5, 2, 0.001])
    assert layer.include[0].phase == TEST
    assert list(layer.propagate_down) == [True, False]


def test_byte_order_mark_crlf_and_comments_in_other_encodings_are_accepted(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes(b'\xef\xbb\xbfname: "n" # gr\xfc\xdfe\r\nlayer {\r\n  name: "x"\r\n}\r\n')
    parsed = read_prototxt(path, NetParameter)
    assert parsed.message.layer[0].name == "x"
    assert parsed.where("layer", 0, "name") == f"{path}:3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "layer { convolution_param { kernal_size: 3 } }",
            'n:1:29: message "ConvolutionParameter" has no field "kernal_size". '
            "Did you mean kernel_size or kernel_w or kernel_h? Known: axis, bias_filler, ",
        ),
        (
            "layer {\n  kernel_size: 3\n}",
            'n:2:3: message "LayerParameter" has no field "kernel_size". '
            "It belongs in a block: convolution_param, pooling_param, convolution3d_param, "
            "pooling3d_param, correlation_param. Known: ",
        ),
        (
            "layer { rotate_param { order: 0 } }",
            'n:1:9: message "LayerParameter" has no field "rotate_param". Did you mean '
            "concat_param or tile_param or tanh_param? The settings of a fork's layer: "
            'replace that layer by known ones or by one in Python (type: "Python"), or cut the net '
            "before it. Known: accum_param, ",
        ),
        (
            "layers { deformable_param { } }",
            'n:1:10: message "V1LayerParameter" has no field "deformable_param". Did you mean '
            "transform_param or argmax_param or softmax_param? The settings of a fork",
        ),
        (
            "layer { dropout_param { halve_it: true } }",
            'n:1:25: message "DropoutParameter" has no field "halve_it". This may be a field of '
            "a fork: delete it if the results do not depend on it. Known: dropout_ratio, "
            "engine, sample_weights_test, scale_train.",
        ),
        (
            "layer { relu_param { engine: FASTER } }",
            'n:1:30: "engine" takes one of the names of Engine; found FASTER. This may be the '
            "engine of a fork: delete the line; results stay the same. Known: CAFFE, CUDNN, "
            "DEFAULT, MKL2017, MKLDNN.",
        ),
        (
            "base_lr: 0.1",
            'n:1:1: message "NetParameter" has no field "base_lr". This looks like a solver; a net '
            "is needed here. Known: ",
        ),
        (
            "layer { blobs_lr: 1 }",
            'n:1:9: message "LayerParameter" has no field "blobs_lr". It belongs to the old '
            "`layers`; in `layer` it is param { lr_mult: ... }. Did you mean blobs? Known: ",
        ),
        (
            'layer {\n  convolution_param {\n    num_output: 2\n}\nlayer { name: "b" }\n',
            'n:5:1: message "LayerParameter" has no field "layer". '
            'Is a "}" missing? The block of line 2 is still open. ',
        ),
        (
            "layer {\n  convolution_param {\n    num_output: 2\n}\n",
            'n:5:1: the file ends inside a block: the "{" at line 2, column 21 is probably not '
            'closed. Add "}"',
        ),
        ("layer {", 'n:1:8: the file ends inside a block: the "{" at line 1, column 7 is'),
        ('name: "a"\n}', 'n:2:1: "}" closes no block: there is one too many, here or above'),
        ('layer { name: "x" >', 'n:1:19: ">" cannot close the "{" of line 1'),
        ("layer { name: 3 }", 'n:1:15: "name" takes text in quotes ("..."); found 3'),
        ("name: ", 'n:1:7: "name" takes text in quotes ("..."); found the end of the file'),
        ("name: {}", 'n:1:7: "name" takes text in quotes ("..."); found a block'),
        ("layer: 5", 'n:1:8: "layer" takes a block: { ... }; found 5'),
        (
            "layer { convolution_param { num_output: -1 } }",
            'n:1:41: "num_output" takes a whole number from 0 to 4294967295; found -1',
        ),
        ("force_backward: yes", 'n:1:17: "force_backward" takes true or false; found yes'),
        ("layer { loss_weight: abc }", 'n:1:22: "loss_weight" takes a number; found abc'),
        (
            "layer { pooling_param { pool: MAXX } }",
            'n:1:31: "pool" takes one of the names of PoolMethod; found MAXX. '
            "Did you mean MAX? Known: AVE, MAX, STOCHASTIC.",
        ),
        (
            'layer { pooling_param { pool: "MAX" } }',
            'n:1:31: "pool" takes one of the names of PoolMethod without quotes; found "MAX".',
        ),
        ("layer { clip_param { min: 1 } }", 'n:1:9: "clip_param" must set "max"; add max: ...'),
        (
            'name: "a"\nname: "b"',
            'n:2:1: "name" is set twice in one NetParameter, first in line 1; it takes one value. ',
        ),
        ('name "a"', 'n:1:6: ":" must follow "name", not "a"'),
        ('name: "a', 'n:1:7: a string begins with " and is not closed on this line'),
        ('name: ["a"]', 'n:1:7: "name" takes one value, not a list'),
        ('layer { bottom: ["a" "b" }', 'n:1:26: "," or "]" is expected here, not }'),
        ('"name": 1', 'n:1:1: a field name is expected here, not "name"'),
        ("@", "n:1:1: the character '@' has no meaning here"),
        ("// a", 'n:1:1: "//" begins no comment here: comments begin with #'),
        ("name: “a”", 'n:1:7: “ is a typographic quote, as word processors write it; write " in'),
        ("name\uff1a 1", "n:1:5: \uff1a is made of full-width characters; write : instead"),
        (
            "input_dim: \uff16\uff14",
            "n:1:12: \uff16\uff14 is made of full-width characters; write 64 instead",
        ),
        ("na\u200bme: 1", "n:1:3: the invisible character U+200B (ZERO WIDTH SPACE) has no"),
        (
            "input_dim: 100,000",
            'n:1:16: "," does not belong into a number: 100,000. Write 100000 without commas '
            "(100.000, if it is a decimal comma)",
        ),
        ("input_dim: 1,000,000", 'n:1:14: "," does not belong into a number: 1,000. Write 1000000'),
        ("layer { loss_weight: 0,5 }", 'n:1:24: "," does not belong into a number: 0,5. Write 0.5'),
        ("input_dim: 1, 2", "n:1:15: a field name is expected here, not the number 2. Several"),
        (
            r'layer { data_param { source: "C:\Users\me" } }',
            r'n:1:33: "\U" is no escape that a text can have: write / or \\ in paths; found "C:\Us',
        ),
        (r'name: "a\d"', r'n:1:9: "\d" is no escape that a text can have: write / or \\'),
        (
            r'layer { data_param { source: "D:\train" } }',
            r'n:1:33: "\t" is a tab, which the path in "source" hardly contains: write / or \\ in '
            r'paths; found "D:\train"',
        ),
        (
            r'layer { data_param { source: "D:\101" } }',
            r"""n:1:33: "\101" is 'A', which the path in "source" hardly contains""",
        ),
        ('name: "a\0b"', "n:1:9: a text cannot contain a NUL character"),
        (r'name: "a\0b"', "n:1:9: a text cannot contain a NUL character"),
        (r'name: "\xff"', 'n:1:7: the escapes in the value of "name" are not UTF-8'),
        (
            'name: "D:\\data\\"\nlayer { }',
            'n:1:7: a string begins with " and is not closed on this line; a \\ before the closing',
        ),
        ("\udce4: 1", "n:1:1: this is not UTF-8 text; save the file as UTF-8"),
        ('name: "\udce4"', 'n:1:7: the value of "name" is not UTF-8; save the file as UTF-8'),
    ],
)
def test_a_mistake_raises_one_error_with_position_and_fix(text, message):
    with pytest.raises(SchemaError) as raised:
        parse_prototxt(text, NetParameter, "n")
    assert str(raised.value).startswith(message)


def test_a_space_after_a_minus_is_ignored():
    net = parse_prototxt("layer { loss_weight: - 1.5 loss_weight: [-  2, - \t3] }", NetParameter)
    assert list(net.message.layer[0].loss_weight) == [-1.5, -2, -3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loss_weight: -\n1", "n:2:1: a field name is expected here, not the number 1"),
        ("loss_weight: - - 1", "n:1:26: a field name is expected here, not the number 1"),
        ("loss_weight: -", 'n:1:22: "loss_weight" takes a number; found -'),
    ],
)
def test_a_minus_without_a_number_is_an_error(text, message):
    with pytest.raises(SchemaError, match=message):
        parse_prototxt(f"layer {{ {text} }}", NetParameter, "n")


def test_the_first_of_several_gpus_counts(caplog_minicaffe):
    solver = parse_prototxt("base_lr: 1 device_id: [2, 3]\ngamma: 4", SolverParameter, "s")
    assert (solver.message.device_id, solver.message.gamma) == (2, 4)
    assert "s:1:23: one GPU is used, the first of device_id" in caplog_minicaffe.text


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x0a\x05LeNet\xa2\x06\x10\x00\x01", "a binary file"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    ],
)
def test_a_file_of_another_type_is_refused_with_its_type(content, kind, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes(content)
    with pytest.raises(SchemaError, match=f"net.prototxt: a prototxt is needed here; .* {kind}"):
        read_prototxt(path, NetParameter)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(SchemaError, match=r"none\.prototxt: no such file"):
        read_prototxt(tmp_path / "none.prototxt", NetParameter)
    with pytest.raises(SchemaError, match="is a folder; a file is needed"):
        read_prototxt(tmp_path, NetParameter)


@pytest.mark.parametrize("path", sorted(LEGACY.glob("*.upgraded.prototxt")), ids=lambda p: p.name)
def test_messages_are_formatted_byte_for_byte_as_by_caffe(path, tmp_path):
    message = SolverParameter if "solver" in path.name else NetParameter
    write_prototxt(read_prototxt(path, message).message, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == path.read_bytes()


def test_numbers_and_strings_are_formatted_as_by_protobuf_for_cpp():
    solver = SolverParameter(
        base_lr=1e-5, gamma=0.00390625, power=1 / 3, momentum=1e20, random_seed=-1, max_iter=7
    )
    solver.snapshot_prefix = 'a "b"\n\\é'
    solver.train_state.stage.append("")
    solver.delta = float("inf")
    assert format_prototxt(solver).splitlines() == [
        "base_lr: 1e-05",
        "max_iter: 7",
        "gamma: 0.00390625",
        "power: 0.333333343",
        "momentum: 1e+20",
        'snapshot_prefix: "a \\"b\\"\\n\\\\\\303\\251"',
        "random_seed: -1",
        "train_state {",
        '  stage: ""',
        "}",
        "delta: inf",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'name: "C:\\data\\new"', "C:\\data\\new"),
        (r'name: "a\tb\n"', "a\tb\n"),  # a name may contain them, a path may not
        (r'name: "\355\225\234\x41"', "한A"),
        (r'name: "a\"b"', 'a"b'),
        ("name:\u00a0'a'\u3000", "a"),
    ],
)
def test_escapes_and_spaces_that_a_text_can_have(text, value):
    assert parse_prototxt(text, NetParameter).message.name == value
