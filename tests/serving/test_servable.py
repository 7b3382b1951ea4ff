"""Trained nets as the service uses them."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from image_nets import save_random_weights, write_image_nets
from minicaffe.backends import get_backend
from minicaffe.errors import NetError, OutOfMemory
from minicaffe.prediction import (
    DeployedNet,
    ModelFiles,
    PixelValues,
    open_deployed_net,
    open_image_model,
)
from minicaffe.serving.description import DescribedModel, ModelDescription
from minicaffe.serving.errors import RequestRefused
from minicaffe.serving.servable import NetServable

RECURRENT = """layer { name: "x" type: "Input" top: "x"
  input_param { shape { dim: 3 dim: 1 dim: 2 } } }
layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 3 dim: 1 } } }
layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "h"
  recurrent_param { num_output: 4 weight_filler { type: "uniform" min: -1 max: 1 } } }
"""
# Subtracts the mean over the samples.
ACROSS_SAMPLES = """layer { name: "x" type: "Input" top: "x"
  input_param { shape { dim: 5 dim: 3 } } }
layer { name: "y" type: "BatchNorm" bottom: "x" top: "y"
  batch_norm_param { use_global_stats: false } }
"""


@pytest.fixture(autouse=True)
def _nets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image_nets(tmp_path)
    for name, text in (("recurrent", RECURRENT), ("across", ACROSS_SAMPLES)):
        Path(f"{name}.prototxt").write_text(text)
        save_random_weights(Path(f"{name}.prototxt"), Path(f"{name}.caffemodel"), 2)


def arrays_only(name, max_batch=8):
    return closing(
        NetServable(
            open_deployed_net(ModelFiles(f"{name}.caffemodel", f"{name}.prototxt"), get_backend()),
            max_batch=max_batch,
        )
    )


@pytest.mark.parametrize("max_batch", [1, 2, 3, 8])
def test_values_do_not_depend_on_the_batch(max_batch):
    files = ModelFiles("classes.caffemodel", "classes.prototxt")
    rng = np.random.default_rng(1)
    with (
        closing(open_image_model(files, get_backend())) as model,
        closing(
            NetServable(open_deployed_net(files, get_backend()), max_batch=max_batch)
        ) as servable,
    ):
        spec = servable.inputs[0]
        assert (spec.name, spec.shape) == ("data", (-1, 3, 6, 9))
        for n in (1, 5, 2, 13, 8):
            x = rng.normal(0, 50, (n, 3, 6, 9)).astype(np.float32)
            found = servable.infer({"data": x}, ["prob"])["prob"]
            expected = [model.net.infer({"data": x[k : k + 1]}, ["prob"])["prob"] for k in range(n)]
            assert found.shape == (n, 3)
            np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-5)


def test_batches_that_do_not_fit_into_memory_are_not_computed(monkeypatch, caplog):
    whole = DeployedNet.infer

    def infer(self, inputs, wanted):
        if len(next(iter(inputs.values()))) > 2:
            raise OutOfMemory("too large")
        return whole(self, inputs, wanted)

    with arrays_only("classes") as servable:
        x = np.random.default_rng(1).normal(0, 50, (5, 3, 6, 9)).astype(np.float32)
        expected = servable.infer({"data": x}, ["prob"])["prob"]
    monkeypatch.setattr(DeployedNet, "infer", infer)
    with arrays_only("classes") as servable:
        found = servable.infer({"data": x}, ["prob"])["prob"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert "classes.prototxt: batches have at most 2: too large" in caplog.text


@pytest.mark.parametrize(
    ("name", "shapes"), [("recurrent", [(3, 1, 2), (3, 1)]), ("across", [(5, 3)])]
)
def test_samples_that_depend_on_each_other_are_not_batched(name, shapes):
    with arrays_only(name) as servable:
        assert not servable.batches
        assert [spec.shape for spec in servable.inputs] == shapes
        assert arrays_of(servable).keys() == {servable.outputs[0].name}


def arrays_of(servable):
    inputs = {spec.name: np.ones(spec.shape, np.float32) for spec in servable.inputs}
    return servable.infer(inputs, [spec.name for spec in servable.outputs])


def test_a_net_without_answers_for_images_takes_arrays(caplog):
    source = DescribedModel(
        ModelDescription("recurrent.caffemodel", "recurrent.prototxt"), get_backend(), 4
    )
    with closing(source.open_servable()) as servable:
        assert servable.image_model is None
    assert "recurrent.caffemodel: served for arrays only, not for images" in caplog.text


def test_settings_of_images_need_a_net_for_images():
    for settings in ({"mean": "1,2"}, {"input_scale": 0.5}):
        given = ModelDescription("classes.caffemodel", "recurrent.prototxt", **settings)
        with pytest.raises(NetError):
            DescribedModel(given, get_backend(), 4).open_servable()


def test_objects_are_found_one_image_at_a_time():
    files = ModelFiles("objects.caffemodel", "objects_deploy.prototxt", values=PixelValues())
    model = open_image_model(files, get_backend())
    with closing(NetServable(model.net, model, 8)) as servable:
        assert not servable.batches
        assert servable.image_model is model


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "the description of the model must be a JSON object"),
        ("{", "no JSON"),
        ("{}", 'a model needs "weights"'),
        ('{"weights": ""}', 'a model needs "weights"'),
        ('{"weights": "w", "means": "1"}', 'no setting "means" of a model. Did you mean mean?'),
        ('{"weights": "w", "mean": 3}', '"mean" of a model is of type str'),
        ('{"weights": "w", "input_scale": true}', '"input_scale" of a model is of type float'),
    ],
)
def test_wrong_descriptions(text, message):
    with pytest.raises(RequestRefused) as error:
        ModelDescription.of_json(text)
    assert message in str(error.value)
