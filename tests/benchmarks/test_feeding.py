"""The benchmark of the data runs; how fast anything is, is not tested."""

from benchmarks import feeding


def test_every_way_is_measured(capsys):
    feeding.main(
        ["--records", "3", "--size", "32", "--crop", "24", "--threads", "2", "--seconds", "0"]
    )
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert [line[:3] for line in lines[2:]] == [
        ["raw", "1", "floats"],
        ["raw", "1", "bytes"],
        *[["jpeg", threads, made] for threads in "12" for made in ("floats", "bytes")],
    ]
    assert all(int(line[3]) > 0 for line in lines[2:])
