import sys

import numpy as np
import pytest

import caffe

LAYERS = '''
import json

import caffe
import numpy as np


class Scale(caffe.Layer):
    """y = w * x, with one learned number."""

    def setup(self, bottom, top):
        self.settings = json.loads(self.param_str)
        self.same = self.param_str == self.param_str_
        self.blobs.add_blob(1)
        self.blobs[0].data[...] = self.settings["scale"]
        self.calls = []

    def reshape(self, bottom, top):
        self.calls.append("reshape")
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        self.calls.append("forward")
        top[0].data[...] = self.blobs[0].data * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        self.propagate_down = propagate_down
        self.blobs[0].diff[...] += (top[0].diff * bottom[0].data).sum()
        if propagate_down[0]:
            bottom[0].diff[...] = self.blobs[0].data * top[0].diff


class Source(caffe.Layer):
    """A data layer with batches of different sizes."""

    def setup(self, bottom, top):
        self.number = 0

    def reshape(self, bottom, top):
        self.values = np.full((self.number + 2, 3), self.number, np.float32)
        top[0].reshape(*self.values.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.values
        self.number += 1

    def backward(self, top, propagate_down, bottom):
        pass


class Phase(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].data[()] = self.phase


class Negative(Phase):
    def reshape(self, bottom, top):
        top[0].reshape(-1, 2)


class Broken(Phase):
    def forward(self, bottom, top):
        raise ZeroDivisionError("my own mistake")


number = 3
'''


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """A user's module in the current folder."""
    (tmp_path / "my_layers.py").write_text(LAYERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    monkeypatch.delitem(sys.modules, "my_layers", raising=False)
    yield "my_layers"
    sys.modules.pop("my_layers", None)


def python(cls, more="", param_str="", module="my_layers"):
    return (
        f'layer {{ name: "mine" type: "Python" top: "y" {more} python_param {{ '
        f"module: '{module}' layer: '{cls}' param_str: '{param_str}' }} }}"
    )


INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'
SCALE = INPUT + python("Scale", 'bottom: "x" loss_weight: 1', '{"scale": 5}')


def test_parameters_and_gradients(user_module, write):
    net = caffe.Net(write("force_backward: true " + SCALE), caffe.TRAIN)
    assert list(net.params) == ["mine"]
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(net.forward(x=x)["y"], 5 * x)
    net.blobs["y"].diff[...] = 2
    np.testing.assert_allclose(net.backward()["x"], 10)
    np.testing.assert_allclose(net.params["mine"][0].diff, [30])
    assert net.layers[1].propagate_down == [True]
    assert net.layers[1].same


def test_layers_contains_the_users_object(user_module, write):
    net = caffe.Net(write(SCALE), caffe.TRAIN)
    layer = net.layers[1]
    assert type(layer).__name__ == "Scale"
    assert isinstance(layer, caffe.Layer)
    assert layer.type == "Python"
    assert net.layer_dict["mine"] is layer
    layer.calls.clear()
    net.forward()
    assert layer.calls == ["reshape", "forward"]


def test_parameters_are_saved_and_shared(user_module, write, tmp_path):
    path = write(SCALE)
    net = caffe.Net(path, caffe.TRAIN)
    net.params["mine"][0].data[...] = 8
    net.save(str(tmp_path / "a.caffemodel"))
    other = caffe.Net(path, caffe.TRAIN, weights=str(tmp_path / "a.caffemodel"))
    assert other.params["mine"][0].data == [8]


def test_a_data_layer_may_change_its_shape_in_every_pass(user_module, write):
    text = python("Source") + 'layer { name: "r" type: "ReLU" bottom: "y" top: "z" }'
    net = caffe.Net(write(text), caffe.TRAIN)
    for number in range(3):
        out = net.forward()["z"]
        assert out.shape == (number + 2, 3)
        assert (out == number).all()


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_phase(user_module, write, phase):
    assert caffe.Net(write(python("Phase")), phase).forward()["y"] == phase


def test_exceptions_of_the_user_are_raised_with_the_name_of_the_layer(user_module, write):
    net = caffe.Net(write(python("Broken")), caffe.TEST)
    with pytest.raises(ZeroDivisionError, match="my own mistake") as error:
        net.forward()
    (note,) = error.value.__notes__
    assert note.endswith('layer "mine" (Python): raised in my_layers.Broken.forward')
    assert error.traceback[-1].path.name == "my_layers.py"


def test_errors_in_reshape_name_the_layer(user_module, write):
    message = (
        r'blob "y": cannot reshape to \(-1, 2\).*\n.*layer "mine" .* my_layers.Negative.reshape'
    )
    with pytest.raises(RuntimeError, match=message):
        caffe.Net(write(python("Negative")), caffe.TEST)


def test_a_missing_method_raises_an_error(user_module, write):
    net = caffe.Net(write("force_backward: true " + INPUT + python("Phase", 'bottom: "x"')), 0)
    with pytest.raises(NotImplementedError, match=r"Phase has no backward\(self, top, propagate"):
        net.backward()


@pytest.mark.parametrize(
    ("cls", "module", "message"),
    [
        ("Scal", "my_layers", r'my_layers.py has no class "Scal". Did you mean Scale'),
        ("number", "my_layers", r'has no class "number"'),
        ("X", "my_layerz", r'there is no module "my_layerz" in .* or its folder into PYTHONPATH'),
        ("X", "my_layers.inner", r'no module "my_layers.inner" .* put my_layers/inner.py '),
        ("", "my_layers", r"python_param must name a class"),
    ],
)
def test_a_missing_module_or_class_is_refused(user_module, write, cls, module, message):
    with pytest.raises(RuntimeError, match=message):
        caffe.Net(write(python(cls, module=module)), caffe.TEST)


def test_a_module_that_fails_to_import_raises_its_error(user_module, write, tmp_path):
    (tmp_path / "half_module.py").write_text("import not_installed_here\n")
    with pytest.raises(ModuleNotFoundError, match="not_installed_here") as error:
        caffe.Net(write(python("X", module="half_module")), caffe.TEST)
    assert 'while importing module "half_module"' in error.value.__notes__[0]
    (tmp_path / "bad_module.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError) as error:
        caffe.Net(write(python("X", module="bad_module")), caffe.TEST)
    assert 'while importing module "bad_module"' in error.value.__notes__[0]


@pytest.mark.parametrize(("value", "is_disabled"), [("1", True), ("0", False), ("", False)])
def test_an_environment_variable_disables_python_layers(
    write, tmp_path, monkeypatch, value, is_disabled
):
    (tmp_path / "hostile_layers.py").write_text("import pathlib\npathlib.Path('ran').touch()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINICAFFE_NO_PYTHON_LAYERS", value)
    path = write(
        'layer { name: "h" type: "Python" top: "x" python_param { module: "hostile_layers" '
        'layer: "Hostile" } }'
    )
    message = "disabled by the environment variable MINICAFFE_NO_PYTHON_LAYERS; this one would run"
    with pytest.raises(RuntimeError, match=message if is_disabled else "has no class"):
        caffe.Net(path, caffe.TEST)
    assert (tmp_path / "ran").exists() is not is_disabled
    sys.modules.pop("hostile_layers", None)
