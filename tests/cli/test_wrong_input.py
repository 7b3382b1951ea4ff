"""Invalid input through the command line: message, exit code, and unchanged files."""

import os
import re
import shutil
from pathlib import Path

import pytest

from minicaffe.cli.overview import COMMANDS


@pytest.fixture
def trained(project, run):
    """The project with a snapshot of iteration 2."""
    assert run("train", "--solver=solver.prototxt").code == 0
    return project


def files():
    """Return every file below the working directory with its content."""
    return {p: p.read_bytes() for p in Path().rglob("*") if p.is_file() and "lock" not in p.name}


def refuse(run, message, *argv, code=1, saves="nothing"):
    """Run, and check the one error message (a regular expression) and that no file changed.

    New files may begin with `saves`: an error that ends a training saves what was reached.
    """
    before = files()
    result = run(*argv)
    assert result.code == code, result.err
    assert "Traceback" not in result.err
    found = "\n".join(result.errors if code == 1 else result.plain)
    assert re.search(message, found), found
    after = files()
    assert {name: after.get(name) for name in before} == before
    assert all(str(name).startswith(saves) for name in after.keys() - before.keys())
    return result


TRAIN = ("train", "--solver=solver.prototxt")

FILES = [
    ("missing solver", ["--solver=no.prototxt"], r"^no\.prototxt: no such file \(in /"),
    ("folder as solver", ["--solver=lmdb"], r"^lmdb: is a folder; a file is needed"),
    ("net as solver", ["--solver=net.prototxt"], r"^net\.prototxt:1:1: .*no field \"name\""),
    (
        "weights as solver",
        ["--solver=s_iter_2.caffemodel"],
        r"^s_iter_2.caffemodel: a prototxt is needed here; this looks like a binary file",
    ),
    ("missing weights", [*TRAIN[1:], "--weights=no.caffemodel"], r"^no\.caffemodel: no such file"),
    (
        "one of two weights missing",
        [*TRAIN[1:], "--weights=s_iter_2.caffemodel,no.caffemodel"],
        r"^no\.caffemodel: no such file",
    ),
    (
        "missing snapshot",
        [*TRAIN[1:], "--snapshot=no.solverstate"],
        r"^no\.solverstate: no such file",
    ),
    (
        "weights as snapshot",
        [*TRAIN[1:], "--snapshot=s_iter_2.caffemodel"],
        r"^--snapshot=s_iter_2.caffemodel: a .caffemodel holds weights only. Resume from the "
        r".solverstate beside it, or start from these weights with --weights",
    ),
    (
        "snapshot as weights",
        [*TRAIN[1:], "--weights=s_iter_2.solverstate"],
        r"^s_iter_2.solverstate: is a solver state and contains no weights; use the .caffemodel",
    ),
    (
        "prototxt as weights",
        [*TRAIN[1:], "--weights=net.prototxt"],
        r"^net.prototxt: a binary file is needed here; this looks like a prototxt",
    ),
    (
        "precision that the backend has not",
        [*TRAIN[1:], "--backend=reference", "--precision=bf16"],
        r"^the reference backend cannot compute in bf16; it can in fp32\. Choose that with --prec",
    ),
]


@pytest.mark.parametrize(("flags", "message"), [f[1:] for f in FILES], ids=[f[0] for f in FILES])
def test_files_given(trained, run, flags, message):
    refuse(run, message, "train", *flags)


CONTENTS = [
    (
        "web page",
        b"<!DOCTYPE html>\n<html></html>",
        "this looks like a web page; the download failed",
    ),
    (
        "git-lfs pointer",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        "this looks like a git-lfs pointer, not the file itself; run 'git lfs pull'",
    ),
    ("empty", b"", "is empty; probably writing or copying it was interrupted"),
    ("noise", b"\xff" * 500, r"500 bytes are not a complete \.caffemodel; probably the downl"),
]


@pytest.mark.parametrize(
    ("content", "message"), [c[1:] for c in CONTENTS], ids=[c[0] for c in CONTENTS]
)
def test_weights_that_are_something_else(project, run, content, message):
    Path("w.caffemodel").write_bytes(content)
    refuse(run, rf"^w\.caffemodel: .*{message}", *TRAIN, "--weights=w.caffemodel")
    refuse(run, message, "test", "--model=net.prototxt", "--weights=w.caffemodel")


@pytest.mark.parametrize("kind", ["caffemodel", "solverstate"])
def test_files_cut_off(trained, run, kind):
    whole = Path(f"s_iter_2.{kind}").read_bytes()
    Path(f"cut.{kind}").write_bytes(whole[: len(whole) - 10])
    flag = "--weights" if kind == "caffemodel" else "--snapshot"
    refuse(
        run,
        rf"^cut\.{kind}: [\d,]+ bytes are not a complete \.{kind}; prob",
        *TRAIN,
        f"{flag}=cut.{kind}",
    )


NETS = [
    # name, what is replaced in the net, by what, the message
    (
        "misspelt field",
        ("num_output: 5", "num_outputs: 5"),
        r'^net.prototxt:5:25: message "InnerProductParameter" has no field "num_outputs". Did you '
        r"mean num_output\?",
    ),
    (
        "misspelt type",
        ('"InnerProduct"', '"InerProduct"'),
        r'^net.prototxt:4, layer "ip" \(InerProduct\): unknown layer type "InerProduct". Did you '
        "mean InnerProduct",
    ),
    (
        "bad enum",
        ("LMDB", "LMDBX"),
        r'^net.prototxt:3:\d+: "backend" takes .* found LMDBX. Did you',
    ),
    (
        "missing brace",
        ('top: "loss" }', 'top: "loss"'),
        r'^net.prototxt:9:1: the file ends inside a block: the "{" at line 8, column 7',
    ),
    (
        "unknown bottom",
        ('"ip" type: "InnerProduct" bottom: "data"', '"ip" type: "InnerProduct" bottom: "dta"'),
        r'^net.prototxt:4, layer "ip" \(InnerProduct\): bottom "dta" does not exist here. Did you '
        r"mean data\?",
    ),
    (
        "top made twice",
        ('top: "ip"', 'top: "label"'),
        r'^net.prototxt:4, layer "ip" \(InnerProduct\): top "label" is made by an earlier layer',
    ),
    (
        "kernel too large",
        (
            '"ip" type: "InnerProduct" bottom: "data" top: "ip"\n  inner_product_param {',
            '"ip" type: "Convolution" bottom: "data" top: "ip" convolution_param { kernel_size: 9',
        ),
        r'^net.prototxt:4, layer "ip" \(Convolution\): bottom "data" has images of \(6, 7\); a '
        r"kernel of \(9, 9\)",
    ),
    (
        "group",
        (
            '"ip" type: "InnerProduct" bottom: "data" top: "ip"\n  inner_product_param {',
            '"ip" type: "Convolution" bottom: "data" top: "ip" convolution_param { kernel_size: 2 '
            "group: 3",
        ),
        r'^net.prototxt:4, layer "ip" \(Convolution\): bottom "data" has 1 channels; group: 3',
    ),
    (
        "label out of range",
        ("num_output: 5", "num_output: 3"),  # in the first batch: later ones leave a snapshot
        r'^net.prototxt:\d, layer "loss" \(SoftmaxWithLoss\): label 3 of sample 3 in the batch is '
        r"not a class; labels must be whole numbers from 0 to 2. It is key '00000003' of lmdb.",
    ),
    (
        "wrong path of the database",
        ('"lmdb"', '"lmbd"'),
        r'^net.prototxt:2, layer "data" \(Data\): lmbd: no such database. The path is relative to',
    ),
    (
        "LMDB read as LEVELDB",
        ("backend: LMDB", ""),
        r'^net.prototxt:2, layer "data" \(Data\): lmdb: this is an LMDB database, but it was to be '
        r"opened as LEVELDB \(the default of data_param\). Write backend: LMDB in data_param",
    ),
    ("no batch size", ("batch_size: 4", ""), r"^net.prototxt:2, .*batch_size is missing or 0; it"),
    ("nothing", (None, ""), r"^net.prototxt: no layer is left in phase TRAIN \(0 in the file\)"),
]


@pytest.mark.parametrize(("change", "message"), [n[1:] for n in NETS], ids=[n[0] for n in NETS])
def test_nets(project, run, change, message):
    old, new = change
    net = project.net.replace(old, new, 1) if old else new
    assert net != project.net
    project.write(net=net)
    refuse(run, message, *TRAIN, saves=("s_iter_1.", "runs"))


def test_data_of_other_sizes_for_test(project, run):
    first, line, rest = project.net.partition('layer { name: "ip"')
    data = 'layer { name: "data" include { phase: TEST }' + first.split('"data"', 1)[1]
    data = data.replace("scale: 0.004", "crop_size: 4")
    train = first.replace('name: "data"', 'name: "data" include { phase: TRAIN }')
    project.write(train + data + line + rest, project.solver + "test_iter: 1 test_interval: 9")
    message = (
        r"parameters have shapes \[\(5, 16\), \(5,\)\] here and \[\(5, 42\), \(5,\)\] in the "
        r"training net; they must agree. Give both the same settings, and data of the same size"
    )
    refuse(run, message, *TRAIN)


def test_independent_problems_of_a_net_at_once(project, run):
    net = project.net.replace("num_output: 5", "")
    net += 'layer { name: "more" type: "InnerProduct" bottom: "data" top: "more" }'
    project.write(net=net)
    result = refuse(run, "num_output", *TRAIN)
    assert [error.partition(":")[2].partition(" ")[0] for error in result.errors] == ["4,", "9,"]


SOLVERS = [
    ("misspelt field", ("max_iter", "max_iters"), r'^solver.prototxt:4:1: .*"max_iters". Did you '),
    (
        "missing net",
        ("net.proto", "nt.proto"),
        r'^solver.prototxt:1: net: "nt.prototxt" does not ex',
    ),
    ("no lr_policy", ('lr_policy: "fixed"', ""), r"^solver.prototxt: lr_policy is missing. Known:"),
    (
        "unknown lr_policy",
        ("fixed", "fix"),
        r'^solver.prototxt:3: lr_policy: "fix" is unknown. Did',
    ),
    ("no base_lr", ("base_lr: 0.01", ""), r"^solver.prototxt: base_lr is missing"),
    ("type", ("display", 'type: "Sgd" display'), r'^solver.prototxt:5: unknown solver type "Sgd".'),
    (
        "test_iter alone",
        ("display", "test_iter: 1 display"),
        r"^solver.prototxt: test_iter is given, so test_interval must be at least 1",
    ),
    (
        "unwritable prefix",
        ('"s"', '"solver.prototxt/s"'),
        r'^solver.prototxt:6: snapshot_prefix: "solver.prototxt/s" cannot be written: ',
    ),
]


@pytest.mark.parametrize(
    ("change", "message"), [s[1:] for s in SOLVERS], ids=[s[0] for s in SOLVERS]
)
def test_solvers(project, run, change, message):
    project.write(solver=project.solver.replace(*change))
    refuse(run, message, *TRAIN)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_for_snapshots(project, run):
    Path("locked").mkdir(mode=0o500)
    project.write(solver=project.solver.replace('"s"', '"locked/s"'))
    refuse(run, r'^solver.prototxt:6: snapshot_prefix: "locked/s" cannot be written: Perm', *TRAIN)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: os.urandom(len(data)), "lmdb: the LMDB is damaged: "),
        (
            lambda data: data[: len(data) // 2],
            r"lmdb: .* data.mdb is cut off: it has \d+ bytes",
        ),
    ],
    ids=["noise", "cut off"],
)
def test_damaged_databases(project, run, damage, message):
    path = Path("lmdb/data.mdb")
    path.write_bytes(damage(path.read_bytes()))
    refuse(run, rf'^net.prototxt:2, layer "data" \(Data\): {message}', *TRAIN)


def test_weights_that_do_not_fit_are_all_listed(trained, run):
    wider = trained.net.replace("num_output: 5", "num_output: 6").replace(
        'bottom: "ip" bottom: "label" top: "loss"', 'bottom: "ip2" bottom: "label" top: "loss"'
    ) + (
        'layer { name: "ip2" type: "InnerProduct" bottom: "data" top: "ip2" '
        "inner_product_param { num_output: 5 } }"
    )
    lines = wider.splitlines()
    lines.insert(5, lines.pop())
    trained.write(net="\n".join(lines))
    shutil.copy("s_iter_2.caffemodel", "a.caffemodel")
    result = refuse(run, "shape|parameter", *TRAIN, "--weights=a.caffemodel,s_iter_2.caffemodel")
    assert result.errors == [
        *(
            f'{name}.caffemodel: layer "ip" (InnerProduct): parameter 0 is (6, 42) in the net and '
            "(5, 42) in the file; parameter 1 is (6,) in the net and (5,) in the file"
            for name in ("a", "s_iter_2")
        ),
        "To start a layer anew, rename it in the prototxt; its weights are then left out.",
    ]


USAGE = [
    ("no solver", ["train"], r"train: missing: SOLVER or --solver=FILE \(solver prototxt\)"),
    (
        "no model",
        ["test"],
        r"test: missing: --model=FILE \(net prototxt\), --weights=FIL",
    ),
    ("no weights", ["test", "--model=net.prototxt"], "minicaffe test: missing: --weights=FILES"),
    ("nothing to time", ["time", "--model="], "minicaffe time: missing: --model=FILE"),
    (
        "no iterations",
        ["test", "--model=a", "--weights=b", "--iterations=0"],
        "minicaffe test: --iterations: 0 is too small; it must be at least 1",
    ),
    ("no argument", ["draw"], r"minicaffe draw: missing: NET \(net prototxt\)"),
    ("no threads", ["time", "--model=a", "--threads=0"], "time: --threads: 0 is too small"),
    (
        "bad precision",
        ["time", "--precision=int8"],
        "--precision: invalid choice: 'int8'. Known: bf16",
    ),
    (
        "not a number",
        ["time", "--iterations=ten"],
        "minicaffe time: --iterations: 'ten' is no whole n",
    ),
    ("unknown flag", ["train", "--solvr=x"], r"train: no flag --solvr. Did you mean --solver\? Kn"),
    ("flag of NVIDIA's fork", ["train", "--gpus=0"], r"no flag --gpus. Did you mean --gpu\? Known"),
    ("flag without value", ["train", "--solver"], "minicaffe train: --solver: expected one arg"),
    (
        "one word too many",
        ["train", "s.prototxt", "more"],
        'train: "more" is one argument too',
    ),
    (
        "bad choice",
        ["train", "--sigint_effect=x"],
        "--sigint_effect: invalid choice: 'x'. Known: .*stop",
    ),
    ("bad boolean", ["train", "--debug=maybe"], "--debug=maybe: a boolean flag is true or false"),
    ("no flag file", ["train", "--flagfile=no"], "minicaffe train: --flagfile=no: No such file"),
    (
        "resume and fine-tune",
        [*TRAIN, "--snapshot=a", "--weights=b"],
        "train: --snapshot resumes training, --weights starts from trained weights; give one",
    ),
    ("log folder", [*TRAIN, "--log_dir=net.prototxt"], "--log_dir=net.prototxt: cannot be written"),
]


@pytest.mark.parametrize(("argv", "message"), [u[1:] for u in USAGE], ids=[u[0] for u in USAGE])
def test_usage(project, run, argv, message):
    result = refuse(run, message, *argv, code=2)
    assert len(result.plain) == 2
    assert result.plain[1] == f"'minicaffe {argv[0]} --help' shows the flags."


def test_unknown_command(run):
    result = run("trian")
    assert result.code == 2
    assert result.plain[0].startswith("minicaffe: no command trian. Did you mean train? Known: ")


def test_debug_shows_where_an_error_comes_from(run, tmp_path):
    result = run("train", f"--solver={tmp_path}/no.prototxt", "--debug")
    assert result.code == 1
    assert "Traceback (most recent call last)" in result.err


def test_main_memory_is_used_up(project, run, monkeypatch):
    def run_out(path):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr("minicaffe.cli.commands.summarize.read_net", run_out)
    result = refuse(
        run, "^out of memory: Unable to allocate 9 TiB. Use a smaller", "summarize", "n"
    )
    assert "Traceback" not in result.err


def test_no_words_at_all(run):
    result = run()
    assert result.code == 2
    assert all(command in result.out for command in COMMANDS)
