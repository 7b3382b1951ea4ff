"""Conversions that are stopped at any place and continued by the same command."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicaffe.atomic_file import held
from minicaffe.cli.item_progress import progress_text
from minicaffe.cli.main import run_command
from minicaffe.data.databases import resumable
from minicaffe.data.databases.resumable import ResumableDatabase
from minicaffe.data.db import open_any_database
from minicaffe.data.engines.lmdb_engine import LmdbWriter
from minicaffe.errors import DataError

IMAGES = f"{Path(__file__).parents[1] / 'golden' / 'files' / 'images'}/"
NAMES = [line.rpartition(" ")[0] for line in Path(IMAGES, "list.txt").read_text().splitlines()]
LINES = ["none.png 7", *(f"{name} {k % 4}" for k, name in enumerate(NAMES)), "none.jpg 1"]
SIZE = ["--resize_height=21", "--resize_width=18"]
CASES = {
    "raw": [],
    "shuffled": [*SIZE, "--shuffle", "--check_size"],
    "encoded": ["--encoded", "--encode_type=png", "--gray"],
}
LOG = Path("db.partial", "conversion.jsonl")


@pytest.fixture(params=["lmdb", "leveldb"])
def backend(request):
    return request.param


@pytest.fixture(autouse=True)
def small_transactions(monkeypatch):
    """Transactions of about three records of `SIZE`."""
    monkeypatch.setattr(resumable, "_BATCH_BYTES", 2500)


@pytest.fixture
def stop_after(monkeypatch):
    """A function that makes the next conversion end like by Ctrl-C after so many items."""
    end_item = ResumableDatabase.end_item

    def stop(n_items):
        left = iter(range(n_items - 1))

        def end_or_stop(database):
            end_item(database)
            if next(left, None) is None:
                monkeypatch.setattr(ResumableDatabase, "end_item", end_item)
                raise KeyboardInterrupt

        monkeypatch.setattr(ResumableDatabase, "end_item", end_or_stop)

    return stop


def convert(*words, path="db", lines=LINES, command="convert_imageset"):
    Path("list.txt").write_text("".join(f"{line}\n" for line in lines))
    return run_command(command, [*words, IMAGES, "list.txt", path])


def records(path="db"):
    with open_any_database(path) as database:
        return list(database.items())


@pytest.mark.parametrize("flags", CASES.values(), ids=CASES)
def test_a_continued_database_equals_an_undisturbed_one(log, stop_after, backend, flags):
    flags = [*flags, f"--backend={backend}"]
    assert convert(*flags, path="undisturbed") == 0
    expected, last = records("undisturbed"), log.messages[-1]
    assert len(expected) == 10
    for n_items in range(1, len(LINES) + 1):
        log.clear()
        stop_after(n_items)
        assert convert(*flags) == 130
        assert not Path("db").exists()
        was_kept = Path("db.partial").exists()
        assert convert(*flags) == 0
        assert records() == expected
        assert not Path("db", LOG.name).exists()
        assert was_kept == any(m.startswith("Continuing db.partial") for m in log.messages)
        assert log.messages[-1] == last.replace("undisturbed", "db")
        assert "2 of 12 images could not be read." in log.messages
        assert "Processed 10 files." in log.messages
        shutil.rmtree("db")
    assert was_kept


def test_what_is_said(log, stop_after):
    stop_after(7)
    assert convert(*SIZE) == 130
    assert log.messages[-1] == (
        "stopped by Ctrl-C. db.partial has 7 of 12 images: repeat the command to continue, or "
        "remove it (rm -r db.partial)"
    )
    log.clear()
    assert convert(*SIZE) == 0
    assert log.messages[:3] == [
        "A total of 12 images.",
        "Continuing db.partial after 7 of 12 images.",
        "Opened lmdb db",
    ]


def test_each_transaction_may_be_the_last(log, stop_after, backend):
    flags = [*SIZE, f"--backend={backend}"]
    assert convert(*flags, path="undisturbed") == 0
    for _ in range(20):
        stop_after(5)
        if convert(*flags) == 0:
            break
    assert records() == records("undisturbed")
    continued = [m for m in log.messages if m.startswith("Continuing")]
    assert continued == [f"Continuing db.partial after {n} of 12 images." for n in (4, 7, 10)]


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_process_that_ends_beside_the_log(log, start, backend, place):
    """Before the line of a transaction is written, its records are in the database already."""
    end = "sum(c) == 2 and os._exit(9)"
    write = {"before": f"{end}; a(*w)", "after": f"a(*w); {end}"}
    program = (
        "import os; from minicaffe.data.databases import resumable, conversion_log; "
        "L = conversion_log.ConversionLog; a = L.append; c = []; "
        "resumable._BATCH_BYTES = 2500\n"
        f"def append(*w): c.append(1); {write[place]}\n"
        "L.append = append"
    )
    flags = [*SIZE, f"--backend={backend}"]
    assert convert(*flags, path="undisturbed") == 0
    process = start("convert_imageset", *flags, IMAGES, "list.txt", "db", before=program)
    assert process.wait(120) == 9, process.stderr.read()
    assert convert(*flags) == 0
    done = {"before": 4, "after": 7}[place]
    assert f"Continuing db.partial after {done} of 12 images." in log.messages
    assert records() == records("undisturbed")


@pytest.mark.parametrize("end", [b"\0\0\0\0\0", b'{"items": 9, "records', b'{"items": 9}\n'[:-2]])
def test_a_torn_line_of_the_log_costs_its_transaction(log, stop_after, backend, end):
    flags = [*SIZE, f"--backend={backend}"]
    assert convert(*flags, path="undisturbed") == 0
    stop_after(9)
    assert convert(*flags) == 130
    lines = LOG.read_bytes().splitlines(keepends=True)
    LOG.write_bytes(b"".join(lines[:-1]) + end)
    stop_after(4)
    assert convert(*flags) == 130
    assert convert(*flags) == 0
    assert "Continuing db.partial after 4 of 12 images." in log.messages
    assert records() == records("undisturbed")


def test_other_inputs_are_refused_and_named(log, stop_after):
    stop_after(8)
    assert convert(*SIZE) == 130
    kept = sorted(p.read_bytes() for p in Path("db.partial").iterdir())
    assert convert("--resize_height=21", "--resize_width=19", "--gray") == 1
    assert log.messages[-1] == (
        "db.partial: this conversion was begun with other inputs: --resize_width was 18 and is 19; "
        "--gray was not given and is given. Repeat the command with the old ones, which continues "
        "it, or remove it (rm -r db.partial)."
    )
    assert convert(*SIZE, lines=[*LINES, f"{NAMES[0]} 1"]) == 1
    assert "inputs: LISTFILE was a file of 12 lines, SHA-256 " in log.messages[-1]
    assert convert(*SIZE, "--backend=leveldb") == 1
    assert "inputs: --backend was lmdb and is leveldb. Repeat" in log.messages[-1]
    assert sorted(p.read_bytes() for p in Path("db.partial").iterdir()) == kept


def test_the_folder_of_images_may_be_written_in_another_way(log, stop_after):
    Path("images").symlink_to(IMAGES)
    for words in (["images/"], ["./images"], [f"{Path.cwd()}/images/"]):
        stop_after(5)
        convert_in = ["convert_imageset", [*SIZE, *words, "list.txt", "db"]]
        Path("list.txt").write_text("\n".join(LINES))
        assert run_command(*convert_in) == 130
    assert "begun with other inputs" not in log.text


def test_a_running_conversion_is_left_alone(log, stop_after):
    stop_after(8)
    convert(*SIZE)
    with held(Path("db.partial")) as is_locked:
        assert is_locked
        assert convert(*SIZE) == 1
    assert log.messages[-1] == (
        "db.partial: another command is writing it. Wait for it, or choose another name."
    )
    assert convert(*SIZE) == 0


def test_what_has_stored_nothing_is_begun_again(log, stop_after):
    stop_after(2)
    assert convert(*SIZE) == 130
    assert log.messages[-1] == "stopped by Ctrl-C"
    assert not Path("db.partial").exists()
    Path("db.partial").mkdir()
    LOG.write_bytes(b'{"--gray": "given"}\n{"items": 12')
    Path("db.partial", "data.mdb").write_bytes(b"half a page")
    assert convert(*SIZE) == 0
    assert len(records()) == 10


def test_a_folder_of_another_command_is_left_alone(log):
    Path("db.partial").mkdir()
    Path("db.partial", "data.mdb").write_bytes(b"of convert_mnist_data")
    assert convert(*SIZE) == 1
    assert "db.partial: exists already; another command is writing it" in log.messages[-1]
    assert Path("db.partial", "data.mdb").read_bytes() == b"of convert_mnist_data"


@pytest.mark.parametrize("damage", ["lost", "cut"])
def test_a_damaged_beginning_is_not_continued(log, stop_after, damage):
    stop_after(8)
    convert(*SIZE)
    data = Path("db.partial", "data.mdb")
    if damage == "lost":
        data.unlink()
    else:
        os.truncate(data, data.stat().st_size // 2)
    assert convert(*SIZE) == 1
    assert {
        "lost": "db.partial: it holds 0 records, but its conversion.jsonl says 6",
        "cut": "db.partial: the LMDB is damaged: data.mdb is cut off",
    }[damage] in log.messages[-1]
    assert log.messages[-1].endswith("or remove it (rm -r db.partial)")


def test_sizes_are_compared_with_those_before_the_interruption(log, stop_after):
    lines = [f"{k}.png 0" for k in range(9)]
    for k in range(9):
        width = 41 if k == 8 else 40
        Image.fromarray(np.zeros((30, width, 3), np.uint8)).save(f"{k}.png")
    Path("list.txt").write_text("\n".join(lines))
    words = ["--check_size", "", "list.txt", "db"]
    stop_after(4)
    assert run_command("convert_imageset", words) == 130
    assert run_command("convert_imageset", words) == 1
    assert "8.png: the image is 3 x 30 x 41 (channels x rows x columns), those" in log.messages[-1]
    assert "before it are 3 x 30 x 40; --check_size" in log.messages[-1]
    shutil.copy("7.png", "8.png")
    assert run_command("convert_imageset", words) == 0
    assert len(records()) == 9


def test_annotated_images_are_continued_and_counted(log, stop_after, backend, monkeypatch, capfd):
    for module in ("screen", "conversion_summary"):
        monkeypatch.setattr(f"minicaffe.cli.{module}.has_terminal", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    for k in range(10):
        Path(f"{k}.txt").write_text(f"{1 + k % 3} 1 2 30 40\n2 3 4 9 9\n")
    lines = [f"{name} {Path(f'{k}.txt').absolute()}" for k, name in enumerate(NAMES)]
    flags = ["--anno_type=detection", "--label_type=txt", *SIZE, f"--backend={backend}"]
    flags[1:1] = ["--shuffle"]

    def run(path):
        # Paths of boxes are absolute, so the folder of images is in the list, too.
        rooted = [f"{IMAGES[1:]}{line}" for line in lines]
        Path("list.txt").write_text("".join(f"{line}\n" for line in rooted))
        return run_command("convert_annoset", [*flags, "/", "list.txt", path])

    assert run("undisturbed") == 0
    summary = [line for line in capfd.readouterr().err.splitlines() if line[:7] == "       "]
    stop_after(6)
    assert run("db") == 130
    capfd.readouterr()
    assert run("db") == 0
    assert records() == records("undisturbed")
    again = [line for line in capfd.readouterr().err.splitlines() if line[:7] == "       "]
    assert again == summary
    assert len(summary) == 4


def test_an_interrupted_project_leaves_nothing(log, stop_after):
    for k in range(12):
        Path("images", "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(k).integers(0, 256, (30, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"images/{'ab'[k % 2]}/{k}.png")
    stop_after(6)
    assert run_command("new", ["project", "images"]) == 130
    assert log.messages[-1] == "stopped by Ctrl-C"
    assert not Path("project").exists()


def test_progress_counts_what_was_done_before():
    text = progress_text(50, "images", 1000, 10.0, n_before=450)
    assert text.split()[1:] == ["500/1000", "images", "5.0", "images/s", "ETA", "1:40"]


def test_an_interruption_of_the_removal_leaves_what_can_be_begun_again(
    log, stop_after, monkeypatch
):
    stop_after(2)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda path, ignore_errors: None)
        assert convert(*SIZE) == 130
    assert [path.name for path in Path("db.partial").iterdir()] == [LOG.name]
    assert convert(*SIZE) == 0
    assert len(records()) == 10


@pytest.mark.parametrize("n_before", [0, 2])
def test_an_error_of_writing_ends_the_conversion(log, monkeypatch, n_before):
    """A thread writes transactions; its error is that of the command."""
    write, n_written = LmdbWriter.write, 0

    def fail(writer, given):
        nonlocal n_written
        if n_written == n_before:
            raise DataError("db: the LMDB cannot be written: the disk is full")
        n_written += 1
        write(writer, given)

    with monkeypatch.context() as patched:
        patched.setattr(LmdbWriter, "write", fail)
        assert convert(*SIZE) == 1
    assert log.messages[-1].startswith("db: the LMDB cannot be written: the disk is full")
    assert ("repeat the command to continue" in log.messages[-1]) == (n_before > 0)
    assert convert(*SIZE) == 0
    assert len(records()) == 10
