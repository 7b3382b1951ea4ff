"""import torchvision: architectures, files without torch, normalisation, errors."""

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from minicaffe.cli.main import run_command
from minicaffe.errors import SnapshotError
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers
from minicaffe.torchvision_import.architectures import ARCHITECTURES
from minicaffe.torchvision_import.convert import import_torchvision, sketch_of
from minicaffe.torchvision_import.state_dict import read_state_dict

# Learned parameters, as torchvision's documentation lists them (GoogLeNet without its auxiliary
# classifiers).
COUNTS = {
    "alexnet": 61_100_840,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg11_bn": 132_868_840,
    "vgg13_bn": 133_053_736,
    "vgg16_bn": 138_365_992,
    "vgg19_bn": 143_678_248,
    "googlenet": 6_624_904,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "mobilenet_v2": 3_504_872,
    "densenet121": 7_978_856,
}
LIGHT = ["googlenet", "resnet18", "squeezenet1_0", "squeezenet1_1", "mobilenet_v2", "densenet121"]
FILES = ["w.safetensors", "-o", "n.prototxt", "n.caffemodel"]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def weights(name, classes=1000):
    rng = np.random.default_rng(2)
    arrays = {}
    for key, shape in sketch_of(name, classes).shapes.items():
        if len(shape) > 1:
            values = rng.standard_normal(shape) * np.sqrt(1 / np.prod(shape[1:]))
        else:
            values = rng.uniform(0.5, 1.0, shape)
        arrays[key] = values.astype(np.float32)
    return arrays


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_number_of_parameters(name):
    shapes = sketch_of(name).shapes
    learned = [shape for key, shape in shapes.items() if "running" not in key]
    assert sum(int(np.prod(shape)) for shape in learned) == COUNTS[name]


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=[] if x in LIGHT else pytest.mark.slow) for x in ARCHITECTURES]
)
def test_every_architecture_runs(name, capsys):
    save_file(weights(name, 10), "w.safetensors")
    assert run_command("import", ["torchvision", name, *FILES]) == 0
    assert "BGR, values from 0 to 255" in capsys.readouterr().out
    net = Net("n.prototxt", "TEST", fills=True, seed=1)
    copy_trained_layers(net, "n.caffemodel")
    net.blobs["data"].data.set(np.full((1, 3, 224, 224), 100, np.float32))
    net.forward()
    (prob,) = net.outputs
    assert prob.name == "prob"
    assert prob.data.get().size == 10
    np.testing.assert_allclose(prob.data.get().sum(), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "mean", "deviation"),
    [
        ("squeezenet1_1", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("googlenet", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ],
)
def test_bgr_bytes_give_what_normalised_rgb_gives(name, mean, deviation):
    arrays = weights(name, 10)
    save_file(arrays, "w.safetensors")
    param, layers = import_torchvision(name, "w.safetensors")
    image = np.random.default_rng(3).integers(0, 256, (3, 7, 7)).astype(np.float32)  # BGR
    rgb = (image[::-1] / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(deviation, (3, 1, 1))
    blobs = {layer.name: layer.blobs for layer in layers}
    factor, shift = blobs["normalize"]
    normalised = image * factor[:, None, None] + shift[:, None, None]
    first = next(layer.name for layer in param.layer if "normalized" in layer.bottom)
    filters = arrays[f"{first}.weight"]
    k = filters.shape[-1]
    found = np.sum(blobs[first][0] * normalised[:, :k, :k], (1, 2, 3))
    np.testing.assert_allclose(found, np.sum(filters * rgb[:, :k, :k], (1, 2, 3)), rtol=1e-3)


class _Storage:
    def __init__(self, key, values):
        self.key, self.values = key, values


class _Pickler(pickle.Pickler):
    def persistent_id(self, item):
        if isinstance(item, _Storage):
            kind = {"f": "FloatStorage", "i": "LongStorage"}[item.values.dtype.kind]
            return (
                "storage",
                getattr(sys.modules["torch"], kind),
                item.key,
                "cpu",
                item.values.size,
            )
        return None


class _Tensor:
    def __init__(self, storage, offset, shape, strides):
        self.given = storage, offset, shape, strides, False, OrderedDict()

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.given


@pytest.fixture
def save_pth(monkeypatch):
    """A function that writes a file as torch.save does."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for kind in ("FloatStorage", "LongStorage"):
        setattr(torch, kind, type(kind, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2():
        raise NotImplementedError

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    def save(content, storages, path="w.pth"):
        file = io.BytesIO()
        _Pickler(file, 2).dump(content)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", file.getvalue())
            for storage in storages:
                archive.writestr(f"archive/data/{storage.key}", storage.values.tobytes())

    return save


def test_pth(save_pth):
    storage = _Storage("0", np.arange(12, dtype=np.float32))
    counter = _Storage("1", np.array([7]))
    content = OrderedDict(
        a=_Tensor(storage, 0, (3, 4), (4, 1)),
        transposed=_Tensor(storage, 2, (2, 2), (1, 4)),
        n=_Tensor(counter, 0, (), ()),
    )
    save_pth({"epoch": 3, "state_dict": content}, [storage, counter])
    found = read_state_dict("w.pth")
    np.testing.assert_array_equal(found["a"], storage.values.reshape(3, 4))
    np.testing.assert_array_equal(found["transposed"], [[2, 6], [3, 7]])
    assert found["n"] == 7


def test_files_that_do_more_than_build_arrays_are_refused(save_pth):
    save_pth({"a": Path("x")}, [])
    with pytest.raises(SnapshotError, match=r"w.pth: contains pathlib\..*Path, which is no tensor"):
        read_state_dict("w.pth")


@pytest.mark.parametrize(
    ("offset", "shape", "strides"), [(10, (3,), (1,)), (0, (3, 3), (9, 1)), (0, (2,), (-1,))]
)
def test_tensors_larger_than_their_storage(save_pth, offset, shape, strides):
    storage = _Storage("0", np.zeros(12, np.float32))
    save_pth({"a": _Tensor(storage, offset, shape, strides)}, [storage])
    with pytest.raises(SnapshotError, match="larger than its storage"):
        read_state_dict("w.pth")


@pytest.mark.parametrize(
    ("content", "message"), [([1, 2], "is not a state dict"), ({"a": 1}, "is not a state dict")]
)
def test_other_content(save_pth, content, message):
    save_pth(content, [])
    with pytest.raises(SnapshotError, match=message):
        read_state_dict("w.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv1.weight": None}, '"conv1.weight" is missing'),
        ({"bn1.bias": np.zeros(3)}, r'"bn1.bias" must have the shape \(64,\), it is \(3,\)'),
        ({"extra": np.zeros(3)}, '"extra" has no place in this architecture'),
    ],
)
def test_wrong_weights(change, message):
    arrays = {**weights("resnet18", 10), **change}
    save_file({key: x for key, x in arrays.items() if x is not None}, "w.safetensors")
    with pytest.raises(SnapshotError, match=f"w.safetensors: weights of resnet18: {message}"):
        import_torchvision("resnet18", "w.safetensors")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["torchvision", "resnet", *FILES], 2, "no architecture resnet. Did you mean resnet"),
        (["torchvision", *FILES], 2, "torchvision takes NAME FILE WEIGHTS; these are 2 arguments"),
        (["torchvision", "resnet18", *FILES, "--check"], 2, "--dialect and --check are for onnx"),
        (["torchvision", "resnet18", "no.pth", *FILES[1:]], 1, "no.pth: no such file"),
        (["torchvision", "resnet18", "text.pth", *FILES[1:]], 1, "PyTorch 1.6 or newer"),
    ],
)
def test_errors(capfd, arguments, code, message):
    Path("text.pth").write_text("no zip")
    assert run_command("import", arguments) == code
    assert message in capfd.readouterr().err
