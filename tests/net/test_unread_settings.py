"""Warnings of settings of layers, stages and levels that nothing reads."""

import re

import pytest

from minicaffe.net import Net
from minicaffe.schema import NetState, parse_net

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
IP = (
    'layer {{ name: "{0}" type: "InnerProduct" bottom: "x" top: "{0}" {1} '
    "inner_product_param {{ num_output: 4 {2} }} }}\n"
)


def warnings_of(log, text, **state):
    log.clear()
    Net(parse_net(text, "net.prototxt"), NetState(phase="TEST", **state), seed=0).close()
    return [record.getMessage() for record in log.records if record.levelname == "WARNING"]


def test_a_healthy_net_has_no_warning(caplog_minicaffe):
    bias = "bias_term: true bias_filler { value: 1 }"
    assert warnings_of(caplog_minicaffe, INPUT + IP.format("a", "", bias)) == []


def test_settings_of_another_type(caplog_minicaffe):
    text = INPUT + IP.format("a", "pooling_param { kernel_size: 2 }", "")
    assert warnings_of(caplog_minicaffe, text) == [
        'net.prototxt:2, layer "a" (InnerProduct): pooling_param has no effect, because '
        "InnerProduct does not read it. Remove it."
    ]


def test_quantization_of_a_type_that_computes_in_floats(caplog_minicaffe):
    text = INPUT + IP.format("a", "quantization_param { bw_params: 8 }", "")
    assert warnings_of(caplog_minicaffe, text) == [
        'net.prototxt:2, layer "a" (InnerProduct): quantization_param has no effect, because '
        "InnerProduct does not read it. Set type: FcRistretto, or remove it."
    ]


def test_fields_of_forks_without_effect_are_one_warning(caplog_minicaffe):
    fork = "backward_type: FLOAT16 forward_type: FLOAT16"
    pool = (
        'layer { name: "p" type: "Data" top: "p" include { phase: TRAIN } '
        "data_param { cache: true threads: 4 } }\n"
        'layer { name: "r" type: "ReLU" bottom: "x" top: "r" relu_param { engine: MKL2017 } }\n'
        'layer { name: "s" type: "ReLU" bottom: "r" top: "s" relu_param { engine: CUDNN } }\n'
    )
    text = 'engine: "MKL2017"\n' + INPUT + "".join(IP.format(n, fork, "") for n in "ab") + pool
    assert warnings_of(caplog_minicaffe, text) == [
        "net.prototxt: accepted without effect: backward_type (2 times), data_param.cache, "
        "data_param.threads, engine, forward_type (2 times), relu_param.engine: MKL2017. These "
        "are fields of forks of Caffe, of which the results do not depend here."
    ]


def test_a_bias_filler_without_a_bias_is_one_warning_for_all_layers(caplog_minicaffe):
    bias = "bias_term: false bias_filler { value: 1 }"
    text = INPUT + "".join(IP.format(name, "", bias) for name in "abc")
    assert warnings_of(caplog_minicaffe, text) == [
        'net.prototxt:2, layer "a" (InnerProduct): inner_product_param.bias_filler has no effect '
        'without a bias. Set bias_term: true. Likewise in "b", "c".'
    ]


def test_settings_that_a_filler_does_not_read(caplog_minicaffe):
    fillers = 'weight_filler { type: "xavier" std: 0.1 } bias_filler { type: "gaussian" std: 0.1 }'
    text = INPUT + "".join(IP.format(name, "", fillers) for name in "ab")
    assert warnings_of(caplog_minicaffe, text) == [
        'net.prototxt:2, layer "a" (InnerProduct): inner_product_param.weight_filler.std has no '
        'effect: the filler "xavier" does not read it. Remove it, or choose another type. '
        'Likewise in "b".'
    ]


@pytest.mark.parametrize(
    ("layer_type", "settings", "message"),
    [
        ("BatchNorm", "batch_norm_param { stats_batch_size: 2 }", r"the whole batch\. Remove it"),
        ("BatchNorm", "batch_norm_param { scale_bias: true stats_batch_size: 2 }", r"whole batch"),
        ("BatchNorm", "batch_norm_param { filler { value: 1 } }", r"no effect without a scale"),
        ("SoftmaxWithLoss", "loss_param { class_weighting: 2 }", r"without weight_by_label_freqs"),
    ],
)
def test_settings_of_forks_that_are_off(layer_type, settings, message, caplog_minicaffe):
    label = 'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 } } }'
    second = 'bottom: "t"' if layer_type == "SoftmaxWithLoss" else ""
    layer = f'layer {{ name: "l" type: "{layer_type}" bottom: "x" {second} top: "y" {settings} }}'
    (warning,) = warnings_of(caplog_minicaffe, INPUT + label + layer)
    assert re.search(message, warning)


def test_the_bias_of_a_scale_layer_is_off_by_default(caplog_minicaffe):
    scale = 'layer { name: "s" type: "Scale" bottom: "x" top: "s" scale_param { bias_filler {} } }'
    (message,) = warnings_of(caplog_minicaffe, INPUT + scale)
    assert "scale_param.bias_filler has no effect without a bias" in message


@pytest.fixture
def image_list(tmp_path):
    """A list of one image."""
    from PIL import Image

    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.png 0\n")
    return tmp_path / "list.txt"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("data_param { prefetch: 2 }", ""),
        ("data_param { batch_size: 2 }", "data_param.batch_size has no effect, because ImageData"),
        ("transform_param { force_color: true }", "transform_param.force_color has no effect"),
    ],
)
def test_data_layers(caplog_minicaffe, image_list, settings, message):
    text = (
        f'layer {{ name: "d" type: "ImageData" top: "x" top: "y" {settings} '
        f'image_data_param {{ source: "{image_list}" batch_size: 1 }} }}'
    )
    found = warnings_of(caplog_minicaffe, text)
    assert [message in one for one in found] == ([True] if message else [])


def test_fields_that_moved_to_transform_param(caplog_minicaffe, image_list):
    text = (
        'layer { name: "d" type: "ImageData" top: "x" top: "y" image_data_param { '
        f'source: "{image_list}" batch_size: 1 scale: 0.1 mirror: true }} }}'
    )
    assert [message.partition("): ")[2] for message in warnings_of(caplog_minicaffe, text)] == [
        f"image_data_param.{name} has no effect in `layer`, only in the old `layers`. Write it in "
        "transform_param."
        for name in ("scale", "mirror")
    ]


def test_stages_and_levels_that_no_rule_names(caplog_minicaffe):
    rule = 'include { stage: "deploy" not_stage: "val" }'
    text = INPUT + IP.format("a", rule, "")
    assert warnings_of(caplog_minicaffe, text, stage=["deploy"]) == []
    assert warnings_of(caplog_minicaffe, text, stage=["deplyo"], level=2) == [
        'net.prototxt: no rule of a layer names the stage "deplyo", so that it has no effect. '
        "Did you mean deploy? Known: deploy, val.",
        "net.prototxt: no rule of a layer has min_level or max_level, so that level 2 has no "
        "effect. Remove it, or add the rules.",
    ]
    (message,) = warnings_of(caplog_minicaffe, INPUT, stage=["a"])
    assert message.endswith("Remove it, or add include { stage: ... } to layers.")
