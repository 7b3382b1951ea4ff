"""The benchmark of the service runs; how fast anything is, is not tested."""

import sys

import pytest

pytest.importorskip("starlette")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_servers_are_measured_in_turns(capfd):
    from benchmarks import serving

    serving.main(["--nets", "lenet", "--clients", "2", "--turns", "1", "--seconds", "0.5"])
    lines = [line.strip("| ").split(" | ") for line in capfd.readouterr().out.splitlines()]
    assert [line[:3] for line in lines[2:]] == [
        ["lenet", "2", "minicaffe"],
        ["lenet", "2", "minicaffe, batches of 1"],
    ]
    assert all(float(line[3]) > 0 for line in lines[2:])
    assert lines[3][-1] == "1.00"
