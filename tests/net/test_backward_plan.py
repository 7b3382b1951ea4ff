"""Which layers run backward and which bottoms get a gradient."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.errors import NetError
from minicaffe.net import Net
from minicaffe.schema import parse_net
from probe import net_from_text

INPUTS = """
layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "label" type: "Input" top: "t" input_param { shape { dim: 2 } } }
"""


def ip(name, bottom, top, more=""):
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" '
        f"inner_product_param {{ num_output: 5 }} {more} }}\n"
    )


LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "v" bottom: "t" top: "loss" }'
FROZEN = "param { lr_mult: 0 } param { lr_mult: 0 }"


def plan(text):
    """Return {layer: propagate_down} of the layers that run backward."""
    net = net_from_text(text)
    return {s.layer.name: s.propagate_down for s in net.steps if s.needs_backward}


def test_inputs_and_labels_need_none():
    assert plan(INPUTS + ip("a", "x", "u") + ip("b", "u", "v") + LOSS) == {
        "a": [False],
        "b": [True],
        "loss": [True, False],
    }


def test_nothing_runs_below_frozen_layers():
    assert plan(INPUTS + ip("a", "x", "u", FROZEN) + ip("b", "u", "v") + LOSS) == {
        "b": [False],
        "loss": [True, False],
    }


def test_a_frozen_layer_passes_gradients_on_but_computes_none_of_its_own():
    net = net_from_text(INPUTS + ip("a", "x", "u") + ip("b", "u", "v", FROZEN) + LOSS)
    frozen = net.layers[net.layer_index("b")]
    assert frozen.param_needs_diff == [False, False]
    net.forward()
    net.backward()
    assert not frozen.blobs[0].diff.get().any()


def test_one_parameter_may_be_frozen():
    half = "param { lr_mult: 1 } param { lr_mult: 0 }"
    net = net_from_text(INPUTS + ip("a", "x", "v", half) + LOSS)
    net.forward()
    net.backward()
    weights, bias = net.layers[net.layer_index("a")].blobs
    weights_layer = net.layers[net.layer_index("a")]
    assert weights_layer.param_needs_diff == [True, False]
    assert not bias.diff.get().any()
    assert weights.diff.shape == (5, 3)


def test_nothing_runs_without_a_loss():
    assert plan(INPUTS + ip("a", "x", "v")) == {}


def test_what_no_loss_depends_on_does_not_run():
    aside = ip("aside", "u", "w")
    text = INPUTS + ip("a", "x", "u") + ip("b", "u", "v") + aside + LOSS
    assert "aside" not in plan(text)


def test_a_loss_weight_makes_a_loss_and_zero_takes_it_away():
    assert plan(INPUTS + ip("a", "x", "v", "loss_weight: 2")) == {"a": [False]}
    assert plan(INPUTS + ip("a", "x", "v") + LOSS.replace(" }", " loss_weight: 0 }")) == {}


def test_the_loss_is_weighted_and_so_is_its_gradient():
    one = net_from_text(INPUTS + ip("a", "x", "v", "loss_weight: 1"))
    two = net_from_text(INPUTS + ip("a", "x", "v", "loss_weight: 2"))
    for net in (one, two):
        net.layers[net.layer_index("a")].blobs[0].data.set(np.ones((5, 3)))
        net.blobs["x"].data.set(np.arange(6.0).reshape(2, 3))
        net.forward()
        net.backward()
    assert one.loss() == 75
    assert two.loss() == 150
    grads = [net.layers[net.layer_index("a")].blobs[0].diff.get() for net in (one, two)]
    np.testing.assert_array_equal(grads[1], 2 * grads[0])


def test_propagate_down_false_cuts_and_true_forces_nothing():
    cut = ip("b", "u", "v", "propagate_down: false")
    assert plan(INPUTS + ip("a", "x", "u") + cut + LOSS) == {
        "b": [False],
        "loss": [True, False],
    }
    forced = LOSS.replace(" }", " propagate_down: true propagate_down: false }")
    assert plan(INPUTS + ip("a", "x", "v", FROZEN) + forced) == {}
    assert plan(INPUTS + ip("a", "x", "v", "propagate_down: true") + LOSS)["a"] == [True]


def test_force_backward_reaches_inputs_but_not_labels():
    text = "force_backward: true" + INPUTS + ip("a", "x", "v", FROZEN) + LOSS
    net = net_from_text(text)
    down = {step.layer.name: step.propagate_down for step in net.steps}
    assert down["a"] == [True]
    assert down["loss"] == [True, False]
    assert net.layers[net.layer_index("a")].param_needs_diff == [True, True]
    assert not net.steps[net.layer_index("data")].needs_backward


def test_layers_without_a_gradient_run_backward_unless_one_is_asked_for():
    accuracy = 'layer { name: "acc" type: "Accuracy" bottom: "x" bottom: "t" top: "acc" MORE }'
    net = net_from_text("force_backward: true" + INPUTS + accuracy.replace("MORE", ""))
    net.forward()
    net.backward()
    asked = accuracy.replace("MORE", "propagate_down: true propagate_down: false loss_weight: 1")
    net = net_from_text("force_backward: true" + INPUTS + asked)
    net.forward()
    with pytest.raises(NetError, match=r'layer "acc" \(Accuracy\): layers .* have no gradient'):
        net.backward()


DEPLOY = """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 4 } }
"""


def test_a_backward_pass_that_computes_nothing_is_one_warning(caplog_minicaffe):
    net = Net(parse_net(DEPLOY, "d.prototxt"), "TEST", seed=1)
    net.forward()
    for _ in range(3):
        net.backward()
    warnings = [r.getMessage() for r in caplog_minicaffe.records if r.levelname == "WARNING"]
    assert warnings == [
        'd.prototxt: backward() computes nothing: of the layers "ip" down to "x", none needs a '
        "gradient, because no loss depends on it, or because nothing before it learns. The "
        "gradients returned are zeros, or older values. Write force_backward: true in the prototxt."
    ]


def test_a_backward_pass_that_computes_something_is_no_warning(caplog_minicaffe):
    net = Net(parse_net(DEPLOY + "force_backward: true", "d.prototxt"), "TEST", seed=1)
    net.forward()
    net.backward()
    assert "computes nothing" not in caplog_minicaffe.text
