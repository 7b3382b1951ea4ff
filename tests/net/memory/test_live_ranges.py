"""When values and gradients are needed while training, and the plan of what is computed again."""

from __future__ import annotations

import itertools

import pytest

from minicaffe.backends.reference import ReferenceBackend
from minicaffe.net import Net
from minicaffe.net.memory.lifetimes import (
    backward_time,
    find_gradient_ranges,
    find_value_uses,
    share_gradients_in_place,
    unshared_blobs,
)
from minicaffe.net.memory.recomputation import choose
from minicaffe.net.memory.sharing import Stored, find_places
from probe import net_from_text
from zoo import NAMES, training_file, training_net

INPUT = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 dim: 4 } } }
"""


def layer(name, kind, bottoms, top="", settings=""):
    wires = " ".join(f'bottom: "{b}"' for b in bottoms.split())
    return f'layer {{ name: "{name}" type: "{kind}" {wires} top: "{top or name}" {settings} }}\n'


def ip(name, bottom, n):
    return layer(name, "InnerProduct", bottom, "", f"inner_product_param {{ num_output: {n} }}")


CHAIN = (
    INPUT
    + ip("a", "x", 5)
    + layer("r", "ReLU", "a", "a")
    + layer("b", "TanH", "a")
    + layer("flat", "Flatten", "b")
    + ip("c", "flat", 4)
    + layer("loss", "EuclideanLoss", "c t")
)


def test_gradients_live_from_their_first_writer_to_their_maker():
    net = net_from_text(CHAIN, "TRAIN", backend=ReferenceBackend())
    times = {step.layer.name: backward_time(net.steps, i) for i, step in enumerate(net.steps)}
    ranges = find_gradient_ranges(net.steps)
    named = {blob.name: tuple(live) for blob, live in ranges.items()}
    assert named == {
        "a": (times["b"], times["a"]),
        # The gradient of "b" is a view of this one, from the backward pass of Flatten on.
        "flat": (times["c"], times["b"]),
        "c": (times["loss"], times["c"]),
    }
    share_gradients_in_place(net.steps, ranges)
    assert {blob.name for blob in ranges} == {"a", "flat", "c"}


def test_a_layer_writes_the_gradient_of_its_bottom_over_that_of_its_top():
    text = CHAIN.replace('bottom: "flat"', 'bottom: "b"')
    net = net_from_text(text, "TRAIN", backend=ReferenceBackend())
    ranges = find_gradient_ranges(net.steps)
    first, last = ranges[net.blobs["b"]].first, ranges[net.blobs["a"]].last
    share_gradients_in_place(net.steps, ranges)
    assert ranges[net.blobs["a"]] == (first, last)
    assert net.blobs["b"].diff is net.blobs["a"].diff


def test_uses_of_values():
    net = net_from_text(CHAIN, "TRAIN", backend=ReferenceBackend())
    index = net.layer_index
    uses = find_value_uses(net.steps)
    a, b = uses[net.blobs["a"]], uses[net.blobs["b"]]
    assert a.writers == [index("a"), index("r")]
    assert a.readers == [index("r"), index("b")]
    assert a.backward_readers == [index("r")]  # TanH reads its top, and ReLU that of its own
    assert b.writers == [index("b")]
    assert b.readers == [index("flat"), index("c")]
    assert b.backward_readers == [index("b"), index("c")]


TRAINED = [name for name in NAMES if training_file(name).exists()]


def trained_net(name):
    source = training_net(name, 2)
    return Net(source, "TRAIN", backend=ReferenceBackend(), seed=1, fills=False)


@pytest.mark.parametrize("name", TRAINED)
def test_what_is_read_is_live(name):
    net = trained_net(name)
    steps, uses = net.steps, find_value_uses(net.steps)
    gradients = find_gradient_ranges(steps)
    plan = choose(steps, net.outputs, gradients)

    def is_live(blob, time):
        return any(live.first <= time <= live.last for live in plan.ranges[blob])

    apart = unshared_blobs(steps)
    for i, step in enumerate(steps):
        time = backward_time(steps, i)
        for blob in (blob.data_owner for blob in step.bottom):
            assert blob in apart or is_live(blob, i)
        for blob, of_blob in uses.items():
            if i in of_blob.backward_readers and blob not in apart:
                assert is_live(blob, time), (step.layer.name, blob.name)
        for k in plan.repeated.get(i, ()):
            assert steps[k].layer.can_recompute
            for blob in (b.data_owner for b in (*steps[k].bottom, *steps[k].top)):
                assert blob in apart or is_live(blob, time), steps[k].layer.name
    again = [k for repeated in plan.repeated.values() for k in repeated]
    assert len(again) == len(set(again))


@pytest.mark.parametrize("name", ["googlenet", "resnet18"])
def test_places_of_what_is_live_together_do_not_overlap(name):
    net = trained_net(name)
    gradients = find_gradient_ranges(net.steps)
    plan = choose(net.steps, net.outputs, gradients)
    ranges = {Stored(blob): lives for blob, lives in plan.ranges.items()}
    ranges |= {Stored(blob, True): [live] for blob, live in gradients.items()}
    starts = find_places(ranges)
    for time in range(2 * len(net.steps)):
        live = [
            (starts[one], starts[one] + one.count)
            for one, lives in ranges.items()
            if any(live.first <= time <= live.last for live in lives) and one.count
        ]
        live.sort()
        for (_, end), (start, _) in itertools.pairwise(live):
            assert end <= start
