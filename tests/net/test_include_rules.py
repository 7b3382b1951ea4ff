"""Which layers the rules leave in the net."""

from __future__ import annotations

import pytest

from minicaffe.errors import NetError
from minicaffe.net.include_rules import filter_layers
from minicaffe.schema import NetState, parse_net


def kept(rules, **state):
    """Return whether a layer with these rules stays."""
    source = parse_net(f'layer {{ name: "a" type: "Input" top: "x" {rules} }}', "net.prototxt")
    return bool(filter_layers(source, NetState(**{"phase": "TRAIN", **state})))


@pytest.mark.parametrize(
    ("rules", "state", "stays"),
    [
        ("", {}, True),
        ("include { phase: TRAIN }", {}, True),
        ("include { phase: TEST }", {}, False),
        ("include { phase: TEST } include { phase: TRAIN }", {}, True),
        ("exclude { phase: TEST }", {}, True),
        ("exclude { phase: TRAIN }", {}, False),
        ("exclude { phase: TEST } exclude { phase: TRAIN }", {}, False),
        ("include { min_level: 2 }", {"level": 2}, True),
        ("include { min_level: 2 }", {"level": 1}, False),
        ("include { max_level: 2 }", {"level": 2}, True),
        ("include { max_level: 2 }", {"level": 3}, False),
        ('include { stage: "deploy" }', {"stage": ["deploy", "val"]}, True),
        ('include { stage: "deploy" }', {}, False),
        ('include { stage: "deploy" stage: "val" }', {"stage": ["deploy"]}, False),
        ('include { not_stage: "val" }', {}, True),
        ('include { not_stage: "val" }', {"stage": ["val"]}, False),
        ('include { phase: TRAIN stage: "val" }', {"phase": "TEST", "stage": ["val"]}, False),
    ],
)
def test_rules(rules, state, stays):
    assert kept(rules, **state) is stays


@pytest.mark.parametrize(
    ("rule", "state", "message"),
    [
        ("phase: TEST", {}, "phase (0) differed from the phase (1)"),
        ("min_level: 2", {"level": 1}, "level (1) is below the min_level (2)"),
        ("max_level: 2", {"level": 3}, "level (3) is above the max_level (2)"),
        ('stage: "val"', {}, "did not contain stage 'val'"),
        ('not_stage: "val"', {"stage": ["val"]}, "contained a not_stage 'val'"),
    ],
)
def test_the_log_says_why(rule, state, message, caplog_minicaffe):
    kept(f"include {{ {rule} }}", **state)
    assert caplog_minicaffe.messages == [f"The NetState {message} specified by a rule in layer a"]


def test_both_kinds_of_rules_are_refused_with_their_line():
    rules = "include { phase: TRAIN } exclude { phase: TEST }"
    text = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" {rules} }}\n' for name in "ab"
    )
    with pytest.raises(NetError) as caught:
        filter_layers(parse_net(text, "net.prototxt"), NetState())
    assert str(caught.value).split("\n") == [
        f'net.prototxt:{line}, layer "{name}" (Input): has include and exclude rules; '
        "use one kind only"
        for line, name in ((1, "a"), (2, "b"))
    ]
