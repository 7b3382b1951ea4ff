"""Problems that an editor shows, at the places that the program's messages name."""

import pytest

from minicaffe.editor.diagnostics import diagnose

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer {
  name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 }
}
"""


def shown(text, name="net.prototxt"):
    """Return what is marked, the beginning of the message, and the severity, of each problem."""
    return [(text[d.start : d.end], d.message, d.severity) for d in diagnose(text, name)]


def test_a_good_net_has_none():
    assert shown(NET) == []
    assert shown("") == []
    assert shown("# nothing yet\n") == []


@pytest.mark.parametrize(
    ("old", "new", "marked", "message"),
    [
        ("kernel_size", "kernel_sise", "kernel_sise", 'has no field "kernel_sise"'),
        ("num_output: 4", "num_output: four", "four", "takes a whole number"),
        ('type: "Convolution"', 'type: "Convolutoin"', None, "Did you mean Convolution"),
        ('bottom: "x"', 'bottom: "y"', None, 'bottom "y" does not exist here'),
        ("kernel_size: 3", "kernel_size: 30", None, 'layer "conv" (Convolution): '),
        ("kernel_size: 3 }\n}", "kernel_size: 3 }\n", "", "the file ends inside a block"),
    ],
)
def test_errors_are_at_their_place(old, new, marked, message):
    assert old in NET
    (found,) = shown(NET.replace(old, new))
    assert message in found[1]
    assert found[2] == "error"
    if marked is not None:
        assert found[0] == marked
    else:
        assert "conv" in found[0] or "layer {" in found[0]


def test_lines_that_end_with_carriage_returns():
    text = NET.replace("kernel_size", "kernel_sise").replace("\n", "\r\n")
    assert [marked for marked, *_ in shown(text)] == ["kernel_sise"]


def test_settings_without_effect_are_warnings():
    (found,) = shown(NET.replace("convolution_param", "pooling_param { } convolution_param"))
    assert "pooling_param has no effect" in found[1]
    assert found[2] == "warning"


def test_a_solver():
    assert shown('base_lr: 0.1 lr_policy: "fixed"', "solver.prototxt") == []
    ((marked, message, severity),) = shown('base_lr: 0.1\nlr_policy: "stop"', "solver.prototxt")
    assert (marked, severity) == ('lr_policy: "stop"', "error")
    assert "Did you mean step?" in message


def test_missing_data_is_a_warning_and_labels_are_not_guessed():
    data = (
        'layer { name: "d" type: "Data" top: "x" top: "l" data_param { source: "no" batch_size: 2'
    )
    (found,) = shown(f"{data} }} }}")
    assert (found[2], "no such database" in found[1]) == ("warning", True)
    cropped = f"{data} }} transform_param {{ crop_size: 8 }} }}"
    loss = 'layer { name: "s" type: "SoftmaxWithLoss" bottom: "x" bottom: "l" }'
    assert shown(cropped + loss) == [], "labels may be images in this database"


def test_a_net_of_one_phase_is_not_checked_in_the_other():
    rule = "include { phase: TEST }"
    assert shown(NET.replace('type: "Input"', f'type: "Input" {rule}')) == []


def test_layers_in_python_are_not_imported():
    layer = 'layer { name: "p" type: "Python" bottom: "conv" top: "p" python_param { '
    assert shown(f'{NET}{layer} module: "no_such_module" layer: "Layer" }} }}') == []


def test_a_label_map():
    (found,) = shown('item { name: "cat" label: "one" }', "map.prototxt")
    assert found[0] == '"one"'
