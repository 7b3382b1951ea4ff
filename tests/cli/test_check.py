"""minicaffe check: what it reports about a training, and its exit code."""

from pathlib import Path

import numpy as np
import pytest

from minicaffe.analysis.training_check.trial import Trial
from minicaffe.cli.commands import _check_report
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database

TESTED = "test_iter: 2\ntest_interval: 1\n"
TRAIN_ONLY = "include { phase: TRAIN }"


def write_database(name, labels, shape=(1, 6, 7), value=None):
    rng = np.random.default_rng(1)
    with create_database(name, "LMDB") as db:
        for number, label in enumerate(labels):
            pixels = rng.integers(0, 256, shape, dtype=np.uint8)
            image = pixels if value is None else np.full(shape, value, np.uint8)
            db.put(b"%08d" % number, encode_datum(image, label))


def test_settings_of_the_command_line(project, run):
    """As train has them, so that what is checked is what will be trained."""
    assert "data 3 x 1 x 6 x 7" in run("check", "solver.prototxt", "--batch_size=3").out
    result = run("check", "solver.prototxt", "--set=base_lrr=1")
    assert result.code == 2
    assert 'has no field "base_lrr"' in result.err


def test_a_good_training(project, run):
    test_data = project.net.replace('source: "lmdb"', 'source: "test_lmdb"')
    two = project.net.replace("transform_param", f"{TRAIN_ONLY} transform_param") + (
        test_data.splitlines()[1].replace("layer {", "layer { include { phase: TEST }")
        + test_data.splitlines()[2]
    )
    data, rest = two.splitlines()[:3], two.splitlines()[3:]
    extra = rest.pop()
    write_database("test_lmdb", [0, 1, 2, 3, 4, 0, 1, 2])
    project.write(net="\n".join([*data, extra, *rest]), solver=project.solver + TESTED)
    result = run("check", "solver.prototxt")
    assert result.code == 0, result.out
    lines = result.out.splitlines()
    assert lines[0] == "solver.prototxt: no problem found"
    assert lines[1].startswith('net        "small", 3 layers, 215 parameters; ')
    assert lines[2].startswith("memory     at least ")
    assert lines[3].startswith("train      data 4 x 1 x 6 x 7, label 4; values 0")
    assert lines[4] == (
        "           11 samples, 3 batches; labels 0 to 4, 5 different, each of 2 to 3 samples"
    )
    assert lines[5].startswith("test #0    data 4 x 1 x 6 x 7, label 4; values 0")
    assert lines[6] == (
        "           8 samples, 2 batches; labels 0 to 4, 5 different, each of 1 to 2 samples"
    )
    assert lines[7:9] == ["outputs    loss", "  of tests accuracy, loss"]
    assert lines[9].startswith("loss       1.")
    assert " samples/s); " in lines[10]
    assert " for 2 iterations, with tests of " in lines[10]
    assert len(lines) == 11
    assert result.err == ""
    assert not list(Path().glob("s_iter_*"))


def findings(result):
    return [line for line in result.out.splitlines() if line.startswith(("error", "warning"))]


def check(run, **expected):
    result = run("check", "solver.prototxt")
    assert result.code == (1 if "error" in expected else 0), result.out
    for kind, words in expected.items():
        assert any(f.startswith(kind) and words in f for f in findings(result)), result.out
    return result


def test_labels_above_the_classes(project, run):
    project.write(net=project.net.replace("num_output: 5", "num_output: 3"))
    result = check(run, error="4 of 11 labels are not 0 to 2, the 3 classes of net.prototxt:4, ")
    assert 'layer "ip" (InnerProduct); they are 0 to 4. Set num_output: 5' in result.out
    assert "\ntime" not in result.out


def test_more_classes_than_labels(project, run):
    project.write(net=project.net.replace("num_output: 5", "num_output: 9"))
    check(run, warning='"ip" (InnerProduct): has 9 classes, but the labels end at 4. Set num_out')


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([1, 2, 3, 4] * 5, "the labels are 1 to 4, and no image has label 0: labels begin with 0"),
        ([2] * 20, "all 20 labels read are 2: a net learns nothing from one class"),
        ([0] * 20 + [1] * 20, "sorted by class: the label changes 1 times in 40 records"),
        ([0, 1, 2], "a batch of 4 is more than the 3 samples of the data"),
    ],
)
def test_unusual_labels(project, run, labels, words):
    write_database("other", labels)
    project.write(net=project.net.replace('"lmdb"', '"other"'))
    check(run, warning=words)


def test_shuffled_records_are_not_called_sorted(project, run):
    write_database("other", [0] * 20 + [1] * 20)
    data = project.net.replace('"lmdb"', '"other" shuffle: true').replace(
        "num_output: 5", "num_output: 2"
    )
    project.write(net=data)
    assert findings(check(run)) == []


def test_images_of_several_sizes(project, run):
    with create_database("other", "LMDB") as db:
        for number in range(600):
            shape = (1, 6, 7) if number < 300 else (1, 7, 6)
            db.put(b"%08d" % number, encode_datum(np.zeros(shape, np.uint8), number % 5))
    project.write(net=project.net.replace('"lmdb"', '"other"'))
    check(run, error="images have different sizes (1 x 6 x 7, 1 x 7 x 6), and a batch has one")


def test_constant_images(project, run):
    write_database("other", [0, 1, 2, 3, 4] * 2, value=50)
    project.write(net=project.net.replace('"lmdb"', '"other"'))
    check(run, error="every value of the first batch is 0.2. Correct scale and mean")


def test_tests_with_another_scale(project, run):
    training = project.net.splitlines()[1].replace("layer {", f"layer {{ {TRAIN_ONLY}")
    testing = project.net.splitlines()[1].replace("layer {", "layer { include { phase: TEST }")
    second = project.net.splitlines()[2]
    net = "\n".join(
        [
            *(training, second, testing, second.replace("scale: 0.004", "mean_value: 9")),
            *project.net.splitlines()[3:],
        ]
    )
    project.write(net=net, solver=project.solver + TESTED)
    result = check(run, warning="scale is 1 in test net #0, and 0.004")
    assert "mean_value is 9 in test net #0, and not given in the training net" in result.out


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        # Each is a check of train.
        (("net", 'type: "SoftmaxWithLoss"', 'type: "Softmax"'), "error", "takes exactly 1"),
        (("net", 'top: "loss" }', 'top: "loss" loss_weight: 0 }'), "error", "nothing is learnt"),
        (
            ("net", 'top: "ip"\n', 'top: "ip" param { lr_mult: 0 } param { lr_mult: 0 }\n'),
            "error",
            "every lr_mult is 0",
        ),
        (("net", '"lmdb"', '"nothing"'), "error", "nothing: no such database"),
        (("solver", "base_lr: 0.01", "base_lr: 0"), "error", "base_lr: 0 changes no parameter"),
        (("solver", "display: 1", "display: 1 test_interval: 5"), "warning", "no net is tested"),
        (("solver", "display: 1", "display: 1 gamma: 2"), "warning", "gamma"),
        (("solver", '"fixed"', '"fixt"'), "error", "Did you mean fixed"),
        (("solver", "display: 1", TESTED), "warning", "tests score the training data"),
        (("solver", "base_lr: 0.01", "base_lr: 3e38"), "error", "the loss is nan"),
        (("solver", "base_lr: 0.01", "base_lr: 1e30"), "warning", "the loss is 87.3365"),
        (("solver", "display: 1", "test_iter: 9 test_interval: 1"), "warning", "9 batches of 4"),
    ],
)
def test_what_train_checks_is_reported(project, run, change, kind, words):
    where, old, new = change
    text = getattr(project, where)
    assert old in text
    project.write(**{where: text.replace(old, new)})
    check(run, **{kind: words})


def test_weights_of_another_net(project, run):
    train = run("train", "--solver=solver.prototxt")
    assert train.code == 0
    project.write(net=project.net.replace('name: "ip"', 'name: "fc"'))
    result = run("check", "solver.prototxt", "--weights=s_iter_2.caffemodel")
    assert result.code == 0
    assert (
        'no layer of the net got weights, because the names differ: the net has "fc"' in result.out
    )


def test_a_solver_that_is_missing(project, run):
    result = run("check", "solvr.prototxt")
    assert (result.code, result.out) == (1, "")
    assert "solvr.prototxt: no such file" in result.errors[0]


def test_the_whole_time_counts_the_tests(project, run, monkeypatch):
    monkeypatch.setattr(_check_report, "try_iterations", lambda solver: Trial(1.5, 0.02, 0.5, 3725))
    project.write()
    out = run("check", "solver.prototxt").out
    assert "loss       1.5 in the first iteration" in out
    assert (
        "20 ms an iteration (200 samples/s); 1:02:05 for 2 iterations, with tests of 0.5 s" in out
    )


def test_weights_of_a_run(project, run):
    assert run("train", "solver.prototxt", "--run=r").code == 0
    assert run("check", "solver.prototxt", "--weights=r/last").code == 0
    result = run("check", "solver.prototxt", "--weights=r/best")
    assert result.code == 1
    assert "r/best: the run r has no best: train with --keep_best=OUTPUT" in result.err
