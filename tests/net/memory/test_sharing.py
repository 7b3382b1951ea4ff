"""Blobs that share memory are never needed at once, and no output tells the difference."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from minicaffe.backends.reference import ReferenceBackend
from minicaffe.errors import NetError
from minicaffe.net import Net
from minicaffe.net.memory.lifetimes import LiveRange
from minicaffe.net.memory.sharing import find_groups, find_live_ranges, find_places
from minicaffe.schema import read_net
from minicaffe.schema.minicaffe_pb2 import PoolingParameter
from probe import backend_or_skip, net_from_text
from zoo import NAMES, deploy_file, drawn

INPUT = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 4 dim: 6 dim: 5 } } }
"""


def layer(kind, bottoms, tops, settings=""):
    wires = [f'bottom: "{b}"' for b in bottoms.split()] + [f'top: "{t}"' for t in tops.split()]
    return f'layer {{ name: "{tops}" type: "{kind}" {" ".join(wires)} {settings} }}\n'


BRANCHES = (
    layer("TanH", "data", "a")
    + layer("ReLU", "a", "a").replace('name: "a"', 'name: "in_place"')
    + layer("TanH", "a", "b")
    + layer("Sigmoid", "a", "c")
    + layer("Eltwise", "b c", "sum")
    + layer("TanH", "sum", "d")
    + layer("Reshape", "d", "flat", "reshape_param { shape { dim: 2 dim: -1 } }")
    + layer("TanH", "flat", "e")
    + layer("Concat", "e flat", "both")
    + layer("TanH", "both", "out")
    + layer("TanH", "data", "other")
)


@pytest.fixture(params=["reference", "onednn", "cuda-channels-last"])
def backend(request):
    return backend_or_skip(request.param)


def build(text, backend=None):
    return net_from_text(INPUT + text, "TEST", backend=backend or ReferenceBackend())


def fill(net):
    rng = np.random.default_rng(7)
    for blob in net.inputs:
        blob.data.set(rng.standard_normal(blob.shape))


def test_a_blob_lives_from_its_maker_to_its_last_reader():
    net = build(BRANCHES)
    steps = {layer.name: i for i, layer in enumerate(net.layers)}
    ranges = find_live_ranges(net.steps, net.outputs)
    named = {blob.name: (alive.first, alive.last) for blob, alive in ranges.items()}
    end = len(net.steps)
    assert named == {
        # In place, split for two readers; the copies are the blob itself.
        "a": (steps["a"], steps["c"]),
        "b": (steps["b"], steps["sum"]),
        "c": (steps["c"], steps["sum"]),
        "sum": (steps["sum"], steps["d"]),
        # Its view "flat" is read by two layers.
        "d": (steps["d"], steps["both"]),
        "e": (steps["e"], steps["both"]),
        "both": (steps["both"], steps["out"]),
        "out": (steps["out"], end),
        "other": (steps["other"], end),
    }


def test_kept_blobs_live_to_the_end():
    net = build(BRANCHES)
    ranges = find_live_ranges(net.steps, [*net.outputs, net.blobs["flat"]])
    assert ranges[net.blobs["d"]].last == len(net.steps)


def test_neighbours_in_time_overlap():
    assert LiveRange(1, 3).overlaps(LiveRange(3, 4))
    assert LiveRange(3, 4).overlaps(LiveRange(1, 3))
    assert not LiveRange(1, 3).overlaps(LiveRange(4, 4))


def lives(net, ranges):
    """Live ranges of blobs, of 240, 480 and 240 values."""
    return {net.blobs[n]: lives for n, lives in zip(("a", "both", "sum"), ranges, strict=True)}


def test_the_largest_blob_of_a_group_comes_first():
    net = build(BRANCHES)
    ranges = lives(net, ([LiveRange(0, 1)], [LiveRange(2, 3)], [LiveRange(3, 4)]))
    names = [[blob.name for blob in group] for group in find_groups(ranges)]
    assert names == [["both", "a"], ["sum"]]


def test_blobs_lie_beside_one_another_where_they_are_live_together():
    net = build(BRANCHES)
    ranges = lives(net, ([LiveRange(0, 1)], [LiveRange(2, 3)], [LiveRange(0, 1), LiveRange(4, 4)]))
    starts = {blob.name: start for blob, start in find_places(ranges).items()}
    assert starts == {"both": 0, "a": 0, "sum": net.blobs["a"].count}
    ranges[net.blobs["sum"]] = [LiveRange(1, 2)]
    starts = {blob.name: start for blob, start in find_places(ranges).items()}
    assert starts == {"both": 0, "a": 0, "sum": net.blobs["both"].count}


def needed_at(net, i):
    """The blobs that are written in step i or before and that it, or a later one, reads."""
    made = {blob for step in net.steps[: i + 1] for blob in step.top}
    read = {blob for step in net.steps[i:] for blob in (*step.bottom, *step.top)}
    return (made & read) | (made & set(net.outputs))


def memory_of(blob):
    array = blob.data.read()
    start = array.__array_interface__["data"][0]
    return start, start + array.nbytes


@pytest.mark.parametrize("name", NAMES)
def test_no_two_blobs_needed_at_once_share_memory(name):
    net = Net(read_net(deploy_file(name)), "TEST", backend=ReferenceBackend(), seed=1)
    taken = [memory_of(blob) for blob in net.blobs.values()]
    net.optimize_memory()
    values = {}  # name of the blob whose values a blob shows, as Split and views do
    for step in net.steps:
        for blob in step.top:
            views = step.layer.type in ("Split", "Reshape", "Flatten")
            origin = step.bottom[0] if views or blob in step.bottom else blob
            values[blob] = values.get(origin, origin)
    for i in range(len(net.steps)):
        spans = {memory_of(values[b]): values[b].name for b in needed_at(net, i)}
        ordered = sorted(spans)
        assert len({*spans.values()}) == len(spans)
        for (_, end), (start, _) in itertools.pairwise(ordered):
            assert end <= start, (net.layers[i].name, spans)
    left = {memory_of(blob) for blob in net.blobs.values()}
    assert len({start for start, _ in left}) < len({start for start, _ in taken})


def test_outputs_are_the_same(backend):
    net, shared = build(BRANCHES, backend), build(BRANCHES, backend)
    shared.optimize_memory([shared.blobs["c"]])
    for _ in range(2):
        for one in (net, shared):
            fill(one)
            one.forward()
        for name in ("out", "other", "c", "data"):
            np.testing.assert_array_equal(
                shared.blobs[name].data.get(), net.blobs[name].data.get(), err_msg=name
            )


GLOBAL_MEAN = PoolingParameter(pool=PoolingParameter.AVE, global_pooling=True)


def smaller(name):
    """A bundled net for one small image: its layers, without its cost."""
    source = read_net(deploy_file(name))
    shape = source.param.layer[0].input_param.shape[0]
    _, channels, rows, columns = shape.dim
    shape.dim[:] = [1, channels, min(rows, 64), min(columns, 64)]
    for one in source.param.layer:
        if one.pooling_param.kernel_size == 7:  # the whole image, where images have their size
            one.pooling_param.CopyFrom(GLOBAL_MEAN)
    return source


@pytest.mark.parametrize("name", ["lenet", "cifar10_full", "squeezenet", "googlenet", "resnet18"])
def test_bundled_nets_give_the_same(name, backend):
    nets = [Net(smaller(name), "TEST", backend=backend, seed=3) for _ in range(2)]
    nets[1].optimize_memory()
    for net in nets:
        fill(net)
        for one in net.layers:
            for i, blob in enumerate(one.blobs):
                blob.data.set(abs(drawn(f"{one.name}/{i}", blob.shape)))
        net.forward()
    assert nets[0].outputs
    for blob, expected in zip(nets[1].outputs, nets[0].outputs, strict=True):
        values = expected.data.get()
        assert np.ptp(values) > 0
        np.testing.assert_array_equal(blob.data.get(), values)


def test_other_shapes_and_host_views(backend):
    conv = 'convolution_param { num_output: 9 kernel_size: 3 weight_filler { type: "xavier" } }'
    text = BRANCHES + layer("Convolution", "sum", "conv", conv) + layer("ReLU", "conv", "conv")
    text += layer("Convolution", "conv", "last", conv)
    nets = [build(text, backend) for _ in range(2)]
    nets[1].optimize_memory()
    for batch, rows in ((2, 6), (5, 9), (1, 5)):
        for net in nets:
            net.blobs["data"].reshape((batch, 4, rows, 5))
            fill(net)
            net.forward()
        for blob, expected in zip(nets[1].outputs, nets[0].outputs, strict=True):
            np.testing.assert_array_equal(blob.data.host(), expected.data.get(), blob.name)


def test_what_is_written_once_stays(backend):
    text = layer(
        "DummyData",
        "",
        "constant",
        "dummy_data_param { shape { dim: 2 dim: 4 dim: 6 dim: 5 } data_filler { value: 3 } }",
    )
    text += (
        layer("Eltwise", "data constant", "x") + layer("TanH", "x", "y") + layer("TanH", "y", "z")
    )
    net = build(text, backend)
    net.optimize_memory()
    fill(net)
    net.forward()
    first = net.blobs["z"].data.get()
    net.forward()
    np.testing.assert_array_equal(net.blobs["z"].data.get(), first)


def test_backward_is_refused(backend):
    net = net_from_text('name: "small"\n' + INPUT + BRANCHES, "TEST", backend=backend)
    net.optimize_memory()
    with pytest.raises(NetError) as caught:
        net.backward()
    assert str(caught.value) == (
        'net "small": optimize_memory has overwritten blobs that a backward pass reads. Do not '
        "call optimize_memory on a net that computes gradients."
    )


def test_memory_is_shared_once(backend):
    net = build(BRANCHES, backend)
    net.optimize_memory()
    with pytest.raises(NetError, match="its blobs share memory already"):
        net.optimize_memory()
