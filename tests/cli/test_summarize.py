"""summarize, and the sizes of nets that summarize and draw show."""

from pathlib import Path

import pytest

from minicaffe.analysis import sizes
from minicaffe.analysis.sizes import measure
from minicaffe.cli.main import run_command
from minicaffe.layers import summary_of
from minicaffe.schema import NetState, parse_net, read_net

MODELS = Path(__file__).parents[2] / "models"


@pytest.mark.parametrize(
    ("model", "parameters", "multiply_adds"),
    [
        # As published: Krizhevsky et al. 2012 count 61 million, Szegedy et al. 2014 1.6 thousand
        # million multiply-adds, Iandola et al. 2016 1.2 million parameters.
        ("lenet", 431_080, 2_293_000),
        ("alexnet", 60_965_224, 724_406_816),
        ("googlenet", 6_998_552, 1_582_671_872),
        ("squeezenet", 1_235_496, 387_747_520),
    ],
)
def test_published_models_have_their_published_size(model, parameters, multiply_adds):
    sizes = measure(read_net(MODELS / model / "deploy.prototxt"), NetState(phase="TEST"))
    assert sum(layer.parameters for layer in sizes.layers.values()) == parameters
    assert sum(x.multiply_adds for x in sizes.layers.values()) / sizes.batch == multiply_adds


def net_of(*layers, inputs="dim: 2 dim: 6 dim: 9 dim: 9"):
    data = f'layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ {inputs} }} }} }}'
    return parse_net("\n".join([data, *layers]))


@pytest.mark.parametrize(
    ("layer", "inputs", "multiply_adds", "parameters"),
    [
        (
            'type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 group: 2 }',
            "dim: 2 dim: 6 dim: 9 dim: 9",
            2 * 4 * 7 * 7 * 3 * 3 * 3,
            4 * 3 * 9 + 4,
        ),
        (
            'type: "Deconvolution" convolution_param { num_output: 4 kernel_size: 2 stride: 2 }',
            "dim: 2 dim: 6 dim: 5 dim: 5",
            2 * 6 * 5 * 5 * 4 * 2 * 2,
            6 * 4 * 4 + 4,
        ),
        (
            'type: "InnerProduct" inner_product_param { num_output: 7 axis: 2 bias_term: false }',
            "dim: 2 dim: 6 dim: 9",
            2 * 6 * 9 * 7,
            9 * 7,
        ),
        ('type: "ReLU"', "dim: 3", 0, 0),
    ],
)
def test_multiply_adds(layer, inputs, multiply_adds, parameters):
    source = net_of(f'layer {{ name: "l" bottom: "x" top: "y" {layer} }}', inputs=inputs)
    sizes = measure(source, NetState(phase="TEST")).layers[1]
    assert (sizes.multiply_adds, sizes.parameters) == (multiply_adds, parameters)


def test_shared_parameters_and_in_place_tops_count_once():
    layer = (
        'layer {{ name: "{0}" type: "InnerProduct" bottom: "x" top: "{0}" param {{ name: "w" }} '
        "inner_product_param {{ num_output: 3 bias_term: false }} }}"
    )
    relu = 'layer { name: "r" type: "ReLU" bottom: "a" top: "a" }'
    source = net_of(layer.format("a"), layer.format("b"), relu, inputs="dim: 2 dim: 5")
    sizes = measure(source, NetState(phase="TEST"))
    assert [sizes.layers[i].parameters for i in range(4)] == [0, 15, 0, 0]
    assert [sizes.layers[i].memory_bytes for i in range(4)] == [40, 24, 24, 0]
    assert sizes.batch == 2


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (
            'type: "Convolution" convolution_param { num_output: 8 kernel_size: 3 pad: 1 }',
            "8 x 3x3 + 1",
        ),
        (
            'type: "Convolution" convolution_param { num_output: 8 kernel_h: 1 kernel_w: 7 '
            "pad_h: 0 pad_w: 3 stride: 2 group: 4 dilation: 2 }",
            "8 x 1x7 / 2 + 0x3, group 4, dilation 2",
        ),
        ('type: "Pooling" pooling_param { pool: AVE global_pooling: true }', "AVE global"),
        ('type: "Pooling" pooling_param { kernel_size: 3 stride: 2 }', "MAX 3x3 / 2"),
        ('type: "LRN"', "5 across channels"),
        ('type: "Dropout" dropout_param { dropout_ratio: 0.4 }', "0.4"),
        ('type: "Eltwise"', "SUM"),
        ('type: "Concat"', "axis 1"),
        ('type: "LSTM" recurrent_param { num_output: 5 }', "5"),
        ('type: "Accuracy" accuracy_param { top_k: 5 }', "top 5"),
        ('type: "ReLU"', ""),
    ],
)
def test_settings(layer, text):
    assert summary_of(parse_net(f"layer {{ {layer} }}").param.layer[0]) == text


def test_table(capsys, caplog_minicaffe):
    net = str(MODELS / "alexnet" / "train_val.prototxt")
    assert run_command("summarize", [net, "-w", "6"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:3] == ["layer", "type", "settings"]
    assert " ".join(lines[2]) == (
        "conv1 Convolution 96 x 11x11 / 4 data -> conv1 256 x 96 x 55 x 55 34,944 (x1 x2 D1 D0) "
        "105,415,200 284 MiB"
    )
    assert caplog_minicaffe.messages == [
        'layer "data": its data does not exist; assuming batches of 256 x 3 x 227 x 227'
    ]


def test_all_errors_of_a_net_are_logged(capsys, caplog_minicaffe, tmp_path):
    net = tmp_path / "net.prototxt"
    net.write_text(
        'layer { name: "d" type: "Data" top: "x" top: "l" '
        'data_param { source: "none" batch_size: 4 } }\n'
        'layer { name: "a" type: "Warp" bottom: "x" top: "a" }\n'
        'layer { name: "b" type: "Fold" bottom: "a" top: "b" }\n'
    )
    assert run_command("summarize", [str(net)]) == 0
    first, second = caplog_minicaffe.messages[0].splitlines()
    assert first.startswith(f'shapes are left out: {net}:2, layer "a" (Warp): unknown layer type')
    assert second == f'{net}:3, layer "b" (Fold): unknown layer type "Fold".'
    assert "Fold" in capsys.readouterr().out


def test_a_net_with_another_error_besides_missing_data(caplog_minicaffe, tmp_path):
    net = tmp_path / "net.prototxt"
    net.write_text(
        'layer { name: "d" type: "Data" top: "x" top: "l" transform_param { crop_size: 4 } '
        'data_param { source: "none" batch_size: 4 } }\n'
        'layer { name: "c" type: "Convolution" bottom: "x" top: "c" '
        "convolution_param { num_output: 2 kernel_size: 5 } }\n"
    )
    assert run_command("summarize", [str(net)]) == 0
    first, second = caplog_minicaffe.messages[0].splitlines()
    assert "none: no such database" in first
    assert "does not fit into them" in second


def test_data_that_does_not_exist(capsys, caplog_minicaffe, tmp_path):
    net = tmp_path / "net.prototxt"
    net.write_text(
        'layer { name: "d" type: "Data" top: "x" top: "l" '
        'data_param { source: "none" batch_size: 4 } } '
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" '
        "inner_product_param { num_output: 2 } }"
    )
    assert run_command("summarize", [str(net)]) == 0
    assert "parameters" not in capsys.readouterr().out
    assert caplog_minicaffe.messages[0].startswith("shapes are left out: ")
    assert "none: no such database" in caplog_minicaffe.messages[0]
    assert run_command("summarize", [str(net), "--input_shape=1,2,3", "--phase=test"]) == 0
    out = capsys.readouterr().out
    assert "4 x 1 x 2 x 3, 4" in out
    assert "2 layers, 14 parameters (56 B), 12 multiply-adds a sample" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--input_shape=3,4"], "--input_shape=3,4: must be channels, rows and columns, as"),
        (["-w", "2"], "-w/--max_name: 2 is too small; it must be at least 4"),
    ],
)
def test_messages(capsys, flags, message):
    assert run_command("summarize", ["net", *flags]) == 2
    assert message in capsys.readouterr().err


def test_one_faulty_layer_does_not_hide_the_shapes_of_the_others(
    capsys, caplog_minicaffe, tmp_path
):
    net = tmp_path / "net.prototxt"
    net.write_text(
        'layer { name: "d" type: "Input" top: "x" '
        "input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }\n"
        'layer { name: "a" type: "Convolution" bottom: "x" top: "a" '
        "convolution_param { num_output: 4 kernel_size: 11 } }\n"
        'layer { name: "r" type: "ReLU" bottom: "a" top: "a" }\n'
        'layer { name: "b" type: "Warp" bottom: "a" top: "b" }\n'
        'layer { name: "c" type: "Convolution" bottom: "x" top: "c" '
        "convolution_param { num_output: 4 kernel_size: 3 } }\n"
        'layer { name: "p" type: "Pooling" bottom: "c" top: "p" '
        "pooling_param { kernel_size: 2 stride: 2 } }\n"
    )
    assert run_command("summarize", [str(net)]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "2 x 3 x 8 x 8" in rows["d"]
    assert "2 x 4 x 6 x 6" in rows["c"]
    assert "2 x 4 x 3 x 3" in rows["p"]
    assert "2 x" not in rows["a"] + rows["r"] + rows["b"]
    (message,) = caplog_minicaffe.messages
    assert message.startswith(f'some shapes are left out: {net}:4, layer "b" (Warp): unknown')
    assert f'{net}:2, layer "a" (Convolution): bottom "x" has images of (8, 8)' in message
    assert "does not exist here" not in message


def test_the_fork_of_a_net_is_named(tmp_path, capsys):
    net = 'layer { name: "p" type: "Permute" } layer { name: "b" type: "PriorBox" }'
    (tmp_path / "net.prototxt").write_text(net)
    run_command("summarize", [str(tmp_path / "net.prototxt")])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "Written for SSD (weiliu89/caffe, branch ssd): Permute, PriorBox"


def test_the_builds_of_a_net_with_many_faults_are_limited(monkeypatch):
    builds, measured = [], sizes._measured

    def counted(*arguments):
        builds.append(arguments)
        return measured(*arguments)

    monkeypatch.setattr(sizes, "_measured", counted)
    text = 'layer { name: "a" type: "Silence" bottom: "x" }\n' * 100
    found = measure(parse_net(text, "net.prototxt"), NetState(phase="TEST"))
    assert len(found.problem.splitlines()) == 100
    assert len(builds) < 100
