"""convert_weights, and reading and writing the four formats."""

import re
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from minicaffe.cli.main import run_command
from minicaffe.errors import SnapshotError
from minicaffe.schema import LayerBlobs
from minicaffe.weights.files import read_weights_file, write_weights_file

FORMATS = ["caffemodel", "caffemodel.h5", "npz", "safetensors"]
KEEP_TYPES = ["caffemodel", "safetensors"]


@pytest.fixture
def layers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)

    def array(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    return [
        LayerBlobs("inception/conv", "Convolution", [array(3, 2, 5, 1), array(3)]),
        LayerBlobs("file", "InnerProduct", [array(7, 3)]),
        LayerBlobs("bn", "BatchNorm", [array(3), array(3), array(1)]),
    ]


def by_name(layers):
    return {x.name: dict(zip(x.indices, x.blobs, strict=True)) for x in layers}


def assert_equal(found, expected):
    found, expected = by_name(found), by_name(expected)
    assert found.keys() == expected.keys()
    for name, blobs in expected.items():
        assert found[name].keys() == blobs.keys()
        for index, values in blobs.items():
            np.testing.assert_array_equal(found[name][index], values, strict=True)


@pytest.mark.parametrize("old", FORMATS)
@pytest.mark.parametrize("new", FORMATS)
def test_every_format_becomes_every_other(layers, capsys, old, new):
    write_weights_file(f"old.{old}", layers)
    assert run_command("convert_weights", [f"old.{old}", f"new.{new}"]) == 0
    assert capsys.readouterr().out == f"new.{new}: 3 layers, 6 arrays, 61 values\n"
    found = read_weights_file(f"new.{new}")
    assert_equal(found, layers)
    if old in KEEP_TYPES and new in KEEP_TYPES:
        assert [(x.name, x.type) for x in found] == [(x.name, x.type) for x in layers]


def test_names_of_arrays(layers):
    write_weights_file("w.npz", layers)
    write_weights_file("w.h5", layers)
    with np.load("w.npz") as npz:
        assert npz.files[:3] == ["inception/conv/0", "inception/conv/1", "file/0"]
    with h5py.File("w.h5") as hdf5:
        assert "data/inception/conv/1" in hdf5


@pytest.mark.parametrize("suffix", FORMATS[1:])
def test_parameters_of_another_layer_may_be_absent(layers, suffix):
    partial = [LayerBlobs("ip", "", [layers[0].blobs[1]], (1,))]
    write_weights_file(f"w.{suffix}", partial)
    assert_equal(read_weights_file(f"w.{suffix}"), partial)
    with pytest.raises(SnapshotError, match=r'"ip" has parameters 1 only.*Load it with caffe\.Net'):
        write_weights_file("w.caffemodel", read_weights_file(f"w.{suffix}"))
    assert not Path("w.caffemodel").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["w.npz", "w.pth"], r'w\.pth: the extension "\.pth" is not.*\.safetensors\.'),
        (["none.npz", "w.h5"], r"none\.npz: no such file"),
        (["none.safetensors", "w.h5"], r"none\.safetensors: no such file"),
        (["text.npz", "w.h5"], r"text\.npz: cannot be read as \.npz"),
        (["text.safetensors", "w.h5"], r"text\.safetensors: cannot be read as safetensors"),
        (["torch.npz", "w.h5"], r'array "conv1\.weight": names must be LAYER/INDEX'),
        (["strings.npz", "w.h5"], r'array "a/0" is of type <U1, not of numbers'),
        (["one.npz", "w.h5"], r"one\.npz: is one array"),
        (["empty.npz", "w.h5"], r"empty\.npz: contains no weights"),
    ],
)
def test_wrong_files(layers, caplog_minicaffe, arguments, message):
    write_weights_file("w.npz", layers)
    for name in ("text.npz", "text.safetensors"):
        Path(name).write_text("layer { name: 'a' }")
    np.savez("torch.npz", **{"conv1.weight": np.zeros(1)})
    np.savez("strings.npz", **{"a/0": np.array(["x"])})
    np.savez("empty.npz")
    with Path("one.npz").open("wb") as file:
        np.save(file, np.zeros(2))
    caplog_minicaffe.clear()
    assert run_command("convert_weights", arguments) == 1
    (text,) = caplog_minicaffe.messages
    assert re.search(message, text), text
    assert not Path("w.h5").exists()


def test_two_layers_of_one_name(layers):
    with pytest.raises(SnapshotError, match='two layers have the name "bn"'):
        write_weights_file("w.npz", [layers[2], layers[2]])


def test_files_of_other_programs(layers):
    from safetensors.numpy import save_file

    save_file({"b/0": np.zeros((2, 3), np.float16), "a/0": np.ones(2)}, "w.safetensors")
    found = read_weights_file("w.safetensors")
    assert_equal(
        found,
        [
            LayerBlobs("b", "", [np.zeros((2, 3), np.float32)]),
            LayerBlobs("a", "", [np.ones(2, np.float32)]),
        ],
    )
    save_file({"a/0": np.ones(2)}, "w.safetensors", {"layers": "a, b"})
    with pytest.raises(SnapshotError, match='metadata "layers" must be a JSON list'):
        read_weights_file("w.safetensors")


@pytest.mark.parametrize("arguments", [["w.npz", "w.safetensors"], ["o.safetensors", "w.npz"]])
def test_a_missing_package_names_the_extra(layers, caplog_minicaffe, monkeypatch, arguments):
    write_weights_file("w.npz", layers)
    for name in ("safetensors", "safetensors.numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    assert run_command("convert_weights", arguments) == 1
    assert "pip install 'minicaffe[weights]'" in caplog_minicaffe.text
    assert not Path("w.safetensors").exists()


def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICAFFE_MAX_UNPACKED_BYTES", "100000")
    path = tmp_path / "w.npz"
    np.savez_compressed(path, **{"conv1/0": np.zeros(50_000, np.float32)})
    with pytest.raises(SnapshotError, match="200,128 bytes are to be read"):
        read_weights_file(path)
