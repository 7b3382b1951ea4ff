"""Nets that train with shared memory: the same bits, less memory, clear refusals."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.errors import BackendUnavailable, NetError
from minicaffe.schema import read_solver
from minicaffe.solver.solver import Solver
from probe import backend_or_skip, make_backend, net_from_text

FILLER = 'weight_filler { type: "xavier" }'
DATA = """
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 5 dim: 3 dim: 19 dim: 17 } shape { dim: 5 }
    data_filler { type: "gaussian" } data_filler { type: "constant" value: 1 } } }
"""


def layer(name, kind, bottoms, top="", settings=""):
    wires = " ".join(f'bottom: "{b}"' for b in bottoms.split())
    return f'layer {{ name: "{name}" type: "{kind}" {wires} top: "{top or name}" {settings} }}\n'


def conv(name, bottom, n=6, kernel=3, pad=1, more=""):
    window = f"num_output: {n} kernel_size: {kernel} pad: {pad} {FILLER}"
    return layer(name, "Convolution", bottom, "", f"{more} convolution_param {{ {window} }}")


def conv_bn_relu(name, bottom, rectifies=True):
    text = conv(name, bottom) + layer(f"{name}/bn", "BatchNorm", name, name)
    text += layer(f"{name}/scale", "Scale", name, name, "scale_param { bias_term: true }")
    return text + (layer(f"{name}/relu", "ReLU", name, name) if rectifies else "")


def loss(bottom, name="loss", weight=1):
    ip = f"inner_product_param {{ num_output: 4 {FILLER} }}"
    text = layer(f"{name}/ip", "InnerProduct", bottom, "", ip)
    return text + layer(name, "SoftmaxWithLoss", f"{name}/ip label", "", f"loss_weight: {weight}")


def pool(name, bottom, method="MAX", stride=2):
    window = f"pool: {method} kernel_size: 3 stride: {stride} pad: {int(stride == 1)}"
    return layer(name, "Pooling", bottom, "", f"pooling_param {{ {window} }}")


ALEXNET = (
    conv("c1", "data", 12)
    + layer("r1", "ReLU", "c1", "c1")
    + layer("n1", "LRN", "c1", "", "lrn_param { local_size: 3 alpha: 0.5 }")
    + pool("p1", "n1")
    + conv("c2", "p1")
    + layer("r2", "ReLU", "c2", "c2")
    + pool("p2", "c2")
    + layer("f1", "InnerProduct", "p2", "", f"inner_product_param {{ num_output: 9 {FILLER} }}")
    + layer("r3", "ReLU", "f1", "f1")
    + layer("d1", "Dropout", "f1", "f1")
    + loss("f1")
)
GOOGLENET = (
    conv("c1", "data")
    + layer("r1", "ReLU", "c1", "c1")
    + conv("a", "c1", 4, 1, 0)
    + layer("ra", "ReLU", "a", "a")
    + pool("q", "c1", stride=1)
    + conv("b", "q", 3, 1, 0)
    + layer("rb", "PReLU", "b", "b")
    + layer("out", "Concat", "a b")
    + layer("drop", "Dropout", "out", "dropped")
    + loss("c1", "aux", 0.3)
    + pool("p", "dropped", "AVE")
    + loss("p")
)
RESNET = conv_bn_relu("stem", "data")
for name, bottom in (("x", "stem"), ("y", "x"), ("z", "y")):
    RESNET += conv_bn_relu(f"{name}1", bottom) + conv_bn_relu(f"{name}2", f"{name}1", False)
    RESNET += layer(name, "Eltwise", f"{bottom} {name}2") + layer(f"{name}r", "ReLU", name, name)
RESNET += pool("p", "z", "AVE") + loss("p")
SHARED = (
    conv("c1", "data", more='param { name: "w" }')
    + layer("t1", "TanH", "c1")
    + layer("s1", "Sigmoid", "t1")
    + conv("c2", "data", more='param { name: "w" }')
    + layer("b2", "BatchNorm", "c2", "b2")
    + layer("e2", "ELU", "b2", "b2")
    + layer("m", "Eltwise", "s1 b2", "", "eltwise_param { operation: PROD }")
    + layer("flat", "Flatten", "m")
    + loss("flat")
    + layer("sum", "Reduction", "s1", "", "loss_weight: 0.01")
)
NETS = {"alexnet": ALEXNET, "googlenet": GOOGLENET, "resnet": RESNET, "shared": SHARED}
SETTINGS = {
    "plain": "",
    "iter_size": "iter_size: 3",
    "clip_gradients": "clip_gradients: 0.05",
    "tested": "test_iter: 2 test_interval: 2",
    "debug_info": "debug_info: true display: 1",
}


@pytest.fixture(params=["reference", "onednn", "cuda-channels-last"])
def backend(request):
    return backend_or_skip(request.param)


def trained(text, backend, folder, memory, settings=""):
    """Return all that a snapshot would hold after four iterations, and the outputs."""
    path = folder / "solver.prototxt"
    path.write_text(
        f'base_lr: 0.02 momentum: 0.9 lr_policy: "fixed" max_iter: 9 random_seed: 3 {settings} '
        f"snapshot_after_train: false net_param {{ {DATA} {text} }}"
    )
    solver = Solver(read_solver(path), backend, memory=memory)
    solver.step(4)
    found = {blob.name: blob.data.get() for blob in solver.net.outputs}
    for one in solver.net.layers:
        found |= {f"{one.name}.{i}": blob.data.get() for i, blob in enumerate(one.blobs)}
    found |= {f"history {i}": tensor.get() for i, tensor in enumerate(solver.history)}
    state = solver.net.state()
    solver.close()
    return found, state


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", NETS)
def test_training_gives_the_same_bits(name, settings, backend, tmp_path):
    given = NETS[name], backend, tmp_path
    want, state = trained(*given, "readable", SETTINGS[settings])
    for memory in ("share_gradients", "optimize"):
        got, same_state = trained(*given, memory, SETTINGS[settings])
        assert same_state == state  # random numbers and data are where they would be
        assert got.keys() == want.keys()
        for key, values in want.items():
            np.testing.assert_array_equal(got[key], values, f"{memory}: {key}")
    assert len({values.tobytes() for values in want.values()}) > 5


def build(text, backend=None):
    return net_from_text(f'name: "small" {DATA} {text}', "TRAIN", backend=backend)


def names_again(net):
    """Return the names of the layers that run forward again."""
    tasks = net.backward_tasks()
    again = []
    for task in tasks:
        for one in getattr(task, "args", [[]])[0][:-1]:
            again.append(one.__self__.layer.name)
    return again


def test_cheap_layers_run_again():
    net = build(RESNET, make_backend("reference"))
    net.optimize_memory()
    again = names_again(net)
    assert len(again) == len(set(again))
    assert {"x1/bn", "x1/scale", "x1/relu"} <= set(again)
    assert not any(net.layers[net.layer_index(name)].type == "Split" for name in again)


def test_less_memory_is_needed():
    """The sums are of what a forward and a backward pass write."""
    demands = {}
    for use in ("apart", "gradients", "all"):
        net = build(RESNET, make_backend("reference"))
        if use == "gradients":
            net.shared_memory.share_gradients()
        elif use == "all":
            net.optimize_memory()
        demands[use] = net.shared_memory.demand(backward=True).activations
    assert demands["gradients"] < 0.7 * demands["apart"]
    assert demands["all"] < 0.7 * demands["gradients"]


def test_what_is_saved_is_logged(caplog):
    net = build(RESNET, make_backend("reference"))
    net.optimize_memory()
    (line,) = (r.message for r in caplog.records if "run forward again" in r.message)
    assert line.startswith('net "small": values and gradients of the blobs take ')


def test_a_second_backward_pass_is_refused(backend):
    net = build(GOOGLENET, backend)
    net.optimize_memory()
    net.forward()
    half = len(net.steps) // 2
    net.backward(end=half)
    net.backward(start=half - 1)
    with pytest.raises(NetError) as caught:
        net.backward()
    assert str(caught.value) == (
        'net "small": the last backward pass has overwritten blobs that this one reads, because '
        "optimize_memory lets them share memory. Run forward first."
    )
    net.forward()
    net.backward()


def test_gradients_of_a_divided_pass_are_those_of_a_whole_one(backend):
    found = []
    for is_divided in (False, True):
        net = build(GOOGLENET, backend)
        net.optimize_memory()
        net.forward()
        net.clear_param_diffs()
        middle = net.layer_index("rb")
        if is_divided:
            net.backward(end=middle)
            net.backward(start=middle - 1)
        else:
            net.backward()
        found.append([p.blob.diff.get() for p in net.parameters])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_part_of_a_fused_net_is_refused():
    try:
        net = build(RESNET, make_backend("onednn"))
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
    net.optimize_memory()
    net.forward()
    with pytest.raises(NetError, match=r"After optimize_memory there is no memory to compute"):
        net.backward(end=4)
    net.backward()


def test_outputs_and_losses_stay(backend):
    plain, shared = build(GOOGLENET, backend), build(GOOGLENET, backend)
    shared.optimize_memory([shared.blobs["a"]])
    for net in (plain, shared):
        net.forward()
        net.backward()
    for name in ("loss", "aux", "a", "label", "data"):
        np.testing.assert_array_equal(
            shared.blobs[name].data.get(), plain.blobs[name].data.get(), name
        )
    assert shared.loss() == plain.loss()


def test_a_python_layer_keeps_its_blobs(tmp_path, monkeypatch):
    (tmp_path / "twice_module.py").write_text(
        "import caffe\n"
        "class Twice(caffe.Layer):\n"
        "    def setup(self, bottom, top): self.n = 0\n"
        "    def reshape(self, bottom, top): top[0].reshape(*bottom[0].data.shape)\n"
        "    def forward(self, bottom, top):\n"
        "        self.n += 1\n"
        "        self.kept = bottom[0].data\n"
        "        top[0].data[...] = 2 * self.kept\n"
        "    def backward(self, top, down, bottom):\n"
        "        assert (2 * self.kept == top[0].data).all()\n"
        "        bottom[0].diff[...] = 2 * top[0].diff\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    text = conv_bn_relu("c", "data") + layer(
        "twice", "Python", "c", "", 'python_param { module: "twice_module" layer: "Twice" }'
    )
    text += layer("t", "TanH", "twice") + loss("t")
    net = build(text, make_backend("reference"))
    net.optimize_memory()
    for _ in range(3):
        net.forward()
        net.backward()
    assert "twice" not in names_again(net)
