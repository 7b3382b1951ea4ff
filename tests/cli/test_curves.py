"""Charts of training curves: legend, best values, outlying starts, equal curves, colours."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicaffe.analysis.training_log import TrainingLog
from minicaffe.cli.main import run_command
from minicaffe.pictures import curve_drawing
from minicaffe.pictures.curve_drawing import draw_curves, equal_curves, run_colours
from minicaffe.pictures.curves import Curve, Panel, best_of_tests, training_panels
from minicaffe.runs.natural_order import natural_key, naturally_ordered

LINE = "I1122 10:00:0{}.500000  4541 solver.cpp:239] {}\n"


def write_log(path, losses, accuracies):
    """Write a log with a test and a display every 100 iterations."""
    text = LINE.format(0, "Solving x")
    for k, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True)):
        text += LINE.format(k, f"Iteration {100 * k}, Testing net (#0)")
        text += LINE.format(k, f"    Test net output #0: accuracy = {accuracy}")
        text += LINE.format(k, f"    Test net output #1: loss = {loss} (* 1 = {loss} loss)")
        text += LINE.format(k, f"Iteration {100 * k} (9 iter/s, 1s/100 iters), loss = {loss}")
        text += LINE.format(k, f"Iteration {100 * k}, lr = 0.01")
    Path(path).write_text(text)


def curve(y, **settings):
    return Curve("a", np.arange(len(y), dtype=float), np.array(y, float), **settings)


def drawn(*curves, clips_start=False):
    """Return the axes of one chart."""
    return draw_curves([Panel("y", list(curves), clips_start=clips_start)], "x").axes[0]


@pytest.fixture
def figure(log, monkeypatch):
    """Plot twelve runs, named as a shell lists them; the figure."""
    figures = []
    monkeypatch.setattr("minicaffe.cli.commands.plot.save_figure", lambda f, _: figures.append(f))
    for k in range(1, 13):
        losses = [2.4, 0.5, 0.4, 0.35, 0.3 + k / 100, 0.37]
        write_log(f"run{k}.log", losses, [0.1, 0.8, 0.85, 0.86 + k / 1000, 0.855, 0.85])
    paths = sorted(f"run{k}.log" for k in range(1, 13))
    assert paths[1] == "run10.log"
    assert run_command("plot", paths) == 0
    figures[0].draw_without_rendering()
    return figures[0]


def test_the_legend_of_twelve_runs_is_complete_and_in_natural_order(figure):
    texts = [[text.get_text() for text in axis.get_legend().texts] for axis in figure.axes]
    assert texts[0][:3] == ["run1: train loss", "run1: test loss, best 0.31", "run2: train loss"]
    assert len(texts[0]) == 24
    assert texts[1] == [f"run{k}: test accuracy, best {0.86 + k / 1000:.4g}" for k in range(1, 13)]
    assert texts[2] == [f"run{k}" for k in range(1, 13)]


def test_legends_are_beside_the_axes_and_inside_the_figure(figure):
    for axis in figure.axes:
        legend = axis.get_legend().get_window_extent()
        assert axis.get_window_extent().x1 < legend.x0
        assert legend.x1 <= figure.bbox.width
        assert legend.y0 >= axis.get_window_extent().y0 - 5


def test_the_best_of_all_runs_has_its_number_and_each_run_a_ring(figure):
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.31"]
    assert [text.get_text() for text in figure.axes[1].texts] == ["0.872"]
    rings = [line for line in figure.axes[1].lines if line.get_fillstyle() == "none"]
    assert [float(line.get_xdata()[0]) for line in rings] == [300.0] * 12


def test_first_points_far_from_the_others_are_outside_and_noted(figure):
    low, high = figure.axes[0].get_ylim()
    assert high < 1
    assert low < 0.3
    assert figure.axes[0].get_title(loc="left") == (
        "first points are outside the axis: 2.4; dashes of several colours: equal curves"
    )
    assert figure.axes[1].get_title(loc="left") == "first points are outside the axis: 0.1"
    assert figure.axes[1].get_ylim()[0] > 0.7


@pytest.mark.parametrize("start", [9.0, -9.0])
def test_one_outlying_start(start):
    axis = drawn(curve([start, 1, 1.5, 1.2, 1.4]), clips_start=True)
    assert axis.get_title(loc="left") == f"a first point is outside the axis: {start:g}"


def test_a_steep_start_of_several_points():
    values = [9, 8, 3, *([1, 1.2] * 30)]
    axis = drawn(curve(values), clips_start=True)
    assert axis.get_title(loc="left") == "first points are outside the axis: 3 to 9"
    low, high = axis.get_ylim()
    assert low < 1
    assert 1.2 < high < 1.3


def test_a_diverging_run_does_not_squeeze_the_others():
    axis = drawn(curve([2, 1, 1.5, 1.2, 1.4]), curve([2, 1, 80, np.nan, np.nan]), clips_start=True)
    assert axis.get_ylim()[1] < 3
    assert axis.get_title(loc="left").startswith("values of diverging curves, or first points, are")
    alone = drawn(curve([2, 1, 1.5, 80, 1.2, np.nan]), clips_start=True)
    assert alone.get_ylim()[1] > 80


@pytest.mark.parametrize(
    "values",
    [[3, 2, 1.5, 1.2, 1.1], [9, 1, 1.5, 1.2], [np.nan, 1, 1.1, 1.2, 1.3, 1.4], [1, 1, 1, 1, 1]],
)
def test_other_starts_stay_inside(values):
    axis = drawn(curve(values), clips_start=True)
    assert axis.get_title(loc="left") == ""
    finite = np.array(values)[np.isfinite(values)]
    assert axis.get_ylim()[0] < finite.min()
    assert axis.get_ylim()[1] > finite.max()


def test_a_schedule_is_never_clipped():
    axis = drawn(curve([9, 1, 1.1, 1.2, 1.3, 1.4]))
    assert axis.get_ylim()[1] > 9


def test_equal_curves_are_drawn_in_turns():
    short, other, longer = curve([1, 2]), curve([1, 3, 1]), curve([1, 2, 5])
    assert equal_curves([short, other, longer]) == [(0, 2), (0, 1), (1, 2)]
    axis = drawn(short, other, longer)
    patterns = [line._unscaled_dash_pattern for line in axis.lines]  # matplotlib has no getter
    dash = curve_drawing._DASH_PT
    assert patterns == [(0, (dash, dash)), (0, None), (dash, (dash, dash))]
    assert [line.get_linestyle() for line in axis.get_legend().get_lines()] == ["-"] * 3


def test_a_best_value_ignores_values_that_are_not_finite():
    lowest = curve([3, np.nan, 1, 1], nth=0, best="lowest")
    axis = drawn(lowest, curve([np.nan, np.nan], nth=1, best="highest"))
    assert axis.texts[0].get_text() == "1"
    assert [text.get_text() for text in axis.get_legend().texts] == ["a, best 1", "a"]


@pytest.mark.parametrize(
    ("output", "best"),
    [("accuracy", "highest"), ("l2", "lowest"), ("test_error", "lowest"), ("map", "highest")],
)
def test_which_value_is_best(output, best):
    assert best_of_tests(TrainingLog("x", loss_names={"l2"}), output) == best


def linear_light(colour):
    """Return red, green and blue as linear light (IEC 61966-2-1)."""
    rgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(colour):
    """Return the CIE 1976 L*a*b* coordinates of a colour for the white point D65."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(to_xyz @ linear_light(colour) / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_the_colours_of_twelve_runs_stay_apart():
    distances = [np.linalg.norm(lab(a) - lab(b)) for a, b in combinations(run_colours(12), 2)]
    assert min(distances) > 25
    assert len(set(run_colours(20))) == 20


def test_resolution(log):
    write_log("a.log", [1, 0.5], [0.1, 0.2])
    assert run_command("plot", ["a.log"]) == 0
    with Image.open("plot.png") as image:
        assert image.info["dpi"][0] == pytest.approx(150, abs=1)


def test_natural_order():
    assert sorted(["run10", "run2", "b", "run2b"], key=natural_key) == [
        "b",
        "run2",
        "run2b",
        "run10",
    ]
    assert naturally_ordered(["run1", "run10", "run2"]) == ["run1", "run2", "run10"]
    assert naturally_ordered(["sgd", "adam"]) == ["sgd", "adam"]


def test_panels_of_a_run(log):
    write_log("a.log", [1, 0.5], [0.1, 0.2])
    from minicaffe.analysis.training_log import read_log

    loss, accuracy, rate = training_panels([read_log("a.log")])
    assert [one.best for one in (*loss.curves, *accuracy.curves)] == ["", "lowest", "highest"]
    assert [panel.clips_start for panel in (loss, accuracy, rate)] == [True, True, False]
