"""--gpu and solver_mode: GPU through the commands, on an emulated GPU; and without one."""

from pathlib import Path

import numpy as np
import pytest

import no_card
from emulator import EmulatedDevice
from minicaffe.cli.gflags import FlagParser
from minicaffe.cli.options.backend import BackendFlags, choose_backend
from minicaffe.cli.options.half_precision import asks_for_half
from minicaffe.data.db import open_database
from minicaffe.schema import SolverParameter, read_net_weights
from minicaffe.schema.minicaffe_pb2 import FLOAT16

TRAIN = ("train", "--solver=solver.prototxt")


@pytest.fixture
def gpu(monkeypatch, emulated_device):
    no_card.install(monkeypatch, [emulated_device])
    return emulated_device


@pytest.fixture
def no_gpu(monkeypatch):
    no_card.install(monkeypatch, [])


def weights(path):
    return [blob for layer in read_net_weights(path) for blob in layer.blobs]


@pytest.mark.parametrize("flags", ["--gpu=0", "-gpu 0", "--gpu all", "--backend=cuda"])
def test_train(project, run, gpu, flags):
    assert run(*TRAIN).code == 0
    wanted = weights("s_iter_2.caffemodel")
    assert not gpu.launches
    result = run(*TRAIN, *flags.split(), "--precision=fp32")
    assert result.code == 0, result.err
    assert gpu.launches
    assert {"Using GPUs 0", "GPU 0: emulated"} <= set(result.messages)
    assert "Computing with the cuda backend: an emulated GPU, fp32." in result.messages
    assert "Use CPU." not in result.messages
    for found, expected in zip(weights("s_iter_2.caffemodel"), wanted, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("flags", "is_captured"), [([], True), (["--no_graph"], False)])
def test_graphs(project, run, gpu, flags, is_captured):
    project.write(solver=project.solver.replace("max_iter: 2", "max_iter: 6"))
    assert run(*TRAIN, "--gpu=0", *flags).code == 0
    assert bool(gpu.counts["replay"]) == is_captured


def test_threads_decode_images(gpu):
    parser = FlagParser()
    BackendFlags.add_to(parser)
    backend = choose_backend(BackendFlags(parser.parse(["--gpu=0", "--threads=3"])))
    assert backend.data_threads == 3


def test_solver_mode(project, run, gpu):
    project.write(solver=project.solver + "solver_mode: GPU device_id: 0\n")
    assert "Using GPUs 0" in run(*TRAIN).messages
    assert "Use CPU." in run(*TRAIN, "--backend=reference").messages
    project.write(solver=project.solver + "solver_mode: GPU device_id: 1\n")
    result = run(*TRAIN)
    assert "Use CPU." in result.messages
    assert "solver_mode: GPU, but there is no GPU 1. Training on the CPU." in result.messages


def test_solver_mode_without_gpu(project, run, no_gpu):
    project.write(solver=project.solver + "solver_mode: GPU\n")
    result = run(*TRAIN)
    assert result.code == 0
    wanted = "solver_mode: GPU, but no GPU can be used: no driver. Training on the CPU."
    assert wanted in result.messages


def test_test_time_and_features(project, run, gpu):
    assert run(*TRAIN).code == 0
    model, trained = "--model=net.prototxt", "s_iter_2.caffemodel"
    for command in (
        ("test", model, f"--weights={trained}", "--iterations=2", "--gpu=0"),
        ("time", model, "--iterations=1", "-gpu=0"),
        ("extract_features", trained, "net.prototxt", "ip", "features", "2", "LMDB", "GPU"),
    ):
        gpu.launches.clear()
        result = run(*command)
        assert result.code == 0, result.err
        assert gpu.launches
        assert {"Use GPU with device ID 0", "GPU device name: emulated"} <= set(result.messages)
    assert run("extract_features", trained, "net.prototxt", "ip", "cpu", "2", "LMDB").code == 0
    with open_database("features", "LMDB") as found, open_database("cpu", "LMDB") as wanted:
        assert len(found) == len(wanted) == 8


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (
            ["--gpu=0,1"],
            2,
            "--gpu names 2 GPUs, and this process cannot become several. Start this",
        ),
        (["--gpu=all"], 2, "iter_size: 2 times as large makes the updates that Caffe makes on 2."),
        (["--gpu=0,2"], 1, "--gpu=0,2: there is no GPU 2; this machine has 2."),
        (["--gpu=1,1"], 2, "--gpu=1,1: names a GPU twice"),
        (["--gpu=2"], 1, "--gpu=2: there is no GPU 2"),
        (["--gpu=zero"], 2, "--gpu=zero: must be the number of a GPU, counted from 0, several"),
        (["--gpu=-1"], 2, "--gpu=-1: must be the number of a GPU"),
        (["--gpu=0", "--backend=onednn"], 2, "--gpu=0 and --backend=onednn: give one of them"),
        (["--precision=tf32"], 1, "the onednn backend cannot compute in tf32; it can in fp32 and "),
    ],
)
def test_refused(project, run, monkeypatch, emulated_device, flags, code, message):
    no_card.install(monkeypatch, [emulated_device, emulated_device])
    result = run(*TRAIN, *flags)
    assert result.code == code
    assert message in result.err
    assert len(result.errors) == (code == 1)
    assert not list(Path().glob("s_iter*"))


def test_old_card(project, run, monkeypatch):
    device = EmulatedDevice()
    device.capability = (7, 5)
    no_card.install(monkeypatch, [device])
    result = run(*TRAIN, "--gpu=0", "--precision=bf16")
    assert result.errors == [
        "--gpu=0: GPU 0 (emulated, compute capability 7.5) cannot compute in bf16, which needs "
        "8.0. Choose fp16 or fp32 with --precision."
    ]


def test_query(run, monkeypatch, emulated_device):
    no_card.install(monkeypatch, [emulated_device, emulated_device])
    result = run("device_query", "--gpu=all")
    assert result.code == 0
    assert result.messages[:7] == [
        "Querying GPUs 0,1",
        "Device id:                     0",
        "Major revision number:         9",
        "Minor revision number:         0",
        "Name:                          Card number 0",
        "Total global memory:           85000000000",
        "Total shared memory per block: 49152",
    ]
    assert "Maximum dimension of grid:     2147483647, 65535, 65535" in result.messages
    assert "Concurrent copy and execution: Yes" in result.messages
    assert "Kernel execution timeout:      No" in result.messages
    assert "CUDA of the driver:            13.1" in result.messages
    assert "Device id:                     1" in result.messages
    assert "GPUs: 2; --gpu all shows their properties" in run("device_query").messages


@pytest.mark.parametrize("ids", ["0", "all"])
def test_query_without_gpu(run, no_gpu, ids):
    result = run("device_query", f"--gpu={ids}")
    assert result.code == 1
    assert len(result.errors) == 1
    assert "no GPU can be used: no driver" in result.err
    assert "no GPU can be used: no driver." in run("device_query").messages


def test_without_cupy(project, run, monkeypatch):
    no_card.remove_cupy(monkeypatch)
    message = (
        "no GPU can be used: CuPy is not installed. If the machine has an NVIDIA GPU: pip install "
        "'minicaffe[gpu]'"
    )
    for command in (TRAIN, ("time", "--model=net.prototxt")):
        result = run(*command, "--gpu=0")
        assert result.code == 1
        assert result.errors == [f"--gpu=0: {message}"]
    assert run("device_query", "--gpu=0").errors == [message]


HALF = "default_forward_type: FLOAT16 "


@pytest.mark.parametrize(
    ("net", "flags", "precision"),
    [
        (HALF, [], "fp16"),
        (HALF, ["--precision=fp32"], "fp32"),
        (HALF.replace("FLOAT16", "FLOAT"), [], "tf32"),
    ],
)
def test_half_precision_of_nvcaffes_nets(project, run, gpu, net, flags, precision):
    project.write(net=net + project.net)
    wanted = f"Computing with the cuda backend: an emulated GPU, {precision}."
    for command in (TRAIN, ("time", "--model=net.prototxt", "--iterations=1")):
        assert wanted in run(*command, "--gpu=0", *flags).messages


def test_half_precision_without_a_gpu(project, run, no_gpu):
    project.write(net=HALF + project.net)
    result = run(*TRAIN)
    assert result.code == 0
    assert any(
        m.startswith("default_forward_type: FLOAT16 has no effect on the CPU")
        for m in result.messages
    )


def test_half_precision_of_a_net_inside_the_solver():
    solver = SolverParameter()
    assert not asks_for_half("", solver)
    solver.train_net_param.default_forward_type = FLOAT16
    assert asks_for_half("", solver)
    assert not asks_for_half("no such file", None)
