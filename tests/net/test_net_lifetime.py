"""Nets are freed by their last reference: no part of one is in a reference cycle."""

from __future__ import annotations

import tracemalloc
import weakref
from pathlib import Path

import numpy as np
import pytest

from cases import CASES
from lifetimes import no_garbage, open_files, threads
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.errors import MinicaffeError
from probe import Probe, backend_or_skip, make_backend, net_from_text

LAYERS = """
layer { name: "x" type: "Input" top: "x" top: "y"
  input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } shape { dim: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "loss" }
"""
DATA = """
layer { name: "data" type: "Data" top: "data" top: "label"
  data_param { source: "train_lmdb" batch_size: 3 backend: LMDB } }
"""


@pytest.fixture(params=["reference", "onednn", "cuda-channels-last"])
def backend(request):
    return backend_or_skip(request.param)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with a database."""
    monkeypatch.chdir(tmp_path)
    with create_database("train_lmdb", "LMDB") as db:
        for i in range(7):
            db.put(b"%08d" % i, encode_datum(np.full((1, 4, 4), i, np.uint8), i))
    return tmp_path


@pytest.mark.parametrize("layer_type", sorted(CASES))
def test_layers_and_kernels_are_in_no_cycle(layer_type, backend):
    def run(case):
        probe = Probe(layer_type, case, backend)
        probe.run()
        for _ in range(2):
            probe.net.forward()
            probe.net.backward()

    with no_garbage():
        for case in CASES[layer_type]:
            run(case)


@pytest.mark.parametrize("hooks", [False, True], ids=["compiled", "layer by layer"])
def test_a_net_dies_with_its_last_reference(backend, hooks):
    with no_garbage():
        net = net_from_text(LAYERS, backend=backend)
        if hooks:
            net.before_forward.append(lambda index: None)
        for _ in range(4):
            net.forward()
            net.loss()
            net.backward()
        dead = [weakref.ref(thing) for thing in (net, *net.layers, *net.blobs.values())]
        del net
        assert not any(ref() for ref in dead)


def test_nets_in_a_loop_take_the_memory_of_one():
    backend = make_backend("reference")

    def peak(n):
        tracemalloc.start()
        try:
            for _ in range(n):
                net = net_from_text(LAYERS.replace("dim: 2", "dim: 2000"), backend=backend)
                net.forward()
                net.backward()
                del net
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    with no_garbage():
        peak(1)
        assert peak(6) < 1.3 * peak(1)


def test_a_net_closes_database_and_threads_when_it_dies(folder):
    before = threads()
    with no_garbage():
        net = net_from_text(DATA, backend=make_backend("reference"))
        net.forward()
        assert threads() - before
        assert open_files(folder)
        del net
        assert threads() == before
        assert not open_files(folder)


FAULTS = {
    "later layer": 'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" }',
    "parameters": """
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" }
  inner_product_param { num_output: 2 } }
layer { name: "b" type: "InnerProduct" bottom: "data" top: "b" param { name: "w" }
  inner_product_param { num_output: 3 } }""",
    "user code": """
layer { name: "user" type: "Python" bottom: "data" top: "user"
  python_param { module: "failing_layer" layer: "Failing" } }""",
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_net_that_cannot_be_built_closes_its_database(folder, monkeypatch, fault):
    (folder / "failing_layer.py").write_text(
        "class Failing:\n    def __init__(self, param): pass\n"
        "    def setup(self, bottom, top): raise KeyError('of the user')\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    # The error refers to the frames that built the net, and so to its layers.
    with pytest.raises((MinicaffeError, KeyError)) as caught:
        net_from_text(DATA + fault, backend=make_backend("reference"))
    assert not open_files(folder)
    assert caught.value


def test_an_output_file_that_was_not_opened_is_not_closed(folder):
    text = DATA + 'layer { name: "out" type: "HDF5Output" bottom: "data" bottom: "label" }'
    with pytest.raises(MinicaffeError, match="file_name"):
        net_from_text(text, backend=make_backend("reference"))
    assert Path("train_lmdb").exists()


def test_parameters_of_a_python_layer_outlive_the_net(folder, monkeypatch):
    (folder / "holding_layer.py").write_text(
        "class Holding:\n    def __init__(self, param): pass\n"
        "    def setup(self, bottom, top): self.blobs.add_blob(2, 3)\n"
        "    def reshape(self, bottom, top): top[0].reshape(1)\n"
        "    def forward(self, bottom, top): pass\n"
        "    def backward(self, top, propagate_down, bottom): pass\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    text = (
        LAYERS + 'layer { name: "user" type: "Python" bottom: "ip" top: "user"\n'
        'python_param { module: "holding_layer" layer: "Holding" } }'
    )
    with no_garbage():
        net = net_from_text(text, backend=make_backend("reference"))
        net.forward()
        user, dead = net.layers[net.layer_index("user")].user, weakref.ref(net)
        del net
        assert dead() is None
        assert user.blobs[0].data.shape == (2, 3)
        del user
