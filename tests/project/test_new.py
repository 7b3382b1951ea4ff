"""minicaffe new: projects that can be trained, and what it says about images it cannot use."""

import shutil
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from class_folders import draw_shape, make_pictures
from minicaffe.data.records.database import DatabaseRecords
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers, save_net
from minicaffe.project.adapted_net import KNOWN_NETS
from minicaffe.project.plan import TrainingPlan
from minicaffe.schema import read_net, read_solver


def stored(path):
    """Labels of a database, in order, and the shapes of its images."""
    with closing(DatabaseRecords(str(path), "LMDB")) as records:
        taken = records.take(records.count_records(1000))
        return [int(one.label) for one in taken], {one.load().shape for one in taken}


def paths(name):
    return [line.rpartition(" ")[0] for line in Path(name).read_text().splitlines()]


def test_every_class_is_divided_in_the_ratio_of_split(command):
    make_pictures("images", 10)
    for k in range(5):
        Path(f"images/cross/{k:03d}.png").unlink()
    assert command("new", "p", "images", "--split=60/40").code == 0
    assert Counter(stored("p/train_lmdb")[0]) == {0: 6, 1: 3}
    assert Counter(stored("p/val_lmdb")[0]) == {0: 4, 1: 2}
    assert not set(paths("p/train.txt")) & set(paths("p/val.txt"))
    assert Path("p/labels.txt").read_text() == "circle\ncross\n"


def test_the_seed_decides_the_division(command):
    make_pictures("images", 10)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert command("new", name, "images", f"--seed={seed}").code == 0
    assert paths("a/train.txt") == paths("b/train.txt")
    assert set(paths("a/val.txt")) != set(paths("c/val.txt"))


def test_the_net_is_tested_on_all_validation_images_and_without_the_training_ones(command):
    make_pictures("images", 20)
    command("new", "p", "images", "--split=3/1")
    solver = read_solver("p/solver.prototxt").param
    net = read_net("p/train_val.prototxt").param
    train, test = (layer for layer in net.layer if not layer.bottom)
    assert (train.data_param.source, test.data_param.source) == ("train_lmdb", "val_lmdb")
    assert solver.test_iter[0] * test.data_param.batch_size == 10
    assert train.transform_param.mirror
    assert not test.transform_param.mirror
    assert any(layer.name == "accuracy" for layer in net.layer)


def test_the_mean_is_that_of_the_training_images(command):
    make_pictures("images", 6)
    command("new", "p", "images")
    with closing(DatabaseRecords("p/train_lmdb", "LMDB")) as records:
        pixels = np.stack([one.load() for one in records.take(records.count_records(99))])
    param = read_net("p/train_val.prototxt").param.layer[0].transform_param
    np.testing.assert_allclose(param.mean_value, pixels.mean(axis=(0, 2, 3)), rtol=1e-3)


@pytest.mark.parametrize("size", [8, 20, 64, 150])
def test_nets_of_all_sizes_can_be_built(command, monkeypatch, size):
    make_pictures("images", 3)
    assert command("new", "p", "images", f"--size={size}").code == 0
    monkeypatch.chdir("p")
    for name, phase in (("train_val", "TRAIN"), ("train_val", "TEST"), ("deploy", "TEST")):
        with closing(Net(f"{name}.prototxt", phase)) as net:
            assert net.blobs["data"].shape[1:] == (3, size, size)
            assert net.blobs["scores"].shape[1] == 2


def test_prototxts_explain_their_fields(command):
    make_pictures("images", 3)
    command("new", "p", "images")
    for name, least in (("train_val", 20), ("solver", 6), ("deploy", 2)):
        assert Path(f"p/{name}.prototxt").read_text().count("#") >= least


def test_a_table_gives_the_classes(command):
    make_pictures("images", 4)
    rows = [f"images/{c}/00{k}.png,{c} 그림" for c in ("circle", "cross") for k in range(4)]
    for name, head in (("a.csv", "Path,Class\n"), ("b.csv", "")):
        Path(name).write_text(head + "\n".join(rows))
        assert command("new", name[0], name).code == 0
        assert Path(name[0], "labels.txt").read_text() == "circle 그림\ncross 그림\n"
        assert Counter(stored(Path(name[0], "train_lmdb"))[0]) == {0: 3, 1: 3}
    Path("c.csv").write_text(head + rows[0] + "\nimages/circle")
    result = command("new", "c", "c.csv")
    assert "c.csv:2: 'images/circle'; a line is a path and a class" in result.err


def test_numbers_as_classes_are_in_their_order(command):
    for name in ("2", "10"):
        make_pictures("shapes", 2)
        shutil.copytree("shapes/circle" if name == "2" else "shapes/cross", f"images/{name}")
    assert command("new", "p", "images").code == 0
    assert Path("p/labels.txt").read_text() == "2\n10\n"


def test_names_with_spaces_and_hangul(command):
    make_pictures("내 그림", 3)
    Path("내 그림/cross").rename("내 그림/십자 모양")
    result = command("new", "새 프로젝트", "내 그림")
    assert result.code == 0
    assert "1  십자 모양" in result.out
    assert "cd '새 프로젝트'" in result.out
    assert Path("새 프로젝트/labels.txt").read_text() == "circle\n십자 모양\n"


def test_images_that_cannot_be_used_are_left_out_with_a_reason(command):
    make_pictures("images", 5)
    cut = Path("images/cross/000.png").read_bytes()
    Path("images/cross/cut.png").write_bytes(cut[: len(cut) // 2])
    Path("images/cross/text.png").write_text("no image")
    shutil.copy("images/cross/001.png", "images/cross/copy.png")
    shutil.copy("images/cross/002.png", "images/circle/both.png")
    Path("images/empty").mkdir()
    result = command("new", "p", "images")
    assert result.code == 0
    assert "cannot be read: images/cross/cut.png (" in result.err
    assert "truncated" in result.err
    assert "images/cross/text.png (no image)" in result.err
    assert "are copies of others: cross/copy.png = cross/001.png" in result.err
    assert "are in several classes: circle/both.png = cross/002.png" in result.err
    assert "images/empty: no images in this folder" in result.err
    assert "few images: circle (5), cross (4)" in result.err
    assert len(paths("p/train.txt")) + len(paths("p/val.txt")) == 9
    assert "p: 9 images of 2 classes" in result.out


def test_other_files_in_the_folders(command):
    make_pictures("images", 4)
    for name in ("circle/.DS_Store", "circle/Thumbs.db", "cross/._000.png", "cross/notes.txt"):
        Path("images", name).write_bytes(b"no image")
    Path("images/cross/한글 이름.HEIC").write_bytes(b"phone")
    Path("images/circle/000.png").rename("images/circle/사진 1.PNG")
    Path("images/circle/gone.png").symlink_to("nowhere.png")
    result = command("new", "p", "images")
    assert result.code == 0
    assert "files of this type are not read: 1 .heic. Convert them" in result.err
    assert "cannot be read: images/circle/gone.png (No such file or directory)" in result.err
    for name in ("DS_Store", "Thumbs", "._000", "notes"):
        assert name not in result.err
    assert "circle/사진 1.PNG" in paths("p/train.txt") + paths("p/val.txt")
    assert "p: 8 images of 2 classes" in result.out


@pytest.mark.parametrize(("kind", "channels"), [("L", 1), ("RGB", 3)])
def test_images_of_many_sizes_grey_and_colour(command, kind, channels):
    make_pictures("images", 3, mode="L")
    draw_shape(Path("images/cross/large.jpg"), False, np.random.default_rng(1), (90, 70), kind)
    result = command("new", "p", "images")
    assert result.code == 0
    assert "sizes 40 x 48 to 70 x 90, stored as 72 x 72" in result.out
    assert ("6 of 7 are grey files" in result.out) == (channels == 3)
    assert stored("p/train_lmdb")[1] == {(channels, 72, 72)}
    assert command("new", "q", "images", "--gray").code == 0
    assert stored("q/train_lmdb")[1] == {(1, 72, 72)}


def make_bad_folders():
    make_pictures("images", 2)
    shutil.copytree("images/circle", "one/circle")
    shutil.copytree("images/circle", "few/circle")
    draw_shape(Path("few/cross/only.png"), False, np.random.default_rng(3))
    shutil.copytree("images", "parts/train")
    shutil.copytree("images", "parts/val")
    Path("none").mkdir()
    Path("full").mkdir()
    Path("full/mine.txt").touch()
    Path("table.csv").touch()
    Path("gone.csv").write_text("1.png,a\n2.png,b\n")
    Path("list.txt").touch()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("p", "one"), "one: has one class, 'circle'; a net tells at least two apart"),
        (("p", "none"), "none: has no class"),
        (("p", "one/circle"), "one/circle: has images, but no folder for each class; a net tells"),
        (("images", "p"), "images: exists, and p does not. The order is DIR IMAGES"),
        (("p", "imagse"), "no such folder or table (in "),
        (("p", "imagse"), "Did you mean images?"),
        (("p", "gone.csv"), "gone.csv: class 'a' has no usable image"),
        (("p", "few"), "few: class 'cross' has 1 usable image; a class needs at least two"),
        (("p", "parts"), "parts: train, val are parts of a data set, not classes"),
        (("p", "missing"), "missing: no such folder or table"),
        (("p", "table.csv"), "table.csv: the table is empty"),
        (("p", "list.txt"), "list.txt: neither a folder nor a table"),
        (("full", "images"), "full: exists already, and is not an empty folder"),
        (("list.txt", "images"), "list.txt: exists already, and is not an empty folder"),
        (("list.txt/p", "images"), "list.txt/p: cannot be written: Not a directory"),
        (("p", "images", "--split=80"), "--split=80: must be the ratio"),
        (("p", "images", "--net=lenett"), "--net=lenett: no such net. Did you mean lenet"),
        (("p", "images", "--net=list.txt"), "list.txt: a net for classes has a data layer"),
        (("p", "images", "--weights=w"), "--weights needs --net"),
        (("p", "images", "--net=lenet", "--weights=w"), "--weights=w: no such file"),
    ],
)
def test_wrong_arguments(command, words, message):
    make_bad_folders()
    result = command("new", *words)
    assert result.code in (1, 2)
    assert message in result.err
    assert not Path("p").exists()


def test_an_empty_folder_is_used_and_left_empty_if_something_fails(command, monkeypatch):
    make_pictures("images", 3)
    Path("p").mkdir()

    def fail(*arguments):
        Path("p/partial").mkdir()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("minicaffe.cli.commands.new._write_data", fail)
        result = command("new", "p", "images")
    assert result.code == 1
    assert "p: cannot be written: No space left on device" in result.err
    assert list(Path("p").iterdir()) == []
    assert command("new", "p", "images").code == 0


@pytest.mark.parametrize("name", KNOWN_NETS)
def test_known_nets_are_adapted_to_the_classes(command, name):
    make_pictures("images", 2)
    make_pictures("more", 2, seed=1)
    shutil.copytree("more/circle", "images/third")
    size = 32 if name in ("cifar10_quick", "cifar10_full") else 0
    assert command("new", "p", "images", f"--net={name}").code == 0
    net = read_net("p/deploy.prototxt").param
    shape = net.layer[0].input_param.shape[0].dim
    assert shape[:2] == [1, 3]
    assert shape[2] == (size or {"lenet": 28}.get(name, shape[2]))
    numbers = [
        getattr(layer, field).num_output
        for layer in net.layer
        for field in ("convolution_param", "inner_product_param")
        if layer.HasField(field)
    ]
    assert numbers.count(3) == (3 if name == "googlenet" else 1)
    assert not {1000, 10} & set(numbers)
    accuracies = [
        layer.accuracy_param.top_k
        for layer in read_net("p/train_val.prototxt").param.layer
        if layer.type == "Accuracy"
    ]
    assert accuracies
    assert set(accuracies) == {1}
    outputs = {top for layer in read_net("p/train_val.prototxt").param.layer for top in layer.top}
    kept = read_solver("p/solver.prototxt").param.keep_best
    assert kept in outputs
    assert "loss1" not in kept


def test_trained_weights_are_kept_but_for_the_scores(command, monkeypatch):
    make_pictures("images", 3)
    make_pictures("grey", 3, mode="L")
    command("new", "first", "grey", "--net=lenet")
    with closing(Net("first/deploy.prototxt", "TEST", seed=5)) as net:
        save_net(net, "trained.caffemodel")
        conv = net.layers[1].blobs[0].data.get()
    result = command("new", "p", "grey", "--net=lenet", "--weights=trained.caffemodel")
    assert result.code == 0
    solver = read_solver("p/solver.prototxt").param
    assert solver.weights[:] == ["../trained.caffemodel"]
    first = read_solver("first/solver.prototxt").param
    assert solver.base_lr == pytest.approx(first.base_lr / 10, rel=0.05)
    monkeypatch.chdir("p")
    scores = read_net("train_val.prototxt").param.layer[-3]
    assert scores.name == "ip2_p"
    assert [spec.lr_mult for spec in scores.param] == [10, 20]
    # LeNet was trained without a mean.
    transform = read_net("train_val.prototxt").param.layer[0].transform_param
    assert (list(transform.mean_value), transform.scale) == ([], pytest.approx(1 / 256, rel=1e-3))
    with closing(Net("deploy.prototxt", "TEST")) as net:
        copy_trained_layers(net, solver.weights[0])
        np.testing.assert_array_equal(net.layers[1].blobs[0].data.get(), conv)


@pytest.mark.parametrize(
    ("n_validation", "test_batch", "test_iter"),
    [(1, 1, 1), (40, 40, 1), (101, 51, 2), (400, 100, 4), (211, 53, 4), (5000, 100, 50)],
)
def test_a_test_reads_every_validation_image(n_validation, test_batch, test_iter):
    plan = TrainingPlan.of(800, n_validation)
    assert (plan.test_batch, plan.test_iter) == (test_batch, test_iter)
    assert 0 <= test_batch * test_iter - n_validation <= 2


@pytest.mark.parametrize(
    ("n_training", "batch", "max_iter"), [(20, 16, 500), (160, 32, 500), (10_000, 64, 4600)]
)
def test_iterations_follow_the_number_of_images(n_training, batch, max_iter):
    plan = TrainingPlan.of(n_training, 10)
    assert (plan.batch, plan.max_iter) == (batch, max_iter)
    assert plan.epochs >= 29
    assert plan.max_iter % plan.test_interval == 0


def test_many_classes_take_one_screen(command):
    rng = np.random.default_rng(2)
    for k in range(30):
        for n in range(2):
            draw_shape(Path(f"images/{k}/{n}.png"), k % 2, rng)
    result = command("new", "p", "images")
    assert result.code == 0
    assert len(result.out.splitlines()) + len(result.err.splitlines()) <= 24
    assert "and 20 more classes, see labels.txt" in result.out
    assert Path("p/labels.txt").read_text().split() == [str(k) for k in range(30)]
