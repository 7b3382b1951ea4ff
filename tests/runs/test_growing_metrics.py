"""Metrics that are read again and again while a training writes them."""

import json

import pytest

from minicaffe.runs.appended_lines import AppendedLines, text_after
from minicaffe.runs.metrics import MetricsReader, read_metrics
from minicaffe.runs.progress import RunProgress

SCORE = {"output": "accuracy", "net": 0, "best": "max"}


def line(iteration, value=None, net=0, **more):
    """Return a display, or a test with an accuracy."""
    row = {"kind": "train" if value is None else "test", "iteration": iteration}
    row |= {"epoch": iteration / 4, "time": iteration / 10}
    if value is None:
        row |= {"lr": 0.5, "loss": 100.0 - iteration, "outputs": {"loss": 1.0}, "images_per_s": 7.0}
    else:
        row |= {"net": net, "outputs": {"accuracy": value}}
    return json.dumps({**row, **more}) + "\n"


@pytest.fixture
def write(tmp_path):
    """A function that appends lines to the metrics of the folder."""

    def append(*lines):
        with (tmp_path / "metrics.jsonl").open("a") as file:
            file.write("".join(lines))

    return append


def test_only_complete_lines_are_taken(tmp_path):
    path = tmp_path / "file"
    lines = AppendedLines(path)
    assert lines.read_new() == (b"", False)
    path.write_bytes(b"one\ntw")
    assert lines.read_new() == (b"one\n", False)
    with path.open("ab") as file:
        file.write(b"o\n")
    assert lines.read_new() == (b"two\n", False)
    assert lines.offset == 8
    assert lines.read_new() == (b"", False)


def test_a_replaced_file_is_read_from_its_beginning(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one\ntwo\n")
    lines = AppendedLines(path)
    lines.read_new()
    path.write_bytes(b"new\n")  # shorter
    assert lines.read_new() == (b"new\n", True)
    other = tmp_path / "other"
    other.write_bytes(b"longer than before\n")
    other.replace(path)
    assert lines.read_new() == (b"longer than before\n", True)
    path.unlink()
    assert lines.read_new() == (b"", True)
    assert lines.read_new() == (b"", False)


def test_a_file_without_changes_is_not_opened(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"one\n")
    lines = AppendedLines(path)
    lines.read_new()
    monkeypatch.setattr(type(path), "open", None)
    assert lines.read_new() == (b"", False)


@pytest.mark.parametrize(
    ("offset", "most", "expected"),
    [
        *((0, 99, ("one\ntwo\n", 0, 8)), (4, 99, ("two\n", 4, 8)), (8, 99, ("", 8, 8))),
        *((99, 99, ("one\ntwo\n", 0, 8)), (-1, 99, ("one\ntwo\n", 0, 8))),
        (-1, 8, ("two\n", 4, 8)),  # thr and the half of one do not count
    ],
)
def test_text_after_a_place(tmp_path, offset, most, expected):
    path = tmp_path / "log.txt"
    path.write_text("one\ntwo\nthr")
    assert text_after(path, offset, most) == expected


def test_rows_since_a_place(tmp_path, write):
    write(line(0), line(0, 0.25))
    reader = MetricsReader(tmp_path)
    reader.update()
    place = reader.offset
    assert [row.kind for row in reader.rows] == ["train", "test"]
    assert (reader.rows[0].rate, reader.rows[0].loss, reader.rows[0].images_per_s) == (0.5, 100, 7)
    write(line(10), '{"kind": "tr')
    reader.update()
    rows, replaced = reader.since(place)
    assert ([row.iteration for row in rows], replaced) == ([10], None)
    assert reader.since(0) == (reader.rows, None)


def test_rows_of_a_resumed_run_replace_earlier_ones(tmp_path, write):
    write(*(line(k) for k in (0, 10, 20, 30)))
    reader = MetricsReader(tmp_path)
    reader.update()
    place = reader.offset
    write(line(20), line(30), line(40))
    reader.update()
    rows, replaced = reader.since(place)
    assert ([row.iteration for row in rows], replaced) == ([20, 30, 40], 20)
    assert [row.iteration for row in reader.rows] == [0, 10, 20, 30, 40]
    assert reader.rows == read_metrics(tmp_path)
    rows, replaced = reader.since(reader.offset)
    assert (rows, replaced) == ([], None)


def test_a_reader_notices_another_run(tmp_path, write):
    write(*(line(k) for k in range(9)))
    reader = MetricsReader(tmp_path)
    reader.update()
    place = reader.offset
    (tmp_path / "metrics.jsonl").unlink()
    write(line(0), "damaged\n")
    reader.update()
    assert reader.since(place) == (reader.rows, -1)
    assert [row.iteration for row in reader.rows] == [0]


def long_file(write, n=3000):
    """Write so many displays and, after each tenth, tests of two nets; return the scores."""
    scores = [(k, (k * 7919 % 1000) / 1000) for k in range(0, n, 10)]
    values = dict(scores)
    lines = []
    for k in range(n):
        lines.append(line(k))
        if k in values:
            lines += [line(k, values[k]), line(k, 2.0, net=1)]
    write(*lines)
    return scores


@pytest.mark.parametrize("reads", ["all", "tests"])
def test_scores_of_a_long_file(tmp_path, write, reads):
    scores = long_file(write)
    progress = RunProgress(tmp_path, SCORE, reads)
    assert progress.update()
    assert progress.scores == scores
    assert progress.best == max(scores, key=lambda score: score[1])
    assert progress.last == scores[-1]
    assert progress.latest.iteration == 2999
    assert progress.images_per_s == 7
    assert progress.seconds_per_iteration == pytest.approx(0.1)
    assert not progress.update()
    write(line(3000, 1.5))
    assert progress.update()
    assert progress.best == (3000, 1.5)


@pytest.mark.parametrize("net", [0, 1])
def test_a_curve_of_a_long_file_needs_few_lines(tmp_path, write, monkeypatch, net):
    scores = long_file(write, 24_000)  # 4,800 tests of two nets
    n_read = 0

    def counted(text):
        nonlocal n_read
        n_read += 1
        return json_loads(text)

    json_loads = json.loads
    monkeypatch.setattr("minicaffe.runs.metrics.json.loads", counted)
    progress = RunProgress(tmp_path, {**SCORE, "net": net}, "curve")
    progress.update()
    assert n_read < 300
    curve = progress.curve(100)
    assert len(curve) == 100
    expected = [(k, value if net == 0 else 2.0) for k, value in scores]
    assert set(curve) <= set(expected)
    assert (curve[0], curve[-1]) == (expected[0], expected[-1])


@pytest.mark.parametrize("n", [5, 3000])
def test_the_loss_is_the_curve_if_nothing_is_tested(tmp_path, write, n):
    write(*(line(k) for k in range(n)))
    progress = RunProgress(tmp_path, {}, "tests")
    progress.update()
    curve = progress.curve(50)
    assert len(curve) == min(n, 50)
    assert curve[0] == (0, 100.0)
    assert curve[-1] == (n - 1, 101.0 - n)
    assert progress.scores == []


def test_the_best_score_of_a_resumed_run(tmp_path, write):
    """The best one was reached by iterations that were then repeated."""
    write(line(0, 0.1), line(10, 0.9), line(20, 0.2), line(5), line(10, 0.3))
    progress = RunProgress(tmp_path, {**SCORE, "best": "max"}, "all")
    progress.update()
    assert progress.scores == [(0, 0.1), (10, 0.3)]
    assert RunProgress(tmp_path, {**SCORE, "best": "min"}, "all").curve(9) == []
