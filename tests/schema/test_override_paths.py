"""Overrides of a command line: paths into messages, values, and messages about mistakes."""

import re

import pytest

from minicaffe.errors import UsageError
from minicaffe.schema import NetParameter, SolverParameter, parse_prototxt
from minicaffe.schema.overrides import Override, Overrides

NET = """
layer { name: "a.b[1]" type: "Convolution" convolution_param { num_output: 3 }
  param { lr_mult: 1 } }
layer { name: "data" type: "Data" data_param { batch_size: 3 } }
layer { name: "data" type: "Data" data_param { batch_size: 5 } }
"""


def net_with(text):
    net = parse_prototxt(NET, NetParameter).message
    assert Override.of(text, f"--set {text}").set_in(net)
    return net


def solver_with(text):
    solver = SolverParameter(stepvalue=[5, 6, 7], base_lr=1)
    Override.of(text, f"--set {text}").set_in(solver)
    return solver


def test_fields_of_a_solver():
    assert solver_with("base_lr=0.25").base_lr == 0.25
    assert solver_with("base_lr=-1e-3").base_lr == pytest.approx(-1e-3)
    assert solver_with("snapshot_prefix=a=b c").snapshot_prefix == "a=b c"
    assert solver_with('net="quoted"').net == '"quoted"'
    assert solver_with("net=한글.prototxt").net == "한글.prototxt"
    assert solver_with("snapshot_prefix=").snapshot_prefix == ""
    assert solver_with("debug_info=true").debug_info
    assert solver_with("solver_mode=CPU").solver_mode == SolverParameter.CPU
    assert list(solver_with("stepvalue=1,  2").stepvalue) == [1, 2]
    assert list(solver_with("stepvalue=").stepvalue) == []
    assert list(solver_with("stepvalue[1]=9").stepvalue) == [5, 9, 7]
    assert list(solver_with("stepvalue[3]=9").stepvalue) == [5, 6, 7, 9]
    assert list(solver_with("train_state.stage=a,b").train_state.stage) == ["a", "b"]


def test_fields_of_a_net():
    net = net_with("layer[a.b[1]].convolution_param.num_output=32")
    assert net.layer[0].convolution_param.num_output == 32
    # all layers of a name; one by its index
    assert [x.data_param.batch_size for x in net_with("layer[data].data_param.batch_size=8").layer]
    assert sizes("layer[data].data_param.batch_size=8") == [8, 8]
    assert sizes("layer[2].data_param.batch_size=8") == [3, 8]
    params = net_with("layer[a.b[1]].param[1].lr_mult=0.5").layer[0].param
    assert [param.lr_mult for param in params] == [1, 0.5]
    assert net_with("layer[0].convolution_param.weight_filler.type=msra").layer[
        0
    ].convolution_param.weight_filler.type == ("msra")


def sizes(text):
    return [layer.data_param.batch_size for layer in net_with(text).layer[1:]]


def test_a_layer_that_is_not_there_is_counted():
    net = NetParameter()
    assert Override.of("layer[x].type=ReLU", "").set_in(net) == 0
    assert not net.layer


MISTAKES = [
    ("base_lr", "must be FIELD=VALUE, as base_lr=0.001"),
    ("=3", "must be FIELD=VALUE"),
    ("a..b=3", "must be FIELD=VALUE"),
    ("a.=3", "must be FIELD=VALUE"),
    ("stepvalue[1=3", "must be FIELD=VALUE"),
    ("base_Lr=1", 'message "SolverParameter" has no field "base_Lr". Did you mean base_lr? Known'),
    ("base_lr=x", '"base_lr" takes a number; found x'),
    ("base_lr=1 gamma: 2", '"base_lr" takes a number; found 1 gamma: 2'),
    ("base_lr=", '"base_lr" takes a number; found nothing'),
    ("max_iter=1.5", '"max_iter" takes a whole number from -2147483648 to 2147483647; found 1.5'),
    ("debug_info=maybe", '"debug_info" takes true or false; found maybe'),
    ("solver_mode=GUP", "one of the names of SolverMode; found GUP. Did you mean GPU?"),
    ("base_lr[0]=1", '"base_lr" has one value. Remove [0]'),
    ("base_lr.x=1", '"base_lr" is no block, so no field is in it.'),
    ("train_state=1", '"train_state" is a block. Set a field of it, such as train_state.phase'),
    ("train_state[0].level=1", '"train_state" has one value. Remove [0]'),
    ("stepvalue=1,x", '"stepvalue" takes a whole number'),
    ("stepvalue[5]=1", '"stepvalue" has 3 values here; [5] must be a number from 0 to 3'),
    ("stepvalue[-1]=1", '"stepvalue" has 3 values here; [-1] must be a number'),
    ("test_state.level=1", '"test_state" occurs several times; say which: test_state[0]'),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=[text for text, _ in MISTAKES])
def test_mistakes(text, message):
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        solver_with(text)
    assert str(caught.value).startswith(f"--set {text}: ")


def test_a_field_in_the_wrong_place():
    with pytest.raises(UsageError, match=r"Write convolution_param.num_output"):
        net_with("layer[0].num_output=3")
    with pytest.raises(UsageError, match=r"\"layer\" has 3 values here; \[3\] must be a .* 0 to 2"):
        net_with("layer[3].name=x")


def test_later_ones_replace_earlier_ones():
    texts = ("max_iter=3", "net.name=x", "max_iter=4")
    overrides = Overrides(tuple(Override.of(text, f"--set {text}") for text in texts))
    solver, net = SolverParameter(), NetParameter()
    overrides.apply_to_solver(solver)
    overrides.apply_to_net(net)
    assert (solver.max_iter, solver.net, net.name) == (4, "", "x")
    assert overrides.flag_of("max_iter") == "--set max_iter=4"
    assert overrides.flag_of("net") == ""
