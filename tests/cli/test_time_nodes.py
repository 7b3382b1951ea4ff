"""`minicaffe time --nodes`: flags, and the table of the prediction."""

import re

import numpy as np
import pytest

from dummy_net import DUMMY_NET
from minicaffe.analysis.iteration_times import (
    IterationTimes,
    images_per_pass,
    measure_iterations,
    profile_of,
)
from minicaffe.cli.commands import _scaling_table
from minicaffe.cli.options.nodes import node_counts
from minicaffe.errors import UsageError
from probe import net_from_text

TWO_LAYERS = """
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 5 dim: 3 } shape { dim: 5 } data_filler { type: "uniform" }
    data_filler { type: "constant" } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
  inner_product_param { num_output: 1000000 bias_term: false } }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 2 bias_term: false } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(DUMMY_NET)
    return f"--model={path}"


def table(messages):
    """Return the rows of the prediction as lists of numbers."""
    first = next(k for k, line in enumerate(messages) if line.endswith("efficiency")) + 1
    rows = messages[first : messages.index("*** Prediction ends ***")]
    return [[float(number) for number in re.findall(r"[\d.]+", row)] for row in rows]


def test_the_table_has_a_row_for_each_number_of_nodes(run, model):
    flags = ("--nodes=1,2,4,...,16", "--link=10gbe", "--iterations=3", "--spread=5")
    found = run("time", model, *flags)
    assert found.code == 0
    rows = table(found.messages)
    assert [row[0] for row in rows] == [1, 2, 4, 8, 16]
    assert rows[0][-1] == 100
    efficiencies = [row[-1] for row in rows]
    assert sorted(efficiencies, reverse=True) == efficiencies
    assert "Link: 10gbe (alpha 30 us, beta 1.16 GB/s)." in found.err
    assert "standard deviation 5 % (given); " in found.err
    assert re.search(
        r"; backward at \d+ % of its speed beside a busy thread; 5 images a node", found.err
    )


@pytest.mark.parametrize(("backward_s", "warns"), [([1.0, 2.0], True), ([1.0, 1.1], False)])
def test_iterations_that_vary_much_are_warned_of(run, model, monkeypatch, backward_s, warns):
    times = IterationTimes([1.0, 1.0], backward_s, [0.5, 0.5], backward_s)
    monkeypatch.setattr(_scaling_table, "measure_iterations", lambda net, n: times)
    found = run("time", model, "--nodes=2", "--link=10gbe", "--iterations=2")
    line = "Iterations vary by 24 %, as if the machine did other work"
    assert any(line in error for error in found.errors) == warns
    given = run("time", model, "--nodes=2", "--link=10gbe", "--iterations=2", "--spread=1")
    assert given.errors == []


def test_without_nodes_the_lines_are_those_of_caffe(run, model):
    found = run("time", model, "--iterations=1")
    assert "Benchmark ends" in found.err
    assert "Prediction" not in found.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--nodes=2"], "--nodes needs --link: 1gbe, 10gbe, "),
        (["--link=10gbe"], "--link=10gbe has no effect without --nodes, such as --nodes=1,2,4"),
        (["--gradient_type=float16"], "--gradient_type=float16 has no effect without --nodes"),
        (
            ["--nodes=2", "--link=10gb"],
            "--link=10gb: unknown. Did you mean 10gbe or 100gb or 1gbe?",
        ),
        (
            ["--nodes=2", "--link=1"],
            r"Or give ALPHA,BETA (microseconds for a message, GB/s in each",
        ),
        (["--nodes=2", "--link=3,0"], "--link=3,0: ALPHA must be 0 or more (microseconds), BETA"),
        (["--nodes=2", "--link=nan,1"], "--link=nan,1: ALPHA must be 0 or more (microseconds)"),
        (["--nodes=0", "--link=1gbe"], "--nodes=0: '0' is no number of nodes. Give whole numbers"),
        (["--nodes=2,x", "--link=1gbe"], "--nodes=2,x: 'x' is no number of nodes."),
        (["--nodes=2", "--link=1gbe", "--node_speed=0"], "--node_speed=0: it must be more than 0"),
        (["--nodes=2", "--link=1gbe", "--spread=-1"], "--spread=-1: it must be 0 or more"),
        (["--nodes=2", "--link=1gbe", "--phase=TEST"], "--nodes predicts training: leave out"),
        (["--nodes=2", "--link=1gbe", "--iterations=1"], "--nodes needs at least 2 --iterations"),
    ],
)
def test_wrong_flags(run, model, flags, message):
    found = run("time", model, *flags)
    assert found.code == 2
    assert message in found.err


def test_a_net_without_gradients_is_refused(run, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
        'layer { name: "relu" type: "ReLU" bottom: "x" top: "y" }'
    )
    found = run("time", f"--model={path}", "--nodes=2", "--link=1gbe", "--iterations=2")
    assert found.code == 1
    assert "no gradient of a parameter is computed, so there is nothing to sum" in found.err


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("1", [1]),
        ("4, 2,2", [4, 2, 2]),
        ("1,2,4,...,32", [1, 2, 4, 8, 16, 32]),
        ("3,9,...,243", [3, 9, 27, 81, 243]),
        ("2,4,6,...,10", [2, 4, 6, 8, 10]),
        ("1,2,...,2", None),
        ("1,2,4,...,100", None),
        ("1,2,...,100", list(range(1, 101))),
        ("1,...,4", None),
        ("2,2,...,4", None),
        ("1,2,...", None),
        ("", None),
    ],
)
def test_lists_of_numbers(text, counts):
    if counts is None:
        with pytest.raises(UsageError, match=f"--nodes={re.escape(text)}: "):
            node_counts(text)
    else:
        assert node_counts(text) == counts


def test_gradients_are_complete_after_the_backward_passes_of_their_layers():
    """ip2 has 8 MB, ip1 12 MB, and backward runs loss, ip2, ip1."""
    net = net_from_text(TWO_LAYERS)
    times = IterationTimes([3.0, 5.0], [8.0, 8.0], [1.0, 1.0], [10.0, 10.0])
    # In the order of the net; 4 seconds in all, which the whole pass took 8 for.
    profile = profile_of(net, times, [0.0, 2.0, 1.5, 0.5])
    assert [(b.ready_s, b.size_bytes) for b in profile.buckets] == [(4.0, 8e6), (8.0, 12e6)]
    assert (profile.forward_s, profile.backward_s, profile.update_s) == (4, 8, 1)
    assert profile.deviation_s == pytest.approx(2**0.5)
    assert profile.shared_speed == pytest.approx(0.8)
    assert profile.images == images_per_pass(net) == 5


def test_measuring_leaves_the_weights():
    net = net_from_text(DUMMY_NET)
    before = [p.blob.data.get() for p in net.parameters]
    times = measure_iterations(net, 3)
    assert {len(times.forward_s), len(times.backward_s), len(times.update_s)} == {3}
    assert times.deviation_s > 0
    assert len(times.shared_backward_s) == 3
    assert 0 < times.shared_speed <= 1
    for p, values in zip(net.parameters, before, strict=True):
        np.testing.assert_array_equal(p.blob.data.get(), values)
