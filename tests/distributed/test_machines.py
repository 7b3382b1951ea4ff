"""Ranks on several machines, which are network namespaces."""

import json
import subprocess
import sys

import pytest
from machines import machines
from mpi_ranks import TIMEOUT_S, rank_environment

PROGRAM = """
import json, platform, subprocess
import numpy as np
from minicaffe.distributed.processes import process_communicator
everyone = process_communicator()
values = np.full(2_000_000, everyone.rank + 1, np.float32)
everyone.allreduce(values)
assert (values == 10).all()
shown = subprocess.run(["ip", "-json", "-statistics", "addr", "show", "e0"], capture_output=True)
(interface,) = json.loads(shown.stdout)
address = next(one["local"] for one in interface["addr_info"] if one["family"] == "inet")
sent = interface["stats64"]["tx"]["bytes"]
local = everyone.local_rank, everyone.local_size
found = everyone.allgather((platform.node(), address, sent, *local))
if everyone.is_root:
    print(json.dumps(found))
"""


@pytest.fixture
def four_machines(tmp_path):
    with machines(4, tmp_path) as created:
        yield created


def test_four_machines_sum_over_tcp(four_machines):
    result = subprocess.run(
        four_machines.mpiexec(sys.executable, "-c", PROGRAM),
        env=rank_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert [name for name, *_ in found] == four_machines.names
    assert [address for _, address, *_ in found] == four_machines.addresses
    assert [(rank, size) for *_, rank, size in found] == [(0, 1)] * 4
    assert min(sent for *_, sent, _, _ in found) > 8_000_000, (
        found
    )  # bytes: the array, once at least


ABORT = """
import time
from minicaffe.distributed.processes import process_communicator
everyone = process_communicator()
if everyone.rank == 1:
    time.sleep(1000)  # outside MPI, so that it notices nothing
if everyone.is_root:
    print("reason", flush=True)
    everyone.abort(3)
everyone.barrier()
"""

CUT = """
from minicaffe.distributed.processes import process_communicator
everyone = process_communicator()
everyone.waits.watch(0.5, lambda: everyone.abort(3), period_s=0.1)
everyone.barrier()
if everyone.is_root:
    print("ready", flush=True)
while True:
    everyone.barrier()
"""


def start(command):
    return subprocess.Popen(
        command,
        env=rank_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_abort_ends_ranks_of_other_machines(four_machines):
    process = start(four_machines.mpiexec(sys.executable, "-c", ABORT))
    out, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode != 0
    assert out == "reason\n"


@pytest.mark.parametrize("machine", [0, 3])
def test_a_machine_without_network_ends_the_job(four_machines, machine):
    process = start(four_machines.mpiexec(sys.executable, "-c", CUT))
    assert process.stdout.readline() == "ready\n"
    four_machines.cut(machine)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode != 0
