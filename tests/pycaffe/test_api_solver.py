import threading

import numpy as np
import pytest

import caffe
from minicaffe.pycaffe.session import _session

NET = """
layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 5 dim: 3 } shape { dim: 5 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
TYPES = ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam", "AdamW"]


@pytest.fixture
def solver_path(write, tmp_path):
    def make(more=""):
        return write(
            f'net: "{write(NET)}" test_iter: 2 test_interval: 100 lr_policy: "step" gamma: 0.1 '
            f'stepsize: 3 max_iter: 4 base_lr: 0.5 snapshot_prefix: "{tmp_path}/run" {more}'
        )

    return make


def feed(solver):
    rng = np.random.default_rng(0)
    for net in (solver.net, *solver.test_nets):
        net.blobs["data"].data[...] = rng.standard_normal((5, 3))
        net.blobs["label"].data[...] = [0, 1, 2, 3, 1]


def test_solver_attributes(solver_path):
    solver = caffe.get_solver(solver_path())
    assert type(solver) is caffe.SGDSolver
    assert isinstance(solver.net, caffe.Net)
    assert len(solver.test_nets) == 1
    assert solver.net is solver.net
    assert (solver.iter, solver.param.max_iter, solver.param.display) == (0, 4, 0)
    assert repr(solver).startswith("SGDSolver(iter=0, lr=0.5, net=Net(")


def test_weights_in_the_solver_are_copied(solver_path, write, tmp_path):
    """Commas separate files; layers that only a test net has are copied, too."""
    other_net = write(NET.replace('"ip"', '"other"'))
    for layer, path, value in [("ip", write(NET), 7), ("other", other_net, 9)]:
        net = caffe.Net(path, caffe.TRAIN)
        net.params[layer][0].data[...] = value
        net.save(str(tmp_path / f"{layer}.caffemodel"))
    files = f"{tmp_path}/ip.caffemodel, {tmp_path}/other.caffemodel"
    solver = caffe.SGDSolver(solver_path(f'weights: "{files}" test_net: "{other_net}"'))
    (test_net,) = solver.test_nets
    assert (solver.net.params["ip"][0].data == 7).all()
    assert (test_net.params["other"][0].data == 9).all()


CONVOLUTIONS = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 10 dim: 3 dim: 28 dim: 28 } shape { dim: 10 }
  data_filler { type: "gaussian" } data_filler { value: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def test_solvers_in_threads(write):
    """Solvers share oneDNN's scratchpad; in Caffe, the GIL serialises them."""
    text = f'net: "{write(CONVOLUTIONS)}" base_lr: 1e-4 lr_policy: "fixed" random_seed: 1'
    path = write(text)
    reference = caffe.SGDSolver(path)
    reference.step(8)
    solvers = [caffe.SGDSolver(path) for _ in range(3)]
    threads = [threading.Thread(target=s.step, args=[8], daemon=True) for s in solvers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for solver in solvers:
        np.testing.assert_array_equal(
            solver.net.params["conv"][0].data, reference.net.params["conv"][0].data
        )


@pytest.mark.parametrize("kind", TYPES)
def test_get_solver_creates_the_type_of_the_prototxt(solver_path, kind):
    solver = caffe.get_solver(solver_path(f'type: "{kind}"'))
    assert type(solver) is getattr(caffe, f"{kind}Solver")
    feed(solver)
    before = solver.net.params["ip"][0].data.copy()
    solver.step(1)
    assert (solver.net.params["ip"][0].data != before).any()


def test_a_solver_class_overrides_the_type_of_the_prototxt(solver_path):
    solver = caffe.AdamSolver(solver_path('type: "Nesterov"'))
    assert solver.param.type == "Adam"
    with pytest.raises(RuntimeError, match=r"net\d+.prototxt:1: unknown solver type .Adm."):
        caffe.get_solver(solver_path('type: "Adm"'))


def test_training_lowers_loss_and_rate(solver_path):
    solver = caffe.SGDSolver(solver_path())
    feed(solver)
    solver.step(1)
    first = float(solver.net.blobs["loss"].data)
    solver.solve()
    assert solver.iter == 4
    assert float(solver.net.blobs["loss"].data) < first
    assert solver.lr == pytest.approx(0.05)
    solver.param.base_lr = 1
    assert solver.lr == pytest.approx(0.1)


def test_test_nets_share_the_weights(solver_path):
    solver = caffe.SGDSolver(solver_path())
    solver.net.params["ip"][0].data[...] = 7
    assert (solver.test_nets[0].params["ip"][0].data == 7).all()


def test_snapshot_and_restore(solver_path, tmp_path):
    solver = caffe.SGDSolver(solver_path("momentum: 0.9"))
    feed(solver)
    solver.step(2)
    solver.snapshot()
    solver.step(1)
    again = caffe.SGDSolver(solver_path("momentum: 0.9"))
    feed(again)
    again.restore(str(tmp_path / "run_iter_2.solverstate"))
    assert again.iter == 2
    again.step(1)
    np.testing.assert_array_equal(again.net.params["ip"][0].data, solver.net.params["ip"][0].data)
    with pytest.raises(RuntimeError, match=r"Could not open file nowhere.solverstate"):
        again.solve("nowhere.solverstate")


def test_callbacks(solver_path):
    solver = caffe.SGDSolver(solver_path())
    feed(solver)
    calls = []

    def ready():
        calls.append(("ready", bool(solver.net.params["ip"][0].diff.any())))

    solver.add_callback(lambda: calls.append(("start", solver.iter)), ready)
    solver.add_callback(lambda: calls.append("second"))
    solver.step(2)
    assert calls == [
        ("start", 0), "second", ("ready", True), ("start", 1), "second", ("ready", True),
    ]  # fmt: skip


def test_apply_update(solver_path):
    solver = caffe.SGDSolver(solver_path())
    before = solver.net.params["ip"][0].data.copy()
    solver.net.params["ip"][0].diff[...] = 2
    solver.apply_update()
    np.testing.assert_allclose(solver.net.params["ip"][0].data, before - 1)


def test_share_weights(solver_path):
    one, other = (caffe.SGDSolver(solver_path()) for _ in range(2))
    other.share_weights(one.net)
    one.net.params["ip"][0].data[...] = 3
    assert (other.net.params["ip"][0].data == 3).all()


def test_hooks_of_the_net_run_in_step(solver_path):
    solver = caffe.SGDSolver(solver_path())
    feed(solver)
    seen = []
    solver.net.after_forward(seen.append)
    solver.net.after_backward(seen.append)
    solver.step(1)
    assert seen == [0, 1, 2, 2, 1, 0]


def test_the_seed_of_the_session_applies_to_solvers_without_a_seed(solver_path):
    def weights(more=""):
        caffe.set_random_seed(5)
        return caffe.SGDSolver(solver_path(more)).net.params["ip"][0].data.copy()

    np.testing.assert_array_equal(weights(), weights())
    assert (weights("random_seed: 1") != weights()).any()


@pytest.mark.parametrize(("rank", "size", "n"), [("0", "4", 1), ("1", "4", 0), ("0", "1", 0)])
def test_solvers_of_several_processes_are_warned_of_once(
    solver_path, monkeypatch, caplog_minicaffe, rank, size, n
):
    monkeypatch.setattr(_session, "has_warned_of_launcher", False)
    monkeypatch.setenv("PMI_RANK", rank)
    monkeypatch.setenv("PMI_SIZE", size)
    for _ in range(2):
        caffe.get_solver(solver_path())
    found = [text for text in caplog_minicaffe.messages if text.startswith("mpiexec started")]
    assert found == n * [
        "mpiexec started 4 processes, and each of them trains a solver of its own: programs do not "
        "divide a training. The command does: mpiexec -n 4 minicaffe train --solver=FILE. This is "
        "said once."
    ]


def test_nccl_raises_an_error(solver_path):
    with pytest.raises(RuntimeError, match=r"has_nccl\(\) is False.*mpiexec -n N minicaffe train"):
        caffe.NCCL(None, "")
