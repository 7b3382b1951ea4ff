"""Log lines in glog's format, on stderr and in files."""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minicaffe import log


@pytest.fixture(autouse=True)
def handlers():
    before = list(log.logger.handlers)
    log.logger.handlers[:] = [h for h in before if isinstance(h, logging.NullHandler)]
    yield
    log.close_files()
    log.logger.handlers[:] = before


def record(level=logging.INFO, message="Use CPU.", created=1_700_000_000.25):
    made = logging.LogRecord("minicaffe", level, "/a/train.py", 75, message, (), None)
    made.created = created
    return made


@pytest.mark.parametrize(
    ("level", "letter"),
    [("DEBUG", "I"), ("INFO", "I"), ("WARNING", "W"), ("ERROR", "E"), ("CRITICAL", "F")],
)
def test_format(level, letter):
    line = log.GlogFormatter().format(record(getattr(logging, level)))
    pattern = letter + r"11(14|15) \d\d:\d\d:20\.250000 [ \d]{4}\d train\.py:75\] Use CPU\."
    assert re.fullmatch(pattern, line)


def test_a_message_of_several_lines_has_one_prefix():
    text = log.GlogFormatter().format(record(message="parameters: \nname: 1\n  x"))
    assert text.split("] ", 1)[1] == "parameters: \nname: 1\n  x"


def test_microseconds_have_six_digits():
    line = log.GlogFormatter().format(record(created=1_700_000_000.000001))
    assert re.search(r":20\.00000[01] ", line)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("0", "INFO"),
        ("1", "WARNING"),
        ("2", "ERROR"),
        ("3", "CRITICAL"),
        ("9", "CRITICAL"),
        ("", "INFO"),
        ("x", "INFO"),
        ("-1", "INFO"),
    ],
)
def test_min_level_from_environment(monkeypatch, text, level):
    monkeypatch.setenv("GLOG_minloglevel", text)
    assert log.min_level_from_environment() == getattr(logging, level)


def test_nothing_is_printed_by_default(capfd):
    log.logger.info("quiet")
    assert capfd.readouterr() == ("", "")


def test_repeated_calls_of_to_stderr_print_each_line_once(capfd, monkeypatch):
    monkeypatch.delenv("GLOG_minloglevel", raising=False)
    log.to_stderr()
    log.to_stderr()
    log.logger.info("one %s", "line")
    assert capfd.readouterr().err.count("one line\n") == 1
    log.to_stderr(logging.ERROR)
    log.logger.warning("unseen")
    assert capfd.readouterr().err == ""


def test_lines_go_to_the_current_stderr(monkeypatch, tmp_path):
    log.to_stderr(logging.INFO)
    with (tmp_path / "err").open("w") as other:
        monkeypatch.setattr(sys, "stderr", other)
        log.logger.info("there")
    assert (tmp_path / "err").read_text().endswith("] there\n")


def test_directory(tmp_path):
    path = log.to_directory(tmp_path / "a" / "b", "caffe")
    log.logger.info("kept")
    log.close_files()
    log.logger.info("too late")
    assert [line.split("] ")[1] for line in path.read_text().splitlines()] == ["kept"]
    assert re.fullmatch(rf"caffe\..*\.log\.INFO\.\d{{8}}-\d{{6}}\.{os.getpid()}", path.name)
    assert (tmp_path / "a" / "b" / "caffe.INFO").read_text() == path.read_text()


def test_directory_on_a_file_system_without_links(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError("no links")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    path = log.to_directory(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


FILL_THE_DISK = """
import resource, sys
from minicaffe import log
log.to_stderr()
print(log.to_directory(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
for i in range(20):
    log.logger.info("line %d", i)
log.close_files()
"""


def test_a_log_file_on_a_full_disk_ends_with_one_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split("] ")[1] for line in done.stderr.splitlines()]
    path = done.stdout.strip()
    warning = (
        f"{path}: the log cannot be written: File too large. It ends here; the command goes on."
    )
    assert sorted(lines) == sorted([warning, *(f"line {i}" for i in range(20))])


def test_a_broken_pipe_ends_the_printing_without_an_error(monkeypatch, capfd):
    reader, writer = os.pipe()
    os.close(reader)
    log.to_stderr(logging.INFO)
    n_handlers = len(log.logger.handlers)
    with os.fdopen(writer, "w", buffering=1) as broken:
        monkeypatch.setattr(sys, "stderr", broken)
        log.logger.info("into the broken pipe")
        monkeypatch.undo()
        assert len(log.logger.handlers) == n_handlers - 1
        log.logger.info("after the broken pipe")
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)
    assert capfd.readouterr().err == ""


def test_results_are_printed_at_every_level(handlers, capsys):
    log.to_stderr(logging.ERROR)
    log.logger.warning("hidden")
    log.log_result("Loss: 0.5")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("I")
    assert line.endswith("test_log.py:{}] Loss: 0.5".format(line.split(":")[-2].split("]")[0]))


def test_repeated_warnings(handlers, capsys):
    log.to_stderr()
    with log.suppress_repeated_warnings():
        for text in ("a", "b", "a"):
            log.logger.warning(text)
            log.logger.info("line")
    log.logger.warning("a")
    words = [line.split("] ")[1] for line in capsys.readouterr().err.splitlines()]
    assert words == ["a", "line", "b", "line", "line", "a"]


def test_repetitions_are_shown_once_a_minute_on_a_terminal(monkeypatch, tmp_path, capsys):
    log.to_stderr()
    file = log.to_directory(tmp_path)
    clock = {"now": 1_700_000_000.0}
    monkeypatch.setattr("time.time", lambda: clock["now"])
    monkeypatch.setattr("time.time_ns", lambda: int(clock["now"] * 1e9))
    for is_terminal, shown in ((True, 3), (False, 5)):
        monkeypatch.setattr(sys.stderr, "isatty", lambda value=is_terminal: value)
        for step_s in (0, 30, 29, 1, 61):
            clock["now"] += step_s
            log.log_repetition("again")
        assert capsys.readouterr().err.count("again") == shown
        clock["now"] += 100
    assert file.read_text().count("again") == 10


def test_information_is_hidden_below_the_level_that_was_chosen(capsys):
    for level, shown in ((logging.INFO, ["W", "E"]), (logging.ERROR, ["E"])):
        log.to_stderr(level)
        log.hide_info()
        log.logger.info("one")
        log.logger.warning("two")
        log.logger.error("three")
        assert [line[0] for line in capsys.readouterr().err.splitlines()] == shown
