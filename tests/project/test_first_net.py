"""README's first net: three commands from class folders to a classifier, and the same by hand."""

import csv
import io
import re
import shlex
from pathlib import Path

import pytest

from class_folders import make_pictures

README = Path(__file__).parents[2] / "README.md"
SCREEN = 24  # lines
N_NEW = 20


def blocks(heading):
    """The code blocks of a section of README.md, without comments."""
    section = re.split(r"^##+ ", README.read_text("utf-8").partition(heading)[2], flags=re.M)[0]
    found = re.findall(r"^```\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    return [re.sub(r" +# .*", "", block) for block in found]


def accuracies(log):
    return [float(value) for value in re.findall(r"Test net output #\d: accuracy = (\S+)", log)]


@pytest.mark.slow
def test_three_commands_lead_from_class_folders_to_a_classifier_of_new_images(command, monkeypatch):
    make_pictures("images", 100)
    make_pictures("photos", N_NEW, seed=7)
    new, enter, train, predict = map(shlex.split, blocks("## Your first net")[0].splitlines())
    made = command(*new[1:])
    assert (made.code, made.err) == (0, "")
    assert len(made.out.splitlines()) <= SCREEN
    steps = made.out.partition("Next")[2].splitlines()[1:]
    assert [shlex.split(line)[:3] for line in steps] == [enter, train, predict[:3]]
    monkeypatch.chdir(enter[1])
    trained = command(*train[1:])
    assert trained.code == 0
    found = accuracies(trained.err)
    assert len(found) == 11  # before the first iteration, and at each tenth
    assert max(found) >= 0.9
    assert Path("runs/solver-1/best.caffemodel").exists()
    result = command(*predict[1:], "--format=csv", "--top=1")
    assert result.code == 0
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert len(rows) == 2 * N_NEW
    right = sum(row["class"] == Path(row["image"]).parent.name for row in rows)
    assert right >= 0.85 * len(rows)
    lines = command(*predict[1:]).out.splitlines()
    assert len(lines) == 2 * N_NEW
    assert lines[0].startswith("../photos/circle/000.png: c")


def test_the_net_by_hand_is_tested_deployed_and_used(command):
    make_pictures("images", 100)
    for name, numbers in (("train", range(80)), ("val", range(80, 100))):
        lines = [
            f"{c}/{k:03d}.png {label}\n"
            for label, c in enumerate(("circle", "cross"))
            for k in numbers
        ]
        Path(f"{name}.txt").write_text("".join(lines))
    Path("images/cross/099.png").rename("photo.jpg")
    Path("images/cross/099.png").write_bytes(Path("photo.jpg").read_bytes())
    convert, net, solver, run = blocks("### By hand")
    Path("net.prototxt").write_text(net)
    Path("solver.prototxt").write_text(
        solver.replace("test_interval: 200", "test_interval: 4").replace(
            "max_iter: 2000  snapshot: 500", "max_iter: 8  snapshot: 4"
        )
    )
    for line in (convert + run).splitlines():
        words = shlex.split(re.sub(r"_iter_(\d+)", lambda n: f"_iter_{int(n[1]) // 250}", line))
        result = command(*words[1:])
        assert result.code == 0, (line, result.err)
        if words[1] == "train" and len(words) == 3:
            assert len(accuracies(result.err)) == 3
        if words[1] == "predict":
            assert result.out.startswith("photo.jpg: ")
