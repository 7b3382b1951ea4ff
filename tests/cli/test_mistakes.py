"""Mistakes of new users: each ends with its exit code and a message with what to change.

`test_wrong_input` has further ones, and those of single commands are in the tests of the commands.
"""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from class_folders import make_pictures
from minicaffe.cli.main import main

NET = """name: "first"
layer {
  name: "images" type: "Data" top: "data" top: "label"
  transform_param { mean_file: "mean.binaryproto" scale: 0.00390625 }
  data_param { source: "train_lmdb" backend: LMDB batch_size: 8 }
}
layer {
  name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 5 weight_filler { type: "xavier" } }
}
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 } }
layer {
  name: "scores" type: "InnerProduct" bottom: "pool" top: "scores"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } }
}
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "label" top: "loss" }
"""
SOLVER = """net: "net.prototxt"
base_lr: 0.01 momentum: 0.9
lr_policy: "step" gamma: 0.1 stepsize: 1000
display: 2 max_iter: 4 snapshot: 2 snapshot_prefix: "first"
"""
TRAIN = "train solver.prototxt --no_run"
CLASSIFY = "mean.binaryproto labels.txt images/cross/000.png"
ONE_LINE = 2000  # characters; known names are listed in full


NAMES = ("circle", "cross")


def _prepare():
    make_pictures("images", 6, size=(30, 30))
    names = [f"{c}/{k:03d}.png {label}" for k in range(6) for label, c in enumerate(NAMES)]
    Path("train.txt").write_text("\n".join(names))
    Path("ones.txt").write_text("\n".join(n.replace(" 1", " 2").replace(" 0", " 1") for n in names))
    Path("labels.txt").write_text("\n".join(NAMES))
    Path("three.txt").write_text("a\nb\nc\n")
    Path("empty.txt").write_text("")
    for k, side in enumerate((20, 21)):
        Image.new("RGB", (20, side), (9, k, 0)).save(f"images/{side}.png")
    Path("mixed.txt").write_text("20.png 0\n21.png 1\n")
    Path("net.prototxt").write_text(NET)
    Path("solver.prototxt").write_text(SOLVER)
    for words in (
        "convert_imageset images/ train.txt train_lmdb",
        "convert_imageset images/ ones.txt ones_lmdb",
        "convert_imageset images/ mixed.txt mixed_lmdb",
        "convert_imageset --resize_height=9 --resize_width=9 images/ train.txt small_lmdb",
        "convert_imageset --backend=leveldb images/ train.txt train_leveldb",
        "compute_image_mean train_lmdb mean.binaryproto",
        "compute_image_mean small_lmdb small.binaryproto",
        "train solver.prototxt --run=runs/first-1",
        "deploy net.prototxt -o deploy.prototxt",
    ):
        assert main(words.split()) == 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with images, databases, nets and the weights of a training."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _prepare()
    return folder


@pytest.fixture
def make_mistake(finished, tmp_path, monkeypatch, run):
    """A function that changes a copy of the folder, and runs a command in it.

    Changes are {file: (text, new text)}; without a text, the new one is appended.
    """
    folder = tmp_path / "project"
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)

    def change_and_run(words, changes):
        for name, (old, new) in changes.items():
            text = Path(name).read_text()
            assert old is None or old in text
            Path(name).write_text(text + new if old is None else text.replace(old, new))
        return run(*words.split())

    return change_and_run


def net(old, new):
    """Return a change of the net."""
    return {"net.prototxt": (old, new)}


def solver(old, new):
    """Return a change of the solver."""
    return {"solver.prototxt": (old, new)}


MIXED = (
    'mean_file: "mean.binaryproto" scale: 0.00390625 }\n  data_param { source: "train_lmdb"',
    '}\n  data_param { source: "mixed_lmdb"',
)
LABELS = 'bottom: "scores" bottom: "label"'
LOSS = NET.splitlines()[-1]

# Name, command, changes, exit code, parts of the message.
MISTAKES = [
    ("solver path", "train solvr.prototxt", {}, 1, ["no such file", "mean solver.prototxt?"]),
    (
        "net path",
        TRAIN,
        solver("net.prototxt", "nett.prototxt"),
        1,
        ['solver.prototxt:1: net: "nett.prototxt" does not exist in', "Did you mean net.prototxt?"],
    ),
    (
        "no database",
        TRAIN,
        net("train_lmdb", "trian_lmdb"),
        1,
        [
            'net.prototxt:2, layer "images" (Data): trian_lmdb',
            "mean train_lmdb",
            "convert_imageset",
        ],
    ),
    (
        "few outputs",
        TRAIN,
        net("num_output: 2", "num_output: 1"),
        1,
        ["label 1 of sample", "train_lmdb", 'to 2 or more in net.prototxt:12, layer "scores"'],
    ),
    ("bottom", TRAIN, net('bottom: "conv"', 'bottom: "convv"'), 1, ["Did you mean conv?"]),
    ("type", TRAIN, net('"Convolution"', '"Convolutoin"'), 1, ["Did you mean Convolution"]),
    (
        "field",
        TRAIN,
        net("num_output: 4", "num_outputs: 4"),
        1,
        ["net.prototxt:9:23", "Did you mean num_output?"],
    ),
    ("no loss", TRAIN, net(LOSS, ""), 0, ["has no loss. Add a layer such as SoftmaxWithLoss"]),
    (
        "other phase",
        TRAIN,
        net('"label"\n', '"label" include { phase: TEST }\n'),
        1,
        ['Layer "images" (net.prototxt:2) makes it, but its include or exclude rule'],
    ),
    (
        "mean of other size",
        TRAIN,
        net("mean.binaryproto", "small.binaryproto"),
        1,
        ["the mean is 3 x 9 x 9 and the image 3 x 30 x 30", "Run compute_image_mean"],
    ),
    (
        "no mean",
        TRAIN,
        net("mean.binaryproto", "men.binaryproto"),
        1,
        ["Did you mean mean.binaryproto?", "Make one with compute_image_mean"],
    ),
    (
        "weights as snapshot",
        f"{TRAIN} --snapshot=first_iter_2.caffemodel",
        {},
        1,
        ["Resume from the .solverstate beside it, or start from these weights with --weights"],
    ),
    (
        "no snapshot",
        f"{TRAIN} --snapshot=first_iter_3.solverstate",
        {},
        1,
        ["Did you mean first_iter_4.solverstate or first_iter_2.solverstate?"],
    ),
    ("no weights", f"{TRAIN} --weights=first.caffemodel", {}, 1, ["first_iter_4.caffemodel"]),
    (
        "other weights",
        f"{TRAIN} --weights=first_iter_2.caffemodel",
        net("num_output: 2", "num_output: 3"),
        1,
        ['layer "scores"', "rename it"],
    ),
    (
        "labels from 1",
        "convert_imageset images/ ones.txt new_lmdb",
        {},
        0,
        ["no image has label 0: labels begin with 0. Subtract 1"],
    ),
    (
        "training with labels from 1",
        TRAIN,
        net("train_lmdb", "ones_lmdb"),
        1,
        ["label 2", "Labels begin with 0: subtract 1 from all if these begin with 1"],
    ),
    (
        "no images",
        "convert_imageset imagez/ train.txt new_lmdb",
        {},
        1,
        ["none of the 12 images could be read; is ROOTFOLDER 'imagez/' correct?"],
    ),
    ("empty list", "convert_imageset images/ empty.txt new_lmdb", {}, 1, ["the list is empty"]),
    ("no list", "convert_imageset images/ trian.txt new_lmdb", {}, 1, ["mean train.txt"]),
    (
        "list without labels",
        "convert_imageset images/ labels.txt new_lmdb",
        {},
        1,
        ["labels.txt:1: 'circle'; a line is a path, a space and a label"],
    ),
    (
        "database exists",
        "convert_imageset images/ train.txt train_lmdb",
        {},
        1,
        ["never overwritten", "rm -r train_lmdb"],
    ),
    (
        "mixed sizes",
        TRAIN,
        net(*MIXED),
        1,
        [
            "mixed_lmdb, key '00000001_21.png': the image is 3 x 21 x 20",
            "Use crop_size or batch_size",
        ],
    ),
    (
        "converted mixed sizes",
        "convert_imageset images/ mixed.txt new_lmdb",
        {},
        0,
        ["1 of 3 x 20 x 20, 1 of 3 x 21 x 20. A batch has one: convert with --resize_height"],
    ),
    (
        "mean of mixed sizes",
        "compute_image_mean mixed_lmdb m.binaryproto",
        {},
        1,
        ["a mean needs one size. Convert with --resize_height and --resize_width"],
    ),
    ("backend", TRAIN, net("backend: LMDB ", ""), 1, ["Write backend: LMDB in data_param"]),
    ("other backend", TRAIN, net("train_lmdb", "train_leveldb"), 1, ["Write backend: LEVELDB"]),
    ("policy", TRAIN, solver('"step"', '"stepp"'), 1, ["solver.prototxt:3", "Did you mean step?"]),
    ("no policy", TRAIN, solver('lr_policy: "step"', ""), 1, ["lr_policy is missing. Known:"]),
    (
        "diverges",
        TRAIN,
        solver("0.01", "1e30"),  # the product of two updated weights exceeds float32
        1,
        ["the rate is too high (lr = 1e+30): lower base_lr", "no snapshot is written"],
    ),
    ("no test_iter", TRAIN, solver(None, "test_interval: 2"), 0, ["Add test_iter"]),
    (
        "tests of training data",
        TRAIN,
        solver(None, "test_interval: 2 test_iter: 1"),
        0,
        ["tests score the training data. Add include { phase: TRAIN }"],
    ),
    (
        "one brace more",
        TRAIN,
        net('"xavier" } }\n}\nlayer { name: "pool"', '"xavier" } }\n}}\n{'),
        1,
        ['net.prototxt:10:2: "}" closes no block: there is one too many'],
    ),
    (
        "one brace less",
        TRAIN,
        net('"xavier" } }\n}\nlayer { name: "pool"', '"xavier" }\n}\nlayer {'),
        1,
        ['Is a "}" missing? The block of line 9 is still open'],
    ),
    ("test without weights", "test --model=net.prototxt", {}, 2, ["missing: --weights=FILES"]),
    (
        "snapshot as weights",
        "test --model=net.prototxt --weights=first_iter_2.solverstate",
        {},
        1,
        ["use the .caffemodel next to it"],
    ),
    (
        "training net to classify",
        f"classification net.prototxt first_iter_4.caffemodel {CLASSIFY}",
        {},
        1,
        ["minicaffe deploy net.prototxt writes it"],
    ),
    ("net as solver", "train net.prototxt", {}, 1, ["This looks like a net; a solver is needed"]),
    (
        "solver as net",
        "test --model=solver.prototxt --weights=first_iter_4.caffemodel",
        {},
        1,
        ["This looks like a solver; a net is needed here"],
    ),
    (
        "large kernel",
        TRAIN,
        net("kernel_size: 5", "kernel_size: 95"),
        1,
        ['bottom "data" has images of (30, 30)', "Set a smaller kernel_size or a larger pad"],
    ),
    ("filler", TRAIN, net('"xavier"', '"xaviar"'), 1, ["Did you mean xavier?"]),
    (
        "swapped bottoms",
        TRAIN,
        net(LABELS, 'bottom: "label" bottom: "scores"'),
        1,
        ['layer "loss"', "in this order: x (N, K, ...), labels (N, ...)"],
    ),
    (
        "no label",
        TRAIN,
        net(LABELS, 'bottom: "scores"'),
        1,
        ["has 1 bottom; SoftmaxWithLoss takes exactly 2: x (N, K, ...), labels (N, ...)"],
    ),
    ("prefix", TRAIN, solver('"first"', '"/proc/x/first"'), 1, ["Give a writable folder"]),
    ("argument too many", f"{TRAIN} net.prototxt", {}, 2, ['"net.prototxt" is one argument too']),
    (
        "weights without flag",
        "test --model=net.prototxt x.caffemodel --weights=",
        {},
        2,
        ["Did you mean --weights=x.caffemodel?"],
    ),
    ("net without flag", "time net.prototxt", {}, 2, ["Did you mean --model=net.prototxt?"]),
    (
        "no number",
        "time --model=net.prototxt --iterations=abc",
        {},
        2,
        ["'abc' is no whole number"],
    ),
    (
        "class names",
        f"classification deploy.prototxt first_iter_4.caffemodel {CLASSIFY}".replace(
            "labels.txt", "three.txt"
        ),
        {},
        1,
        ["3 labels, but the net tells 2 classes apart"],
    ),
    (
        "large batch",
        TRAIN,
        net("batch_size: 8", "batch_size: 900000"),
        1,
        ['net.prototxt:2, layer "images"', "Make the sizes that it is computed from smaller"],
    ),
    (
        "forgotten scale",
        f"classification deploy.prototxt first_iter_4.caffemodel {CLASSIFY}",
        {},
        0,
        ["trains with scale 0.00390625", "the scores will be wrong. minicaffe predict"],
    ),
    (
        "forgotten mean",
        "classify --model_def=deploy.prototxt --pretrained_model=first_iter_4."
        "caffemodel --images_dim=30,30 --center_only images/cross/000.png o.npy",
        {},
        0,
        ["trains with scale 0.00390625", "the scores will be wrong. minicaffe predict"],
    ),
    # Mistakes of the same kinds elsewhere.
    (
        "mean as weights",
        "test --model=net.prototxt --weights=mean.binaryproto",
        {},
        1,
        ["is a mean image and contains no weights"],
    ),
    ("run as solver", "train runs/first-1", {}, 1, ["is a folder", "It contains last.caffemodel"]),
    (
        "image to predict",
        "predict runs/first-1 images/cross/0000.png",
        {},
        1,
        ["Did you mean images/cross/000.png"],
    ),
    (
        "net as ONNX",
        "import onnx net.prototxt w.caffemodel --output=o.prototxt",
        {},
        1,
        ["net.prototxt: cannot be read as ONNX; probably it is another file"],
    ),
    (
        "kind of database",
        "convert_imageset --backend=sqlite images/ train.txt new_lmdb",
        {},
        1,
        ["backend sqlite: no such kind of database. Known: LEVELDB, LMDB"],
    ),
    ("run", "predict runs/first-2 images/cross/000.png", {}, 1, ["Did you mean runs/first-1?"]),
    (
        "weights of test",
        "test --model=net.prototxt --weights=runs/frist-1/last",
        {},
        1,
        ["There is no folder runs/frist-1. Did you mean runs/first-1?"],
    ),
    ("net to draw", "draw nett.prototxt x.svg", {}, 1, ["Did you mean net.prototxt?"]),
    ("database to show", "db info trian_lmdb", {}, 1, ["Did you mean train_lmdb"]),
    (
        "action of db",
        "db inof train_lmdb",
        {},
        2,
        ["inof: neither an action nor a folder. Did you mean info?"],
    ),
    ("command", "hlep", {}, 2, ["no command hlep. Did you mean help?"]),
    ("short flag", "db show train_lmdb -p x.png", {}, 2, ["Did you mean --parts?"]),
    ("format", "predict runs/first-1 images --format=jsno", {}, 2, ["Did you mean json?"]),
    (
        "list of layer",
        TRAIN,
        net(
            'type: "Data"',
            'type: "ImageData" image_data_param { source: "trian.txt" batch_size: 2 }',
        ),
        1,
        ["Did you mean train.txt?"],
    ),
    (
        "accuracy swapped",
        TRAIN,
        net(
            None,
            'layer { name: "acc" type: "Accuracy" bottom: "label" bottom: "scores" top: "acc" }',
        ),
        1,
        ["Bottoms of Accuracy, in this order"],
    ),
    (
        "one bottom",
        TRAIN,
        net(None, 'layer { name: "sum" type: "Eltwise" bottom: "conv" top: "s" }'),
        1,
        ["has 1 bottom; Eltwise takes at least 2: x (...), z (...)"],
    ),
    (
        "other loss",
        TRAIN,
        net('"SoftmaxWithLoss"', '"SigmoidCrossEntropyLoss"'),
        1,
        ["Bottoms of SigmoidCrossEntropyLoss, in this order: x (N, ...), targets (N, ...)"],
    ),
    ("import", "import onnx net.onx w.caffemodel --output=o.prototxt", {}, 1, ["no such file"]),
    (
        "export",
        "export onnx deploy.prototxt first_iter_3.caffemodel",
        {},
        1,
        ["Did you mean first_iter_4.caffemodel or first_iter_2.caffemodel?"],
    ),
    ("convert", "convert_weights first_iter_3.npz x.caffemodel", {}, 1, ["no such file"]),
    (
        "fuse",
        "fuse deploy.prototxt first.caffemodel f.caffemodel --output=f.prototxt",
        {},
        1,
        ["no such file"],
    ),
    (
        "quantize",
        "quantize --model=net.prototx --weights=first_iter_4.caffemodel",
        {},
        1,
        ["Did you mean net.prototxt"],
    ),
    ("find_lr", "find_lr net.prototxt", {}, 1, ["This looks like a net; a solver is needed"]),
    ("report", "report first-2", {}, 1, ["Did you mean first-1?"]),
    ("compare runs", "runs first-1 frist-2", {}, 1, ["Did you mean first-1?"]),
    ("override", f"{TRAIN} --set base_lrr=1", {}, 2, ["Did you mean base_lr?"]),
    ("type of override", f"{TRAIN} --set base_lr=abc", {}, 2, ['"base_lr" takes a number']),
    ("layer of override", f"{TRAIN} --set net.layer[convv].name=x", {}, 2, ["Did you mean conv?"]),
]


@pytest.mark.parametrize(
    ("words", "changes", "code", "parts"),
    [mistake[1:] for mistake in MISTAKES],
    ids=[mistake[0] for mistake in MISTAKES],
)
def test_each_mistake_is_explained(make_mistake, words, changes, code, parts):
    result = make_mistake(words, changes)
    assert result.code == code, result.err
    messages = "\n".join(result.errors if code != 2 else result.plain)
    for part in parts:
        assert part in messages
    assert "Traceback" not in result.err
    assert all(len(line) < ONE_LINE for line in messages.splitlines())


@pytest.mark.parametrize("page", ["README.md", "README.ko.md"])
def test_the_errors_that_the_readme_shows(make_mistake, page):
    shown = " ".join((Path(__file__).parents[2] / page).read_text("utf-8").split())
    for change in (
        net('bottom: "conv" top', 'bottom: "convv" top'),
        net("train_lmdb", "ones_lmdb") | solver("display: 2", "display: 1"),
    ):
        result = make_mistake(TRAIN, change)
        assert result.code == 1
        assert result.errors[-1] in shown
        Path("net.prototxt").write_text(NET)
