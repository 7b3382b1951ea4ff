"""`minicaffe train` with a GPU for each process: where it sums the gradients."""

from pathlib import Path

import pytest
from twin_communicator import TwinCommunicator, TwinDeviceSum

import no_card
from minicaffe.distributed import nccl

NET = """
layer { name: "data" type: "Data" top: "x" top: "y"
  data_param { source: "lmdb" batch_size: 2 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 5 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "loss" }
"""
SOLVER = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 5'


class OtherMachine(TwinCommunicator):
    """The other rank runs on a machine of its own, where its GPU has the same address."""

    def allgather(self, value):
        other = (f"other {value[0]}", value[1]) if isinstance(value, tuple) else value
        return [value, other]


class Sums(TwinDeviceSum):
    """A `TwinDeviceSum` as `NcclSum`."""

    library = "NCCL 2"
    made = None

    def __init__(self, processes):
        super().__init__()
        Sums.made = self


@pytest.fixture
def train(workdir, monkeypatch, emulated_device, run_train):
    """A function that trains as one of two ranks, on an emulated GPU."""
    Path("net.prototxt").write_text(NET)
    Path("solver.prototxt").write_text(SOLVER)
    no_card.install(monkeypatch, [emulated_device] * 2)
    monkeypatch.setattr(nccl, "NcclSum", Sums)
    monkeypatch.setattr(Sums, "made", None)
    return lambda communicator, *words: run_train(
        communicator, "solver.prototxt", "--gpu=0,1", "--no_run", *words
    )


def places(caplog):
    return [text for text in caplog.messages if text.startswith("Gradients are summed")]


def test_gpus_of_their_own_sum_the_gradients(train, caplog_minicaffe):
    communicator = OtherMachine()
    assert train(communicator) == 0
    assert places(caplog_minicaffe) == ["Gradients are summed on the GPUs: NCCL 2."]
    assert len(Sums.made.enqueued) == 5 * 2  # weights and bias
    assert not communicator.reduced


@pytest.mark.parametrize(
    ("communicator", "flag", "reason"),
    [
        (TwinCommunicator, "--check_interval=0", " share a GPU, which NCCL does not allow."),
        (OtherMachine, "--gradient_type=float16", " --gradient_type=float16 rounds them."),
        (OtherMachine, "--summation_parts=2", " --summation_parts=2 adds them in a fixed order."),
    ],
)
def test_main_memory_sums_with_a_reason(train, caplog_minicaffe, communicator, flag, reason):
    assert train(communicator(), flag) == 0
    (line,) = places(caplog_minicaffe)
    assert line.startswith("Gradients are summed in main memory (twins): ")
    assert line.endswith(reason)
    assert Sums.made is None
