"""What launchers tell a process, and the errors before a training begins."""

import subprocess
import sys

import pytest

from minicaffe.distributed import launch, mpi
from minicaffe.distributed.launch import Launch, detected_launch, mpiexec_beside_python
from minicaffe.errors import CommunicationError, MissingPackage

SBATCH = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"PMI_RANK": "2", "PMI_SIZE": "4"}, Launch("mpiexec", 2, 4)),
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, None),
        (
            {"PMI_RANK": "3", "PMI_SIZE": "4", "MPI_LOCALNRANKS": "2", "MPI_LOCALRANKID": "1"},
            Launch("mpiexec", 3, 4, is_first_here=False),
        ),
        (
            {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "PMIX_RANK": "1"},
            Launch("mpiexec", 1, 2, "Open MPI"),
        ),
        ({"PMIX_RANK": "1"}, Launch("the launcher", 1, None)),
        (SBATCH, None),  # a script of sbatch, without srun
        ({**SBATCH, "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4"}, Launch("srun", 3, 4)),
        ({**SBATCH, "SLURM_STEP_NUM_TASKS": "1"}, None),  # srun --pty bash
        (  # mpiexec in a script of sbatch
            {**SBATCH, "SLURM_STEP_NUM_TASKS": "2", "PMI_RANK": "3", "PMI_SIZE": "8"},
            Launch("mpiexec", 3, 8),
        ),
        ({"PMI_RANK": "none", "PMI_SIZE": ""}, None),
    ],
)
def test_launchers_are_detected(variables, expected):
    assert detected_launch(variables) == expected


def test_a_single_process_imports_no_mpi():
    program = (
        "import sys\n"
        "from minicaffe.distributed.processes import process_communicator\n"
        "from minicaffe.distributed.communicator import ALONE\n"
        "assert process_communicator() is ALONE\n"
        "assert not any(name.startswith('mpi4py') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(MissingPackage) as error:
        mpi.open_mpi(Launch("mpiexec", 0, 4))
    assert str(error.value).startswith("mpiexec started 4 processes, which need package mpi4py (")
    assert "Install it with: pip install 'minicaffe[mpi]', or pip install mpi4py on a" in str(
        error.value
    )


def test_library_of_another_mpi():
    text = mpi._wrong_launcher(Launch("mpiexec", 0, 4), "Open MPI v5.0.11, package: x, 2026\0")
    assert text.startswith(
        "mpiexec started 4 processes, but the MPI library of mpi4py (Open MPI v5.0.11) does not "
        "know of the others: launcher and library belong to different installations of MPI. Start "
        "with the mpiexec of that library"
    )
    text = mpi._wrong_launcher(Launch("srun", 0, 4), "MPICH Version:      5.0.2\nMPICH x")
    assert "(MPICH Version: 5.0.2)" in text
    assert text.endswith("Try srun --mpi=pmix or --mpi=pmi2 (srun --mpi=list shows what there is).")


@pytest.mark.parametrize(
    "variables",
    [
        "OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2",  # the mpiexec of another library
        "SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=2",  # the library starts as one process
    ],
)
def test_library_that_is_alone(variables):
    pytest.importorskip("mpi4py")
    program = (
        "import os\n"
        f"os.environ.update(pair.split('=') for pair in {variables!r}.split())\n"
        "from minicaffe.distributed.processes import process_communicator\n"
        "process_communicator()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 1
    assert f"{CommunicationError.__name__}: " in result.stderr
    assert "started 2 processes, but the MPI library of mpi4py (" in result.stderr


def test_mpiexec_of_the_environment_comes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(launch.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert mpiexec_beside_python() is None
    assert launch.find_mpiexec() == "/usr/bin/mpiexec"
    (tmp_path / "mpiexec").touch()
    assert launch.find_mpiexec() == str(tmp_path / "mpiexec")
