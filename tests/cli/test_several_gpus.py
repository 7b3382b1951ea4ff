"""--gpu with several GPUs: processes that are started, and the GPU that each of them takes."""

import sys
from types import SimpleNamespace

import pytest

import no_card
from emulator import EmulatedDevice
from minicaffe.backends.onednn.runtime import threads
from minicaffe.cli import main as program
from minicaffe.cli.gflags import FlagParser
from minicaffe.cli.options.backend import BackendFlags, choose_backend
from minicaffe.cli.options.shared_cores import threads_of_rank
from minicaffe.cli.program import ranks
from minicaffe.errors import BackendUnavailable
from minicaffe.schema import SolverParameter

TRAIN = ["train", "--solver=solver.prototxt"]


@pytest.fixture
def four_gpus(monkeypatch):
    devices = [EmulatedDevice() for _ in range(4)]
    no_card.install(monkeypatch, devices)
    return devices


@pytest.fixture
def executed(monkeypatch):
    """Command lines that replace the process; the fake returns as none would."""
    found = []

    def execv(path, words):
        found.append((path, words))
        raise SystemExit(0)

    monkeypatch.setattr(ranks.os, "execv", execv)
    monkeypatch.setattr(ranks, "find_mpiexec", lambda: "/venv/bin/mpiexec")
    return found


def as_program(monkeypatch, *argv, started_by=("python", "/venv/bin/minicaffe")):
    """Run the whole program, as a shell does, but for its handlers of signals."""
    monkeypatch.setattr(program._CtrlC, "install", lambda self: None)
    monkeypatch.setattr(program, "show_fatal_signals", lambda: None)
    monkeypatch.setattr(sys, "argv", ["minicaffe", *argv])
    monkeypatch.setattr(sys, "orig_argv", [*started_by, *argv])
    return program.main()


@pytest.mark.parametrize(("gpus", "n"), [("all", 4), ("1,3", 2), ("0,1,2", 3)])
def test_train_becomes_mpiexec(project, monkeypatch, four_gpus, executed, gpus, n):
    with pytest.raises(SystemExit):
        as_program(monkeypatch, *TRAIN, f"--gpu={gpus}")
    words = [sys.executable, "/venv/bin/minicaffe", *TRAIN, f"--gpu={gpus}"]
    assert executed == [("/venv/bin/mpiexec", ["/venv/bin/mpiexec", "-n", str(n), *words])]


@pytest.mark.parametrize("missing", ["mpi4py", "mpiexec"])
def test_without_mpi(project, monkeypatch, capfd, four_gpus, executed, missing):
    if missing == "mpiexec":
        monkeypatch.setattr(ranks, "find_mpiexec", lambda: None)
    else:
        monkeypatch.setattr(ranks.importlib.util, "find_spec", lambda name: None)
    assert as_program(monkeypatch, *TRAIN, "--gpu=all") == 1
    wanted = "--gpu names 4 GPUs, and training on several needs "
    wanted += "package mpi4py" if missing == "mpi4py" else "mpiexec"
    wanted += (
        ", which is missing: pip install 'minicaffe[gpu-multi]'. Or name one GPU; iter_size: 4 "
        "times as large makes the updates that Caffe makes on 4.\n"
    )
    assert capfd.readouterr().err.endswith(wanted)
    assert not executed


def test_a_job_of_the_board_stays_one_process(project, monkeypatch, capfd, four_gpus, executed):
    job = ["python", "-P", "-m", "minicaffe.cli.job", "5"]
    assert as_program(monkeypatch, *TRAIN, "--gpu=all", started_by=job) == 2
    assert "Start this training from a shell (mpiexec -n 4 minicaffe" in capfd.readouterr().err
    assert not executed


def test_other_commands_compute_on_one(project, run, four_gpus):
    result = run("time", "--model=net.prototxt", "--gpu=0,1")
    assert result.code == 1
    assert result.errors == [
        "--gpu=0,1: names 2 GPUs, and this command computes on one. Give one, as in --gpu=0."
    ]


def rank(local_rank, local_size, others=()):
    """A process of several on this machine; `others` are what it gathers from the rest."""
    return SimpleNamespace(
        size=8,
        local_rank=local_rank,
        local_size=local_size,
        allgather=lambda value: [value, *others],
    )


def chosen(communicator, *words, solver=None):
    parser = FlagParser()
    BackendFlags.add_to(parser)
    flags = BackendFlags(parser.parse(words))
    return choose_backend(flags, solver or SolverParameter(), communicator=communicator)


@pytest.mark.parametrize(
    ("words", "devices"),
    [
        (["--gpu=all"], [0, 1, 2, 3]),
        (["--gpu=3,0,2,1"], [3, 0, 2, 1]),
        (["--backend=cuda"], [0, 1]),
    ],
)
def test_each_rank_takes_a_gpu(four_gpus, words, devices):
    for local_rank, device in enumerate(devices):
        backend = chosen(rank(local_rank, 4), *words)
        assert backend.device is four_gpus[device]


def test_fewer_gpus_than_ranks(four_gpus):
    for words, text in (
        (
            ["--gpu=all"],
            "--gpu=all: 4 GPUs for 5 processes on this machine; each process needs one",
        ),
        (["--gpu=2"], "--gpu=2: 1 GPU for 5 processes on this machine; each process needs one of "),
    ):
        with pytest.raises(BackendUnavailable, match=text):
            chosen(rank(0, 5), *words)


def test_idle_gpus_are_named_once(four_gpus, log):
    for local_rank in range(2):
        chosen(rank(local_rank, 2), "--gpu=all")
    warnings = [r.getMessage() for r in log.records if r.levelname == "WARNING"]
    assert warnings == [
        "--gpu=all: only 2 of 4 GPUs are used, because so many processes run on this machine; "
        "idle: 2, 3. Start 4 processes to use all."
    ]


@pytest.mark.parametrize(
    ("words", "others", "n"),
    [([], 3, 2), ([], 0, 8), ([], 20, 1), (["--threads=5"], 3, 5)],
)
def test_ranks_share_the_cores(monkeypatch, words, others, n):
    for variable in threads.VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(threads, "default_threads", lambda: 8)
    communicator = rank(0, 4)
    communicator.allgather = lambda value: [value] * (others + 1) + [("elsewhere", value[1])]
    assert chosen(communicator, *words).threads == n
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads_of_rank(None, communicator) is None


def test_solver_mode_is_the_same_on_all_ranks(four_gpus, log):
    solver = SolverParameter(solver_mode=SolverParameter.GPU, device_id=0)
    assert chosen(rank(1, 4, ["", ""]), solver=solver).device is four_gpus[1]
    backend = chosen(rank(1, 4, ["no GPU can be used: no driver."]), solver=solver)
    assert backend.name != "cuda"
    wanted = "solver_mode: GPU, but no GPU can be used: no driver. Training on the CPU."
    assert wanted in log.messages
