"""The progress line: where it is drawn, and that it never mixes with what is printed."""

import os
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from log_lines import PREFIX
from terminals import CODE, Terminal, lines_of, on_terminal

from minicaffe.cli.live_line import LiveLine
from minicaffe.cli.main import main
from minicaffe.cli.screen import Screen
from minicaffe.runs.record import read_record

TRAIN = ["train", "solver.prototxt", "--set=max_iter=6"]
ENDLESS = ["train", "solver.prototxt", "--set=max_iter=100000000", "--set=display=0"]
# It does not log each end of the data.
WITHOUT_DATABASE = """
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 5 dim: 3 } shape { dim: 5 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these are POSIX terminals")


def log_of(path):
    """Return the messages of a log, after checking that there is nothing else in it."""
    lines = Path(path).read_text().splitlines()
    assert not any("\x1b" in line or "it/s" in line for line in lines)
    return [PREFIX.sub("", line) for line in lines]


# --- the log is not on the terminal ---


def test_the_line_of_a_typed_command_whose_log_goes_to_a_file(project):
    terminal = Terminal()
    with open("log", "wb") as log:  # noqa: PTH123 - a descriptor is needed
        process = terminal.start_typed(TRAIN, stdout=log, stderr=log)
    shown = terminal.shown()
    assert process.wait() == 0
    assert "░ " in shown
    assert "it/s" in shown
    assert "loss " in shown
    lines = [line for line in lines_of(shown) if line]
    assert lines[0].split() == ["run", "runs/solver-1", "finished"]
    assert "Optimization Done." in log_of("log")
    # Besides the log's lines that differ in their prefix, it is what a pipe receives.
    assert log_of("log") == log_of("runs/solver-1/log.txt")


def test_no_line_for_a_program_that_reads_the_log(project):
    """Such as a script that captures stderr: its child does not lead the foreground group."""
    terminal = Terminal()
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CODE!r}, *{TRAIN!r}])"
    main_program = ["-c", script]
    with open("log", "wb") as log:  # noqa: PTH123
        process = terminal.start_typed(main_program, stdout=log, stderr=log, program=True)
    assert terminal.shown() == ""
    assert process.wait() == 0
    assert "Optimization Done." in log_of("log")


def test_no_line_with_nohup(project):
    terminal = Terminal()
    with open("log", "wb") as log:  # noqa: PTH123
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            process = terminal.start_typed(TRAIN, stdout=log, stderr=log)
        finally:
            signal.signal(signal.SIGHUP, before)
    assert terminal.shown() == ""
    assert process.wait() == 0


def test_ctrl_c_is_answered_on_the_terminal_after_the_pipe_is_broken(project):
    """Ctrl-C ends `tee` too, and what is printed into the pipe is lost."""
    project.write(net=WITHOUT_DATABASE)
    terminal = Terminal()
    reader, writer = os.pipe()
    with subprocess.Popen(["cat"], stdin=reader, stdout=subprocess.DEVNULL) as cat:
        process = terminal.start_typed(ENDLESS, stdout=writer, stderr=writer)
        os.close(writer)
        os.close(reader)
        until_shown(terminal, "it/s")
        cat.kill()
    process.send_signal(signal.SIGINT)
    shown = terminal.shown()
    assert process.wait() == 0
    assert "Stopping after this iteration; Ctrl-C again stops at once" in shown
    assert "runs/solver-1 stopped" in shown
    assert "resume " in shown


# --- jobs and terminals that go away ---


def until_shown(terminal, text):
    """Read what a terminal shows until it contains a text."""
    shown = ""
    while text not in shown:
        shown += os.read(terminal.fd, 65536).decode(errors="replace")
    return shown


def test_a_job_in_the_background_is_not_stopped_and_draws_no_line(project):
    terminal = Terminal()
    flags = termios.tcgetattr(terminal.fd)
    flags[3] |= termios.TOSTOP
    termios.tcsetattr(terminal.fd, termios.TCSANOW, flags)
    script = (
        "import subprocess, sys\n"
        f"job = subprocess.Popen([sys.executable, '-c', {CODE!r}, *{TRAIN!r}], process_group=0)\n"
        "sys.exit(job.wait())"
    )
    process = terminal.start_typed(["-c", script], program=True)
    shown = terminal.shown()
    assert process.wait() == 0
    assert "Training small:" in shown
    assert "runs/solver-1 finished" in shown
    assert "it/s" not in shown


def test_training_goes_on_when_the_terminal_is_closed(project):
    terminal = Terminal()
    process = terminal.start_typed(
        ["train", "solver.prototxt", "--set=max_iter=3000", "--set=test_interval=1000"]
    )
    until_shown(terminal, "it/s")
    terminal.hang_up()
    process.wait()
    record = read_record(Path("runs/solver-1"))
    assert (record.state, record.iteration) == ("finished", 3000)


def test_no_line_and_no_colours_on_a_terminal_without_cursor(project):
    shown, code = on_terminal([*TRAIN, "--set=lr_policy=no"], 80, {"TERM": "dumb"})
    assert code == 1
    assert "\x1b" not in shown
    shown, code = on_terminal(TRAIN, 80, {"TERM": "dumb"})
    assert code == 0
    assert "\x1b" not in shown
    assert "it/s" not in shown


def test_errors_are_red_unless_the_user_wants_no_colours(project):
    wrong = [*TRAIN, "--set=lr_policy=no"]
    shown, _ = on_terminal(wrong, 80)
    assert shown.startswith("\x1b[31mE")
    shown, _ = on_terminal(wrong, 80, {"NO_COLOR": "1"})
    assert shown.startswith("E")
    assert "\x1b[3" not in shown


# --- mixing ---


class Paper(Screen):
    """A screen that keeps what is written on it."""

    is_free = True
    width = 70

    def __init__(self):
        super().__init__(-1)
        self.written = ""

    def write(self, text):
        self.written += text

    def take(self):
        text, self.written = self.written, ""
        return text


@pytest.fixture
def paper(monkeypatch):
    monkeypatch.setattr("minicaffe.cli.live_line.REFRESH_S", 0)
    return Paper()


def test_streams_erase_the_line_before_they_write(paper, capsys):
    with LiveLine(paper) as line:
        line.redraw(lambda columns: "x" * 100)
        assert paper.take() == f"\r\x1b[?7l{'x' * 69}\x1b[?7h\x1b[J\r"
        print("out")
        assert paper.take() == "\r\x1b[J"
        print("err", file=sys.stderr)
        assert paper.take() == ""
        line.redraw(str)
        assert paper.take() == "\r\x1b[?7l70\x1b[?7h\x1b[J\r"
    assert paper.take() == "\r\x1b[J"
    assert capsys.readouterr() == ("out\n", "err\n")
    print("after")
    assert paper.take() == ""


def test_nothing_is_drawn_beside_an_unfinished_line(paper, capsys):
    with LiveLine(paper) as line:
        sys.stdout.write("50 ")
        sys.stdout.flush()
        line.redraw(str)
        assert paper.take() == ""
        sys.stdout.writelines(["100", "\n"])
        line.redraw(str)
        assert "70" in paper.take()
    assert capsys.readouterr().out == "50 100\n"


def test_nothing_is_drawn_until_a_pipe_has_been_read(paper, monkeypatch):
    """Because its reader may print the text on the same terminal, as `tee` does."""
    now = [0.0]
    monkeypatch.setattr("minicaffe.cli.live_line.time.monotonic", lambda: now[0])
    reader, writer = os.pipe()
    with os.fdopen(writer, "w", buffering=1) as pipe:
        monkeypatch.setattr(sys, "stderr", pipe)
        with LiveLine(paper) as line:
            now[0] = 10
            print("in the log", file=sys.stderr)
            now[0] = 10.5
            line.redraw(str)
            assert paper.take() == ""  # nobody has read it
            os.read(reader, 100)
            line.redraw(str)
            assert "70" in paper.take()
            print("in the log", file=sys.stderr)
            os.read(reader, 100)
            paper.take()
            now[0] = 10.55
            line.redraw(str)
            assert paper.take() == ""  # its reader may not have printed it yet
            print("in the log", file=sys.stderr)
            now[0] = 20
            line.redraw(str)
            assert "70" in paper.take()  # its reader has stopped reading
        monkeypatch.undo()
    os.close(reader)


def test_the_screen_belongs_to_a_program_that_reads_keys():
    """As `less` does, which the log may be shown with."""
    terminal = Terminal()
    screen = Screen(terminal.child)
    assert screen.is_free
    flags = termios.tcgetattr(terminal.fd)
    flags[3] &= ~termios.ICANON
    termios.tcsetattr(terminal.fd, termios.TCSANOW, flags)
    assert not screen.is_free
    terminal.hang_up()
    screen.write("nobody reads this")


def test_items_are_counted_on_the_terminal_of_a_typed_command(project):
    terminal = Terminal()
    code = (
        "import sys; import minicaffe.cli.item_progress as progress; progress.REFRESH_S = -1;"
        "from minicaffe.cli.main import main; sys.exit(main())"
    )
    with open("log", "wb") as log:  # noqa: PTH123
        process = terminal.start_typed(
            ["-c", code, "compute_image_mean", "lmdb"], stderr=log, stdout=log, program=True
        )
    shown = terminal.shown()
    assert process.wait() == 0
    assert "/11 images  " in shown


def test_main_leaves_the_streams_as_they_were(project, capfd):
    before = sys.stdout, sys.stderr, signal.getsignal(signal.SIGTTOU)
    assert main([*TRAIN, "--no_run"]) == 0
    assert (sys.stdout, sys.stderr, signal.getsignal(signal.SIGTTOU)) == before


def test_the_line_of_a_process_is_not_drawn_without_a_terminal(project):
    command = [sys.executable, "-c", CODE, *TRAIN]
    done = subprocess.run(command, capture_output=True, text=True, start_new_session=True)
    assert done.returncode == 0
    assert "it/s" not in done.stderr
    assert "\x1b" not in done.stderr
