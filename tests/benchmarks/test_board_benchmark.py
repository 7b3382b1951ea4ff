"""The benchmark of the board; how fast anything is, is not tested."""

from benchmarks import board


def test_every_line_is_measured(capsys, monkeypatch):
    monkeypatch.setattr(board, "CHROMIUM", board.ROOT / "no")  # pages have tests of their own
    board.main(["--runs", "2", "--lines", "50", "--iterations", "20", "--repeats", "1"])
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [line[0].partition(": ")[2] for line in lines] == [
        *("first answer", "time", "processor time of the board")
    ]
    assert all(float(line[3]) >= 0 for line in lines)
