"""What users of other trainers look for: each feature works on a project that `new` has made.

The features have tests of their own; here is the list, with a short use of each in one project.
"""

import csv
import io
import json
import os
import shutil
from pathlib import Path

import pytest
from terminals import lines_of, on_terminal

import caffe
from class_folders import make_pictures
from minicaffe.cli.main import main

ONE = "images/cross/001.png"
TRAIN = ["train", "solver.prototxt"]
SHORT = ["--set=test_interval=2", "--set=test_iter=1", "--set=display=2"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project of 24 images, trained for four iterations by the run solver-1."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("project"))
    make_pictures("images", 12)
    assert main(["new", "shapes", "images", "--size=16"]) == 0
    shutil.move("images", "shapes/images")
    os.chdir("shapes")
    assert main([*TRAIN, "--max_iter=4", *SHORT, "--keep_best=accuracy"]) == 0
    yield Path.cwd()
    os.chdir(before)


@pytest.fixture
def use(trained, run, monkeypatch):
    """A function that runs a command in the project and returns what it printed."""
    monkeypatch.chdir(trained)

    def run_command_line(*words):
        result = run(*map(str, words))
        assert result.code == 0, result.err
        return result.out

    return run_command_line


def test_1_a_run_folder_with_log_and_summary(use):
    assert "Optimization Done." in Path("runs/solver-1/log.txt").read_text()
    summary = use("runs", "solver-1")
    for part in ("best accuracy", "test", "minicaffe predict runs/solver-1"):
        assert part in summary


def test_2_predictions_by_a_training_net(use):
    rows = list(csv.DictReader(io.StringIO(use("predict", "runs/solver-1", ONE, "--format=csv"))))
    (answer,) = json.loads(use("predict", "runs/solver-1", ONE, "--format=json"))
    assert {row["class"] for row in rows} == {"circle", "cross"}
    assert {one["class"] for one in answer["predictions"]} == {"circle", "cross"}


def test_3_a_project_from_folders_of_images(use):
    made = {path.name for path in Path().iterdir()}
    assert made >= {
        *("train.txt", "val.txt", "train_lmdb", "val_lmdb", "labels.txt"),
        *("train_val.prototxt", "solver.prototxt", "deploy.prototxt"),
    }


def test_4_a_look_into_a_database(use):
    assert "cross" in use("db", "info", "train_lmdb", "--labels=labels.txt")
    use("db", "show", "train_lmdb", "-o", "sheet.png")
    use("db", "export", "val_lmdb", "exported")
    assert Path("sheet.png").exists()
    assert Path("exported/list.txt").exists()


def test_5_the_best_weights_early_stopping_and_few_snapshots(use):
    assert Path("runs/solver-1/best.caffemodel").exists()
    use(
        *(*TRAIN, "--max_iter=12", *SHORT, "--set=base_lr=1e-9", "--patience=1"),
        *("--keep_last=1", "--set=snapshot=2", "--set=snapshot_prefix=few", "--run=runs/few"),
    )
    assert json.loads(Path("runs/few/run.json").read_text())["iteration"] < 12
    assert len(list(Path().glob("few_iter_*.caffemodel"))) == 1


def test_6_a_report_in_one_page(use):
    use("report", "solver-1")
    page = Path("runs/solver-1/report.html").read_text()
    assert "accuracy" in page
    assert "<svg" in page


def test_7_a_table_of_tests_on_a_terminal(use):
    shown, code = on_terminal([*TRAIN, "--max_iter=4", *SHORT, "--no_run"], 120)
    assert code == 0
    lines = lines_of(shown)
    assert any(line.split()[:2] == ["iteration", "epoch"] for line in lines)
    assert not any("Creating layer" in line for line in lines)


def test_8_resuming_from_the_newest_snapshot(use, run):
    result = run(*TRAIN, "--max_iter=5", *SHORT, "--resume=auto", "--no_run")
    assert result.code == 0
    assert any("_iter_4.solverstate" in line for line in result.messages)


def test_9_settings_on_the_command_line(use):
    layer = "net.layer[scores].inner_product_param.bias_term=false"
    use(*TRAIN, "--max_iter=1", "--seed=3", "--batch_size=5", "--set", layer, "--run=runs/set")
    written = Path("runs/set/train.prototxt").read_text()
    assert "batch_size: 5" in written
    assert "bias_term: false" in written
    assert "random_seed: 3" in Path("runs/set/solver.prototxt").read_text()


def test_10_checks_before_a_training(use):
    report = use("check", "solver.prototxt")
    for part in ("labels 0 to 1", "memory", "time"):
        assert part in report


def test_11_a_net_to_deploy(use):
    use("deploy", "train_val.prototxt", "-o", "made.prototxt")
    assert len(caffe.Net("made.prototxt", caffe.TEST).inputs) == 1


def test_12_metrics_in_files(use):
    use(*TRAIN, "--max_iter=4", *SHORT, "--run=runs/metrics", "--tensorboard")
    lines = Path("runs/metrics/metrics.jsonl").read_text().splitlines()
    assert {json.loads(line)["kind"] for line in lines} == {"train", "test"}
    assert list(Path("runs/metrics").glob("events.out.tfevents.*"))
    use("parse_log", "runs/metrics", ".")
    assert list(Path().glob("*.test"))


def test_13_completion_in_a_shell(use):
    for shell in ("bash", "zsh", "fish"):
        assert "minicaffe" in use("completion", shell)


AUGMENTED = [
    "mirror: true",
    "resize_param { prob: 1 resize_mode: WARP height: 20 width: 20 interp_mode: LINEAR }",
    "enable_classf_aug: true max_rotation_angle: 20 min_scaling_factor: 0.8",
    "distort_param { brightness_prob: 1 brightness_delta: 32 hue_prob: 1 hue_delta: 18 }",
    "enable_classf_aug: true contrast_brightness_adjustment: true smooth_filtering: true",
    "random_resized_crop { }",
    "cutout { }",
]


@pytest.mark.parametrize("setting", AUGMENTED)
def test_14_augmentation_of_images(use, setting):
    Path("augmented.prototxt").write_text(
        'layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TRAIN }\n'
        f"transform_param {{ crop_size: 16 {setting} }}\n"
        'data_param { source: "train_lmdb" backend: LMDB batch_size: 2 } }'
    )
    use("show", "augment", "augmented.prototxt", "-o", "augmented.png")
    assert Path("augmented.png").exists()


def test_15_export_to_onnx(use):
    pytest.importorskip("onnx")
    use("export", "onnx", "deploy.prototxt", "runs/solver-1/best", "-o", "net.onnx")
    assert Path("net.onnx").exists()


def test_16_a_learning_rate_by_a_range_test(use):
    assert "base_lr" in use("find_lr", "solver.prototxt", "--iterations=12", "-o", "rates.png")
    assert Path("rates.png").exists()


def test_17_what_a_weights_file_contains(use):
    head, *rows = use("summarize", "runs/solver-1/best").splitlines()
    assert head.split() == ["layer", "type", "array", "shape", "min", "max", "mean", "std", "zeros"]
    assert rows[0].split()[:3] == ["conv1", "Convolution", "0"]


def test_18_the_history_of_a_training_in_python(use):
    solver = caffe.get_solver("solver.prototxt")
    solver.step(3)
    assert [one["iteration"] for one in solver.history.test] == [0]
