"""Trained nets that answer for images: the kind of model follows from the net."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from image_nets import NETS, picture, write_image_nets
from minicaffe.backends import get_backend
from minicaffe.data.image import decode_image
from minicaffe.data.pixels.resizing import resize
from minicaffe.errors import DataError, NetError
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers
from minicaffe.prediction import (
    ClassModel,
    MaskModel,
    ModelFiles,
    ObjectModel,
    PixelValues,
    answers_for_files,
    class_name,
    open_image_model,
)


@pytest.fixture
def _nets(tmp_path, monkeypatch):
    """Run in a folder with nets and their weights."""
    monkeypatch.chdir(tmp_path)
    write_image_nets(tmp_path)


def opened(name, **more):
    files = ModelFiles(f"{name.removesuffix('_deploy')}.caffemodel", f"{name}.prototxt", **more)
    return closing(open_image_model(files, get_backend()))


def outputs(name, content, rows, columns, blob):
    """Compute a blob of the deploy net for an image, without the code under test."""
    pixels = resize(decode_image(content, True, "test"), rows, columns)
    values = pixels.astype(np.float32) - np.array([10, 20, 30], np.float32)[:, None, None]
    with closing(Net(f"{name}_deploy.prototxt", "TEST")) as net:
        copy_trained_layers(net, f"{name}.caffemodel")
        net.inputs[0].reshape((1, *values.shape))
        net.inputs[0].data.set(values[None])
        net.forward()
        return net.blobs[blob].data.get()


@pytest.mark.usefixtures("_nets")
class TestNetsOfTrainings:
    def test_scores_of_classes(self):
        Path("labels.txt").write_text("ant\nbee\ncat\n")
        with opened("classes") as model:
            assert isinstance(model, ClassModel)
            assert (model.task, list(model.labels)) == ("classify", ["ant", "bee", "cat"])
            images = [picture(seed=k) for k in range(3)]
            answers = model.predict([model.prepare(image) for image in images])
        for image, answer in zip(images, answers, strict=True):
            (scores,) = outputs("classes", image, 6, 9, "score")
            expected = np.exp(scores) / np.exp(scores).sum()
            np.testing.assert_allclose(answer.scores, expected, rtol=1e-4)
            best = answer.best_classes(2)
            assert best[0] == (int(expected.argmax()), answer.scores.max())
            assert best[0][1] >= best[1][1]

    def test_the_class_of_each_pixel(self):
        with opened("pixels") as model:
            assert isinstance(model, MaskModel)
            assert (model.task, model.n_classes) == ("segment", 3)
            image = picture(12, 9)
            (answer,) = model.predict([model.prepare(image)])
        (scores,) = outputs("pixels", image, 6, 9, "score")
        assert len(np.unique(scores.argmax(0))) > 1
        np.testing.assert_array_equal(answer.classes[0], scores.argmax(0).repeat(2, axis=0))

    def test_objects(self):
        Path("labelmap.prototxt").write_text('item { name: "x" label: 1 display_name: "bird" }')
        with opened("objects") as model:
            assert isinstance(model, ObjectModel)
            assert (model.task, class_name(model.labels, 1)) == ("detect", "bird")
            image = picture(40, 50)
            (answer,) = model.predict([model.prepare(image)])
        (row,) = answer.rows
        probability = outputs("objects", image, 32, 32, "flat")[0, 1]
        np.testing.assert_allclose(row, [1, probability, 12.5, 10, 37.5, 30], rtol=1e-4)
        assert answer.first_pixel == 1

    def test_a_crop_is_refused_where_places_count(self):
        text = NETS["pixels"].replace("mean_value: 10", "crop_size: 4 mean_value: 10")
        Path("pixels.prototxt").write_text(text)
        with pytest.raises(NetError, match=r'layer "data" \(DenseImageData\): crops images'):
            opened("pixels")


@pytest.mark.usefixtures("_nets")
class TestNetsAsDeployed:
    @pytest.mark.parametrize("name", NETS)
    def test_mean_and_scale_are_those_given(self, name):
        values = PixelValues(np.array([10, 20, 30], np.float32))
        with opened(name) as model, opened(f"{name}_deploy", values=values) as deployed:
            image = picture()
            prepared = [one.prepare(image).inputs["data"] for one in (model, deployed)]
            np.testing.assert_allclose(prepared[0], prepared[1], rtol=1e-6)
            half = PixelValues(values.mean, 0.5, order=(0, 1, 2))
            pixels = np.arange(6, dtype=np.uint8).reshape(3, 1, 2)
            np.testing.assert_array_equal(
                half.of_pixels(pixels).ravel(), [-3, -2.5, -9, -8.5, -15, -14.5]
            )

    def test_the_values_are_not_guessed(self):
        with pytest.raises(NetError, match="size, mean and scale of the images are not known"):
            opened("classes_deploy")

    def test_a_mean_of_other_channels_is_refused(self):
        values = PixelValues(np.array([10, 20], np.float32))
        with pytest.raises(NetError, match="its input has 3 channels, the mean 2"):
            opened("classes_deploy", values=values)

    def test_nets_that_answer_for_no_images_are_refused(self):
        text = Path("classes_deploy.prototxt").read_text()
        text += 'layer { name: "one" type: "Reduction" bottom: "score" top: "one" }'
        Path("classes_deploy.prototxt").write_text(text)
        with pytest.raises(NetError, match=r"the outputs are one \(\)"):
            opened("classes_deploy", values=PixelValues())


@pytest.mark.usefixtures("_nets")
def test_pixels_and_content_are_prepared_alike():
    with opened("classes") as model:
        image = picture()
        pixels = decode_image(image, True, "test")
        np.testing.assert_array_equal(
            model.prepare(image).inputs["data"], model.prepare(pixels).inputs["data"]
        )
        grey = decode_image(image, False, "test")
        assert model.prepare(grey).inputs["data"].shape == (1, 3, 6, 9)


@pytest.mark.usefixtures("_nets")
def test_files_that_cannot_be_used_have_their_error():
    paths = []
    for k in range(40):
        paths.append(f"{k}.png")
        Path(paths[-1]).write_bytes(picture(seed=k) if k % 7 else b"no image")
    with opened("classes") as model:
        answers = dict(answers_for_files(model, paths))
        assert list(answers) == paths
        for k, path in enumerate(paths):
            if k % 7 == 0:
                assert isinstance(answers[path], DataError)
                assert path in str(answers[path])
                continue
            (alone,) = model.predict([model.prepare(picture(seed=k))])
            np.testing.assert_allclose(answers[path].scores, alone.scores, rtol=1e-5)
