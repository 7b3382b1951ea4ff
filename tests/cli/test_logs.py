"""parse_log, extract_seconds, plot and plot_training_log: logs of Caffe and of ours."""

import csv
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minicaffe.analysis.training_log import read_log
from minicaffe.cli.main import run_command
from minicaffe.errors import DataError
from minicaffe.pictures.curve_drawing import moving_average
from minicaffe.pictures.curves import short_names, training_panels

ROOT = Path(__file__).parents[2]
CAFFES = ROOT / "tests" / "golden" / "lenet" / "train.log"
SOLVER = ROOT / "models" / "lenet" / "lenet_solver.prototxt"


def line(clock, message, day="1122"):
    return f"I{day} {clock}.500000  4541 solver.cpp:239] {message}\n"


def block(clock, iteration, loss, day="1122"):
    return (
        line(clock, f"Iteration {iteration} (9 iter/s, 1s/100 iters), loss = {loss}", day)
        + line(clock, f"    Train net output #0: loss = {loss} (* 1 = {loss} loss)", day)
        + line(clock, f"Iteration {iteration}, lr = 0.01", day)
    )


def table(path, delimiter=","):
    with Path(path).open() as file:
        return list(csv.reader(file, delimiter=delimiter))


OURS_LINE = "I{}.000000  4711 solver.py:218] Iteration {} (1 iter/s, 1s/10 iters), loss = 0.5\n"


def test_tables_of_caffes_log(log, capsys):
    assert run_command("parse_log", [str(CAFFES), ".", "--verbose"]) == 0
    assert capsys.readouterr().out == "Wrote train.log.train\nWrote train.log.test\n"
    assert table("train.log.train") == [
        ["NumIters", "Seconds", "LearningRate", "loss"],
        ["0.0", "1.907724", "0.01", "2.44571"],
        ["100.0", "6.201681", "0.00992565", "0.700608"],
        ["200.0", "10.425001", "0.00985258", "0.360903"],
    ]
    test = table("train.log.test")
    assert test[0] == ["NumIters", "Seconds", "LearningRate", "accuracy", "loss"]
    assert test[1] == ["0.0", "1.875922", "0.01", "0.1496", "2.3883"]
    assert [row[0] for row in test[1:]] == ["0.0", "100.0", "200.0", "300.0"]


def test_columns_of_parse_log_sh(log):
    assert run_command("parse_log", [str(CAFFES), ".", "--table"]) == 0
    assert Path("train.log.test").read_text().splitlines()[:2] == [
        "#Iters  Seconds    TestAccuracy  TestLoss",
        "0       1.875922   0.1496        2.3883",
    ]
    assert Path("train.log.train").read_text().splitlines()[-1].split() == [
        *("300", "12.855402", "0.539371", "0.00985258")
    ]


def test_delimiter(log, capsys):
    assert run_command("parse_log", [str(CAFFES), ".", "--delimiter=;"]) == 0
    assert table("train.log.train", ";")[1][3] == "2.44571"
    assert run_command("parse_log", [str(CAFFES), ".", "--delimiter=::"]) == 2
    assert "--delimiter='::': must be one character" in capsys.readouterr().err


def test_our_solver_writes_what_is_read_here(log):
    Path("solver.prototxt").write_text(
        """
        base_lr: 0.1 lr_policy: "step" gamma: 0.5 stepsize: 2 max_iter: 4 display: 2
        test_iter: 1 test_interval: 2 snapshot_after_train: false random_seed: 1
        net_param {
          layer { name: "data" type: "DummyData" top: "data" top: "label"
            dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 }
              data_filler { value: 1 } data_filler { value: 0 } } }
          layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
            inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
          layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
          layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
            include { phase: TEST } }
        }
        """
    )
    assert run_command("train", ["--solver=solver.prototxt", "--log_dir=."]) == 0
    found = read_log("minicaffe-train.INFO")
    assert [row.iteration for row in found.loss] == [0, 2, 4]
    assert [row.iteration for row in found.test] == [0, 2, 4]
    assert [found.rate_at(i) for i in (0, 1, 2, 4)] == [0.1, 0.1, 0.05, 0.05]
    assert set(found.test[0].values) == {"loss", "accuracy"}
    assert found.loss_names == {"loss"}


def test_resumed_runs_replace_what_they_repeat_and_pauses_do_not_count(log):
    first = line("10:00:00", "Solving X") + block("10:00:10", 0, 3) + block("10:00:20", 100, 2)
    second = line("15:00:00", "Solving X") + block("15:00:05", 100, 1.5) + block("15:00:15", 200, 1)
    Path("run.log").write_text(first + second)
    found = read_log("run.log")
    assert [(r.iteration, r.seconds, r.values["loss"]) for r in found.loss] == [
        *((0, 10, 3), (100, 25, 1.5), (200, 35, 1))
    ]
    assert [i for i, _ in found.rates] == [0, 100, 200]
    assert log.messages == [
        "run.log: a later run starts at iteration 100 and replaces 2 lines of the earlier one."
    ]


def test_not_a_number_is_kept(log):
    Path("run.log").write_text(block("10:00:00", 0, 3) + block("10:00:01", 100, "-nan"))
    assert math.isnan(read_log("run.log").loss[1].values["loss"])
    assert run_command("parse_log", ["run.log", "."]) == 0
    assert table("run.log.train")[2][3] == "nan"


def test_new_year_and_the_year_of_newer_glog(log):
    Path("run.log").write_text(
        line("23:59:59", "Solving X", "1231")
        + block("00:00:09", 0, 3, "0101")
        + block("00:00:19", 100, 3, "20270101")
    )
    assert [row.seconds for row in read_log("run.log").loss] == [10, 20]


def test_several_values_and_several_test_nets(log):
    Path("run.log").write_text(
        line("10:00:00", "Iteration 0, Testing net (#0)")
        + line("10:00:00", "    Test net output #0: a = 1")
        + line("10:00:00", "    Test net output #1: a = 2")
        + line("10:00:00", "Iteration 0, Testing net (#1)")
        + line("10:00:00", "    Test net output #0: a = 3")
    )
    assert read_log("run.log").test[0].values == {"a": 1, "a[1]": 2, "a#1": 3}
    assert math.isnan(read_log("run.log").rate_at(0))


def test_lines_with_impossible_dates_and_numbers_are_left_out(log):
    whole = OURS_LINE.format("1129 19:22:01", 10) + OURS_LINE.format("1129 19:22:03", 20)
    damaged = (
        OURS_LINE.format("1329 19:22:02", 11)
        + OURS_LINE.format("0230 19:22:02", 12)
        + OURS_LINE.format("1129 19:99:02", 13)
        + OURS_LINE.format("1129 19:22:02", "1" * 5000)
    )
    first, second = whole.splitlines(keepends=True)
    Path("damaged.log").write_text(first + damaged + second)
    rows = read_log("damaged.log").loss
    assert [(row.iteration, row.seconds) for row in rows] == [(10, 0.0), (20, 2.0)]


def test_extract_seconds(log):
    assert run_command("extract_seconds", [str(CAFFES), "out"]) == 0
    times = Path("out").read_text().splitlines()
    assert times[:2] == ["0.001114", "1.907637"]
    assert len(times) == CAFFES.read_text().count("Iteration")


@pytest.mark.parametrize("command", [["parse_log", "x", "."], ["extract_seconds", "x", "y"]])
def test_files_that_are_no_logs(log, command):
    assert run_command(command[0], command[1:]) == 1
    assert log.messages[-1] == "x: the log cannot be read: No such file or directory."
    Path("x").write_text("hello\n")
    assert run_command(command[0], command[1:]) == 1
    assert log.messages[-1].startswith("x: no line ")


def test_panels():
    panels = training_panels([read_log(CAFFES)])
    assert [panel.title for panel in panels] == ["loss", "accuracy", "learning rate"]
    assert [c.label for panel in panels for c in panel.curves] == [
        *("train loss", "test loss", "test accuracy", "")
    ]
    np.testing.assert_array_equal(panels[0].curves[0].x, [0, 100, 200, 300])
    two = training_panels([read_log(CAFFES)] * 2, by="seconds")
    assert two[0].curves[1].label.endswith("/train: test loss")
    assert two[2].curves[1].x[1] == pytest.approx(6.201591)


def test_moving_average_skips_what_is_not_a_number():
    values = np.array([1, 2, np.nan, 4, 8])
    np.testing.assert_array_equal(moving_average(values, 2), [1, 1.5, np.nan, 4, 6])
    np.testing.assert_array_equal(moving_average(values, 9), [1, 1.5, np.nan, 7 / 3, 15 / 4])


def test_short_names():
    assert short_names(["a/x.log", "b/y.log"]) == ["x", "y"]
    assert short_names(["a/x.log", "b/x.log"]) == ["a/x", "b/x"]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_plots_of_logs(log, ending):
    Path("bad.log").write_text(block("10:00:00", 0, 3) + block("10:00:01", 100, "nan"))
    command = [str(CAFFES), "bad.log", f"--output=p.{ending}", "--average=3", "--log"]
    assert run_command("plot", command) == 0
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending]
    assert Path(f"p.{ending}").read_bytes().startswith(start)


def test_plot_says_where_a_loss_stops_being_a_number(log, monkeypatch):
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    Path("bad.log").write_text(block("10:00:00", 0, 3) + block("10:00:01", 100, "nan"))
    assert run_command("plot", ["bad.log", "--output=p.svg"]) == 0
    assert "train loss: nan from 100 on" in Path("p.svg").read_text()


@pytest.mark.parametrize("chart", range(8))
def test_the_eight_charts(log, chart):
    assert run_command("plot_training_log", [str(chart), "p.png", str(CAFFES)]) == 0
    assert Path("p.png").stat().st_size > 1000


def test_rate_of_a_solver(log):
    Path("s.prototxt").write_text(
        'base_lr: 1 lr_policy: "step" gamma: 0.1 stepsize: 10 max_iter: 30'
    )
    assert run_command("plot", [f"--solver={SOLVER},s.prototxt", "--output=p.png"]) == 0
    Path("s.prototxt").write_text('base_lr: 1 lr_policy: "multistep" gamma: 0.1 stepvalue: 8')
    assert run_command("plot", ["--solver=s.prototxt", "--output=p.png"]) == 0
    Path("s.prototxt").write_text('base_lr: 1 lr_policy: "stp"')
    assert run_command("plot", ["--solver=s.prototxt"]) == 1
    assert log.messages[-2].startswith('s.prototxt: lr_policy: "stp" is unknown')
    assert log.messages[-1] == "s.prototxt: max_iter is 0; it must be at least 1"


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (["plot"], 2, "plot needs either training logs or --solver=FILE"),
        (["plot", "x", "--average=0"], 2, "--average: 0 is too small; it must be at least 1"),
        (
            ["plot", "x", "--output=x.gif"],
            2,
            "x.gif: unknown type of figure; the extension must",
        ),
        (["plot_training_log", "8", "x.png", "x"], 2, "CHART_TYPE 8: must be 0 to 7"),
        (
            ["plot_training_log", "0", "x.png", "x"],
            1,
            "no output of the net in the TEST phase is a test accuracy; its",
        ),
        (["plot", "x", "--output=no/x.png"], 1, "no/x.png cannot be written: No such file"),
    ],
)
def test_messages(log, capsys, command, code, message):
    Path("x").write_text(block("10:00:00", 0, 3))
    assert run_command(command[0], command[1:]) == code
    # Usage errors are printed without a log prefix, others are logged; both go to stderr.
    assert message in "\n".join([*log.messages, capsys.readouterr().err])


def test_without_matplotlib(log, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert run_command("plot", [str(CAFFES)]) == 1
    assert log.messages[-1] == (
        "drawing figures needs matplotlib, which is not installed. "
        "Run: pip install 'minicaffe[plot]'"
    )


def test_an_empty_log_is_an_error():
    with pytest.raises(DataError, match=r"2>&1 \| tee train.log"):
        read_log("/dev/null")


def test_parse_log_sh_is_still_a_program(log):
    script = ROOT / "tools" / "parse_log.sh"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    subprocess.run([script, CAFFES], check=True, env=environment)
    assert Path("train.log.test").read_text().startswith("#Iters")


def test_a_log_of_2014(log):
    text = "".join(
        line(clock, message)
        for clock, message in (
            ("10:00:00", "Solving LeNet"),
            ("10:00:01", "Iteration 0, Testing net"),
            ("10:00:02", "Test score #0: 0.1"),
            ("10:00:02", "Test score #1: 2.3"),
            ("10:00:03", "Iteration 100, lr = 0.01"),
            ("10:00:04", "Iteration 100, loss = 0.5"),
            ("10:00:05", "Iteration 200, lr = 0.01"),
            ("10:00:06", "Iteration 200, loss = 0.25"),
            ("10:00:07", "Iteration 200, Testing net"),
            ("10:00:08", "Test score #0: 0.9"),
            ("10:00:08", "Test score #1: 0.3"),
        )
    )
    Path("old.log").write_text(text)
    assert run_command("parse_log", ["old.log", "."]) == 0
    assert table("old.log.train") == [
        ["NumIters", "Seconds", "LearningRate", "loss"],
        ["100.0", "4.0", "0.01", "0.5"],
        ["200.0", "6.0", "0.01", "0.25"],
    ]
    assert table("old.log.test") == [
        ["NumIters", "Seconds", "LearningRate", "score#0", "score#1"],
        ["0.0", "2.0", "0.01", "0.1", "2.3"],
        ["200.0", "8.0", "0.01", "0.9", "0.3"],
    ]
    assert run_command("parse_log", ["old.log", ".", "--table"]) == 0
    assert Path("old.log.test").read_text().splitlines()[2].split() == [
        *("200", "8.000000", "0.9", "0.3")
    ]
    assert run_command("plot", ["old.log", "--output", "old.svg"]) == 0


def test_a_table_without_rows_is_reported(log):
    Path("x.log").write_text(block("10:00:00", 0, 1.0))
    assert run_command("parse_log", ["x.log", "."]) == 0
    assert "x.log: has no test values, so x.log.test has no rows." in log.messages
