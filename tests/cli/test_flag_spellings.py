"""Spellings of gflags, required flags, help texts, and the imports at start."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from minicaffe import __version__
from minicaffe.cli.flags import Flags, flag, positional
from minicaffe.cli.gflags import FlagParser
from minicaffe.cli.overview import COMMANDS
from minicaffe.errors import UsageError


@pytest.fixture
def parser():
    parser = FlagParser(allow_abbrev=False)
    parser.add_argument("--gpu", default="")
    parser.add_argument("--resize_width", type=int, default=0)
    parser.add_argument("--shuffle", action="store_true")
    parser.add_argument("-e", "--encode_type", default="")
    parser.add_argument("words", nargs="*")
    return parser


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--gpu=0", {"gpu": "0"}),
        ("--gpu 0", {"gpu": "0"}),
        ("-gpu 0", {"gpu": "0"}),
        ("-gpu=0,1", {"gpu": "0,1"}),
        ("-gpu -1", {"gpu": "-1"}),
        ("--gpu=", {"gpu": ""}),
        ("--gpu=a=b", {"gpu": "a=b"}),
        ("--gpu=0 --gpu=1", {"gpu": "1"}),
        ("--resize_width=5", {"resize_width": 5}),
        ("-e jpg", {"encode_type": "jpg"}),
        ("-resize-width 5", {"resize_width": 5}),
        ("--shuffle", {"shuffle": True}),
        ("-shuffle", {"shuffle": True}),
        ("--shuffle=true", {"shuffle": True}),
        ("--shuffle=1", {"shuffle": True}),
        ("--shuffle=YES", {"shuffle": True}),
        ("--shuffle=false", {}),
        ("--noshuffle", {}),
        ("-noshuffle", {}),
        ("--shuffle --noshuffle", {}),
        ("--noshuffle --shuffle", {"shuffle": True}),
        ("--shuffle --shuffle=f", {}),
        ("a -gpu 0 b", {"gpu": "0", "words": ["a", "b"]}),
        ("--shuffle a/ b", {"shuffle": True, "words": ["a/", "b"]}),
        ("a --gpu 0 b", {"gpu": "0", "words": ["a", "b"]}),
        ("a -- --gpu", {"words": ["a", "--gpu"]}),
        ("- -1.5", {"words": ["-", "-1.5"]}),
    ],
)
def test_spellings(parser, words, expected):
    values = {"gpu": "", "resize_width": 0, "shuffle": False, "encode_type": "", "words": []}
    assert vars(parser.parse(words.split())) == values | expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--gup=0", "no flag --gup. Did you mean --gpu? Known: "),
        ("--nogpu", "no flag --nogpu. Did you mean --gpu? Known: "),
        ("-x", "no flag --x. Known: "),
        ("--shuffle=2", "--shuffle=2: a boolean flag is true or false"),
        ("--resize_width=big", "--resize_width: invalid int value: 'big'"),
        ("--gpu", "--gpu: expected one argument"),
        ("--flagfile=nowhere", "--flagfile=nowhere: No such file or directory"),
    ],
)
def test_refusals(parser, words, message):
    with pytest.raises(UsageError) as caught:
        parser.parse(words.split())
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "missing: --net=FILE (a net), IN (a file)"),
        ("--net= in", "missing: --net=FILE (a net)"),
        ("--nt=x in", "no flag --nt. Did you mean --net"),
        ("--net=x in out", '"out" is one argument too many'),
        ("--net=x in --count=0", "--count: 0 is too small; it must be at least 1"),
        ("--net=x in --count=x", "--count: 'x' is no whole number"),
    ],
)
def test_required_flags_and_limits(words, message):
    class Given(Flags):
        net: str = flag(required=True, metavar="FILE", help="a net")
        count: int = flag(default=3, at_least=1, help="a number")
        input: str = positional(metavar="IN", help="a file")

    parser = FlagParser()
    Given.add_to(parser)
    with pytest.raises(UsageError) as caught:
        parser.parse(words.split())
    assert str(caught.value).startswith(message)
    assert Given(parser.parse(["--net=x", "in"])).count == 3


def test_flags_that_are_not_shown_are_not_proposed(parser):
    parser.add_argument("--gpux", help=argparse.SUPPRESS)
    with pytest.raises(UsageError) as caught:
        parser.parse(["--gpuxx"])
    assert "--gpux," not in str(caught.value)


@pytest.mark.parametrize("flag", ["--flagfile=flags", "-flagfile flags"])
def test_flag_file(parser, tmp_path, monkeypatch, flag):
    monkeypatch.chdir(tmp_path)
    Path("flags").write_text("# a comment\n\n--gpu=3\n  -resize_width 7\n--encode_type 'a b'\n")
    values = vars(parser.parse([*flag.split(), "--shuffle"]))
    assert values["gpu"] == "3"
    assert values["resize_width"] == 7
    assert values["encode_type"] == "a b"
    assert values["shuffle"]


def test_flags_before_the_command(project, run):
    assert run("--solver=solver.prototxt", "train").code == 0
    assert Path("s_iter_2.caffemodel").exists()


def test_glogs_flags_in_old_scripts(project, run):
    flags = [
        "-logtostderr=1",
        "--alsologtostderr",
        "--stderrthreshold",
        "0",
        "-v=2",
        "--nolog_prefix",
    ]
    assert run("train", "-solver", "solver.prototxt", *flags).code == 0


def test_spaces_between_weights(project, run):
    assert run("train", "-solver", "solver.prototxt").code == 0
    weights = "s_iter_2.caffemodel, s_iter_2.caffemodel"
    result = run("train", "-solver", "solver.prototxt", "-weights", weights)
    assert result.messages.count("Finetuning from s_iter_2.caffemodel") == 2
    assert run("test", "-model", "net.prototxt", "-weights", weights).code == 0


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"], ["-help"], ["--helpshort"]])
def test_overview(run, words):
    result = run(*words)
    assert result.code == 0
    assert all(command in result.out for command in COMMANDS)
    assert "Example: minicaffe train --solver=" in result.out


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("form", ["{} --help", "{} -helpshort", "help {}"])
def test_help_of_commands(run, command, form):
    result = run(*form.format(command).split())
    assert result.code == 0
    assert f"usage: minicaffe {command} " in result.out
    example = result.out.partition("Example:\n")[2]
    assert f"minicaffe {command}" in example or f"{command} " in example
    assert "--log_dir" in result.out


def test_help_is_printed_whatever_else_is_given(run):
    result = run("train", "word", "--unknown=1", "--help")
    assert result.code == 0
    assert "usage: minicaffe train " in result.out


def test_version(run):
    assert run("--version").out == run("train", "--version").out == f"minicaffe {__version__}\n"


def test_level_of_the_solver_is_kept_unless_given(project, run):
    net = project.net.replace('top: "ip"\n', 'top: "ip" include { min_level: 2 }\n')
    project.write(net=net, solver=project.solver + "train_state { level: 2 }")
    assert run("train", "--solver=solver.prototxt").code == 0
    result = run("train", "--solver=solver.prototxt", "--level=1")
    assert 'bottom "ip" does not exist here' in result.errors[0]


def test_stages(project, run):
    net = project.net.replace('top: "ip"\n', 'top: "ip" include { stage: "a" stage: "b" }\n')
    project.write(net=net)
    assert run("train", "--solver=solver.prototxt", "--stage=a,b").code == 0
    assert run("train", "--solver=solver.prototxt", "--stage=a").code == 1


def test_a_solver_in_another_folder(project, run, tmp_path, monkeypatch):
    """The net is found beside the solver; data and snapshots are relative to the working folder."""
    Path("conf").mkdir()
    for name in ("net.prototxt", "solver.prototxt"):
        Path(name).rename(f"conf/{name}")
    result = run("train", "--solver=conf/solver.prototxt")
    assert result.code == 0
    assert "net.prototxt is not below the working directory; using conf/net.prototxt" in (
        result.messages
    )
    assert Path("s_iter_2.caffemodel").exists()


def imported_by(code):
    """Return the names of the modules that running `code` imports."""
    script = f"import sys\n{code}\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in run.stdout.splitlines()[-1].split()}


HEAVY = {"numpy", "google", "rich", "lmdb", "plyvel", "PIL", "h5py", "matplotlib", "cupy"}


@pytest.mark.parametrize(
    "code",
    [
        "import minicaffe.cli.main",
        "from minicaffe.cli.main import main; main(['--help'])",
        "from minicaffe.cli.commands import test, time, train",
        "import minicaffe.cli.commands.device_query",
    ],
)
def test_help_imports_nothing_heavy(code):
    assert not imported_by(code) & HEAVY


def test_minicaffe_needs_numpy_and_protobuf_only():
    assert imported_by("import minicaffe") & HEAVY <= {"numpy", "google"}
    net = "import minicaffe.net, minicaffe.schema"
    assert imported_by(net) & {"rich", "h5py", "matplotlib", "cupy"} == set()
