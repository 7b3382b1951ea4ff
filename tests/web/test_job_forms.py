"""Command lines from forms: help of the commands, values that are no flags, paths in the folder."""

import json
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException

from minicaffe.cli.job_forms import job_forms
from minicaffe.cli.overview import flags_of
from minicaffe.errors import UsageError
from minicaffe.web.board.folder import BoardFolder
from minicaffe.web.jobs.forms import PlaceOfJob, working_folder
from minicaffe.web.jobs.offers import form_offers

STATIC = Path(__file__).parents[2] / "minicaffe" / "web" / "board" / "static"


@pytest.fixture
def place(tmp_path):
    """A place whose paths are given below the folder, for a job that runs in project/."""
    (tmp_path / "project").mkdir()
    return PlaceOfJob(BoardFolder(tmp_path), tmp_path, tmp_path / "project")


def test_a_form_has_all_flags_of_its_command():
    """New flags of a command appear in its form; each is hidden for a reason, or shown."""
    forms = job_forms()
    for command, form in forms.items():
        assert {field.name for field in form.fields} - {"base_lr"} == set(
            flags_of(command)._declarations()
        )
    shown = {command: [f.name for f in form.visible_fields()] for command, form in forms.items()}
    assert shown["new"] == [
        *("images", "directory", "task", "net", "weights", "size", "split", "seed", "gray")
    ]
    assert shown["train"][:3] == ["solver_file", "max_iter", "base_lr"]
    assert not {"snapshot", "resume", "sigint_effect", "no_run"} & set(shown["train"])


def test_help_texts_are_those_of_the_command():
    (size,) = (field for field in job_forms()["new"].fields if field.name == "size")
    help_text = flags_of("new")._declarations()["size"].settings["help"]
    assert (size.help, size.kind, size.flag) == (help_text, "integer", "--size")
    (task,) = (field for field in job_forms()["new"].fields if field.name == "task")
    assert task.choices == ("classify", "detect", "segment")
    assert task.help.endswith("(default: classify)")


def test_the_page_has_the_help_texts_of_the_commands():
    """They are constants there, so that they are translated."""
    forms = job_forms()
    lines = [
        f'    "{command} {field.name}": t({json.dumps(field.help, ensure_ascii=False)}),'
        for command in ("new", "train")
        for field in sorted(forms[command].visible_fields(), key=lambda field: field.name)
    ]
    script = (STATIC / "form_help.js").read_text("utf-8")
    assert [line for line in script.splitlines() if line.startswith('    "')] == lines


def test_the_words_of_a_training(place):
    words = job_forms()["train"].command_line(
        {
            "solver_file": "project/solver.prototxt",
            "max_iter": 50,
            "seed": "",
            "base_lr": " 0.1 ",
            "weights": "runs/a/best, other.caffemodel",
            "settings": ["momentum=0.9", "snapshot_prefix=out/s"],
            "tensorboard": True,
            "log": False,
            "backend": "auto",
        },
        place,
    )
    assert words == [
        "train",
        "--weights=../runs/a/best,../other.caffemodel",
        "--set=momentum=0.9",
        "--set=snapshot_prefix=out/s",
        "--max_iter=50",
        "--tensorboard",
        "--set=base_lr=0.1",
        "solver.prototxt",
    ]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"directory": "-rf", "images": "--debug"}, ["new", "./-rf", "./--debug"]),
        (
            {"directory": "a", "images": "b", "weights": "--gray"},
            ["new", "--weights=./--gray", "a", "b"],
        ),
        (
            {"directory": "a", "images": "b", "split": "--gray"},
            ["new", "--split=--gray", "a", "b"],
        ),
        ({"directory": "a", "images": "$(id); b"}, ["new", "a", "$(id); b"]),
        ({"directory": "a", "images": "b", "net": "resnet18"}, ["new", "--net=resnet18", "a", "b"]),
    ],
)
def test_a_value_does_not_become_a_flag(tmp_path, values, words):
    place = PlaceOfJob(BoardFolder(tmp_path), tmp_path, tmp_path)
    form = job_forms()["new"]
    assert form.command_line(values, place) == words
    parsed = form.parse(words[1:])
    assert not parsed["gray"]
    assert parsed["directory"] == words[-2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"solver_file": "s", "max_iter": "many"}, "--max_iter: 'many' is no whole number"),
        ({"solver_file": "s", "batch_size": 0}, "0 is too small; it must be at least 1"),
        ({"solver_file": "s", "precision": "fp8"}, "invalid choice: 'fp8'"),
        ({"solver_file": "s", "max_itr": 3}, "train has no max_itr. Did you mean max_iter?"),
        ({"solver_file": "s", "tensorboard": "yes"}, "tensorboard: 'yes' is no switch"),
        ({"solver_file": "s", "seed": True}, "seed: True is no integer"),
        ({"solver_file": "s", "settings": ["a=1\n--gpu=1"]}, "has control characters"),
    ],
)
def test_the_commands_own_messages(place, values, message):
    with pytest.raises(UsageError) as found:
        job_forms()["train"].command_line(values, place)
    assert message in str(found.value)


@pytest.mark.parametrize(
    "values",
    [
        {"solver_file": "../solver.prototxt"},
        {"solver_file": "/etc/passwd"},
        {"solver_file": "s", "weights": "a.caffemodel,/b.caffemodel"},
        {"solver_file": "s", "settings": ["snapshot_prefix=/tmp/s"]},
        {"solver_file": "s", "settings": ['net="../../net.prototxt"']},
        {"solver_file": "s", "settings": ["test_net=a.prototxt,/b.prototxt"]},
        {"solver_file": "s", "run": "/tmp/run"},
    ],
)
def test_paths_stay_below_the_folder(place, values):
    with pytest.raises(HTTPException, match="not below the folder of this board"):
        job_forms()["train"].command_line(values, place)


def test_the_folder_in_which_a_solver_trains(tmp_path):
    """Its net is named relative to it, as in Caffe."""
    folder = BoardFolder(tmp_path)
    lenet = tmp_path / "models" / "lenet"
    lenet.mkdir(parents=True)
    solver = lenet / "solver.prototxt"
    solver.write_text('net: "models/lenet/net.prototxt"\nbase_lr: 1')
    assert working_folder(folder, solver) == lenet  # there is no net anywhere
    (lenet / "net.prototxt").write_text("")
    assert working_folder(folder, solver) == tmp_path
    solver.write_text('# net: "x"\ntrain_net: "net.prototxt"')
    assert working_folder(folder, solver) == lenet


def test_what_forms_offer(tmp_path):
    for name in (
        "pets/cat/1.jpg",
        "pets/dog/2.PNG",
        "boxes/images/1.jpg",
        "boxes/Annotations/1.xml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden" / "a").mkdir(parents=True)
    (tmp_path / "table.csv").write_text("path,class\n")
    (tmp_path / "w.caffemodel").write_bytes(b"")
    (tmp_path / "net.prototxt").write_text("layer {}")
    (tmp_path / "s10.prototxt").write_text("base_lr: 1")
    (tmp_path / "s2.prototxt").write_text("base_lr: 1")
    run = tmp_path / "runs" / "a-1"
    run.mkdir(parents=True)
    for name in ("run.json", "solver.prototxt", "last.caffemodel"):
        (run / name).write_text("base_lr")
    found = form_offers(BoardFolder(tmp_path))
    assert found.images == ["boxes", "pets", "table.csv"]
    assert found.weights == ["runs/a-1", "w.caffemodel"]
    assert [path for path, _ in found.solvers] == ["s2.prototxt", "s10.prototxt"]
    assert "resnet18" in found.nets
