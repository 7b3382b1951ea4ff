"""report: one self-contained page of a run, and its charts."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from minicaffe.pictures.curves import Curve, Panel
from minicaffe.pictures.svg_chart import svg_chart

TRAIN = ("train", "--solver=solver.prototxt", "--backend=reference", "--keep_best=accuracy")
VOID = {"meta", "img"}


class Page(HTMLParser):
    """Texts of a page by section, its tags, and whether they are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.sections, self.rows = [], [], {}, []
        self.head = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.head = data
        elif self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)
        self.sections[self.head] = self.sections.get(self.head, "") + data


@pytest.fixture
def trained(project, run):
    """Train a net with tests; the function that runs commands."""
    text = project.solver.replace("max_iter: 2", "max_iter: 4")
    project.write(solver=text + "test_iter: 2 test_interval: 2")
    assert run(*TRAIN).code == 0
    return run


def report(run, *args):
    result = run("report", *args)
    assert result.code == 0, result.err
    return Page(Path(result.messages[-1].removeprefix("Wrote ")).read_text())


def test_the_page_has_all_of_a_run(trained):
    page = report(trained, "solver-1")
    assert list(page.sections)[1:] == [
        *("Result", "Next commands", "Curves", "Tests", "Settings", "Net", "Files")
    ]
    assert re.search(r"best accuracy\s*[\d.]+ at iteration \d", page.sections["Result"])
    commands = page.sections["Next commands"]
    assert "minicaffe test --model=runs/solver-1/test-0.prototxt" in commands
    assert "--snapshot=s_iter_4.solverstate" in commands
    assert "minicaffe report" not in commands
    assert "--keep_best=accuracy" in page.sections["Settings"]
    assert 'type: "InnerProduct"' in page.sections["Settings"]
    assert "SoftmaxWithLoss" in page.sections["Net"]
    assert "best.caffemodel" in page.sections["Files"]


def test_the_tests_are_those_of_the_metrics_with_the_best_marked(trained):
    page = report(trained, "runs/solver-1", "--output=r.html")
    begin = page.rows.index(["iteration", "time", "accuracy", "loss"])
    assert [row[0] for row in page.rows[begin + 1 : begin + 4]] == ["0", "2", "4"]
    best = [k for k, (_, attrs) in enumerate(t for t in page.tags if t[0] == "tr")
            if attrs.get("class") == "best"]  # fmt: skip
    assert len(best) == 1
    iteration, _, accuracy, _ = page.rows[best[0]]
    assert f"{accuracy} at iteration {iteration}" in page.sections["Result"]


def test_the_page_needs_nothing_else(trained):
    assert (
        trained(
            *("test", "--model=runs/solver-1/test-0.prototxt", "--weights=runs/solver-1/best"),
            *("--iterations=2", "--confusion=runs/solver-1/confusion"),
        ).code
        == 0
    )
    page = report(trained, "solver-1")
    assert "Confusion matrix in confusion" in page.sections
    images = [attrs["src"] for tag, attrs in page.tags if tag == "img"]
    assert images
    assert all(source.startswith("data:image/png;base64,") for source in images)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert not [a for _, a in page.tags if "href" in a or any(k.startswith("on") for k in a)]
    assert "prefers-color-scheme: dark" in Path("runs/solver-1/report.html").read_text()


def test_without_matplotlib(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "accuracy" in report(trained, "solver-1").sections["Curves"]


def test_a_run_without_values_and_files(trained):
    for name in ("log.txt", "metrics.jsonl", "train.prototxt"):
        Path("runs/solver-1", name).unlink()
    page = report(trained, "solver-1")
    assert "log.txt: " in page.sections["Curves"]
    assert page.sections["Tests"].endswith("Nothing was tested.\n")
    assert "The net cannot be drawn: " in page.sections["Net"]


def test_a_net_whose_data_are_elsewhere(trained, monkeypatch):
    folder = Path("runs/solver-1").absolute()
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    page = report(trained, str(folder), "--output=r.html")
    assert re.search("shapes are left out: |its data does not exist", page.sections["Net"])


def test_names_with_special_characters(project, run):
    assert run(*TRAIN[:3], "--run=a & <b>").code == 0
    assert report(run, "a & <b>").sections[""].strip().startswith("Run a & <b>")


def test_messages(project, run):
    result = run("report", "lenet")
    assert result.code == 1
    assert result.messages[-1].startswith("lenet: no run: there is no run.json in it.")


def curve(y, **settings):
    return Curve("a", np.arange(len(y), dtype=float), np.array(y, float), **settings)


def points(chart):
    """Return the points of each line of a chart."""
    return [
        [tuple(map(float, pair.split(","))) for pair in line.split()]
        for line in re.findall(r'points="([^"]*)"', chart)
    ]


def test_a_chart_spans_its_axes_and_has_gaps():
    first, second = points(svg_chart(Panel("y", [curve([0, 1, np.nan, 2, 1])]), "x"))
    assert [len(first), len(second)] == [2, 2]
    assert (first[0][0], second[-1][0]) == (64, 704)
    heights = [y for _, y in (*first, *second)]
    assert heights[0] > heights[1] == heights[3] > heights[2]


def test_the_key_says_where_values_stop_being_finite():
    assert "> a, inf from 2 on</span>" in svg_chart(Panel("y", [curve([0, 1, np.inf])]), "x")


def test_a_stepped_line_holds_its_values():
    (line,) = points(svg_chart(Panel("y", [curve([1, 2, 3], stepped=True)]), "x"))
    assert len(line) == 5
    assert line[0][1] == line[1][1]
    assert line[1][0] == line[2][0]


def test_a_chart_marks_the_best_value_and_clips_the_start():
    values = [9, 1, 1.2, 1.1, 1.3, 1.4]
    chart = svg_chart(Panel("y", [curve(values, nth=0, best="lowest")], clips_start=True), "x")
    assert "a first point is outside the axis: 9" in chart
    assert "a, best 1 at 1" in chart
    x, y = map(float, re.search(r'cx="([\d.]+)" cy="([\d.]+)"', chart).groups())
    assert (x, y) == points(chart)[0][1]


def test_ticks_of_logarithmic_axes_are_powers_of_ten():
    chart = svg_chart(Panel("y", [curve([1e-1, 1e-3])], logarithmic=True), "x")
    assert re.findall(r">([\d.e-]+)</text>", chart)[-3:] == ["0.001", "0.01", "0.1"]


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0], [0.0, 0.0]])
def test_charts_of_one_value(values):
    ((_, y), *_) = points(svg_chart(Panel("y", [curve(values)]), "x"))[0]
    assert 22 < y < 226


def test_a_chart_without_finite_values():
    assert svg_chart(Panel("a<b", [curve([np.nan])]), "x") == "<p>a&lt;b: no finite values.</p>"
