import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import caffe
from minicaffe.backends import get_backend
from minicaffe.pycaffe import session

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fresh_session(monkeypatch):
    monkeypatch.setattr(session, "_session", session._Session())


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )


def weights(net):
    return net.params["ip"][0].data.copy()


def test_the_seed_makes_the_sequence_of_nets_reproducible(net_path):
    caffe.set_random_seed(7)
    first, second = (weights(caffe.Net(net_path, caffe.TRAIN)) for _ in range(2))
    caffe.set_random_seed(7)
    np.testing.assert_array_equal(first, weights(caffe.Net(net_path, caffe.TRAIN)))
    assert (first != second).any()
    np.testing.assert_array_equal(second, weights(caffe.Net(net_path, caffe.TRAIN)))


def test_gpu_mode_fails_when_a_net_is_created(net_path, monkeypatch, fresh_session):
    def refuse(name, gpu, precision):
        raise session.BackendUnavailable("no driver.")

    monkeypatch.setattr(session, "get_backend", refuse)
    caffe.set_mode_gpu()
    caffe.set_device(0)
    message = r"set_mode_gpu\(\) was called, but no GPU can be used: no driver. .*set_mode_cpu"
    with pytest.raises(RuntimeError, match=message):
        caffe.Net(net_path, caffe.TRAIN)


def test_precision(net_path, fresh_session):
    with pytest.raises(
        RuntimeError, match=r'unknown precision "fp8"\. Known: bf16, fp16, fp32, tf32'
    ):
        caffe.set_precision("fp8")
    caffe.set_precision("tf32")
    with pytest.raises(RuntimeError, match="tf32"):
        caffe.Net(net_path, caffe.TRAIN)
    caffe.set_precision(None)
    caffe.Net(net_path, caffe.TRAIN)


def test_solver_count_and_rank(fresh_session):
    assert (caffe.solver_count(), caffe.solver_rank(), caffe.has_nccl()) == (1, 0, False)
    caffe.set_solver_count(2)
    caffe.set_solver_rank(1)
    caffe.set_multiprocess(True)
    assert (caffe.solver_count(), caffe.solver_rank()) == (2, 1)


def test_layer_types():
    types = caffe.layer_type_list()
    assert types == sorted(types)
    assert {"Convolution", "Python", "Input"} <= set(types)


def test_modules():
    import caffe.proto
    from caffe.proto import caffe_pb2

    assert caffe_pb2.TRAIN == caffe.TRAIN == 0
    assert caffe_pb2.TEST == caffe.TEST == 1
    assert caffe_pb2.LayerParameter(name="x").name == "x"
    assert caffe.pycaffe.Net is caffe.Net
    assert caffe.__version__ == "1.0.0"


def test_timer():
    timer = caffe.Timer()
    timer.start()
    timer.stop()
    assert timer.ms >= 0
    assert timer.ms == timer.ms


def test_log_writes_to_stderr_with_the_line_of_the_caller():
    result = run("import caffe\ncaffe.log('hello')", GLOG_minloglevel="0")
    assert result.stderr.rstrip().endswith("<string>:2] hello")
    assert result.stderr.startswith("I")
    assert result.stdout == ""


def test_glog_minloglevel_and_init_log_set_the_level():
    assert run("import caffe; caffe.log('a')", GLOG_minloglevel="2").stderr == ""
    code = "import caffe; caffe.init_log(2); caffe.log('a'); caffe.init_log(0); caffe.log('b')"
    assert [line[-1] for line in run(code).stderr.splitlines()] == ["b"]
    quiet = "import caffe; caffe.init_log(2); caffe.init_log(0, False); caffe.log('a')"
    assert run(quiet).stderr == ""


FORK = """
import multiprocessing, sys
import caffe

def use(answers):
    try:
        net = made if sys.argv[2] == "parent" else caffe.Net(sys.argv[1], caffe.TEST)
        answers.put(str(net.forward()["prob"].sum()))
    except RuntimeError as error:
        answers.put(str(error))

made = caffe.Net(sys.argv[1], caffe.TEST)
made.forward()
context = multiprocessing.get_context("fork")
answers = context.Queue()
child = context.Process(target=use, args=[answers])
child.start()
print(answers.get(timeout=30))
child.join()
"""


@pytest.fixture
def forked(deploy_path):
    """Return a function that runs a net, created by parent or child, in a forked process."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")

    def run_forked(creator):
        command = [sys.executable, "-W", "ignore", "-c", FORK, deploy_path, creator]
        environment = {**os.environ, "MINICAFFE_THREADS": "2"}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run_forked


def test_a_net_created_in_a_forked_process_runs(forked):
    """OpenMP worker threads do not survive fork(); waiting for them would deadlock."""
    assert float(forked("child")) == pytest.approx(4)


def test_a_net_of_the_parent_is_refused_in_a_forked_process(forked):
    if get_backend().name != "onednn":
        pytest.skip("the reference backend has no worker threads")
    assert forked("parent").startswith("this net was created before the process was forked")
