import numpy as np
import pytest
from google.protobuf import text_format

from minicaffe.data.mean import read_mean
from minicaffe.data.transformer import DataTransformer, RowDraws
from minicaffe.errors import DataError
from minicaffe.random import RandomStream
from minicaffe.schema.minicaffe_pb2 import TEST, TRAIN, BlobProto, TransformationParameter

RNG = np.random.default_rng(0)
IMAGES = [RNG.integers(0, 256, (3, 7, 9)).astype(np.uint8) for _ in range(40)]
MEAN = RNG.random((3, 7, 9)).astype(np.float32) * 255


def transformer(text, phase=TEST):
    return DataTransformer(text_format.Parse(text, TransformationParameter()), phase)


@pytest.fixture
def mean_file(tmp_path):
    blob = BlobProto(num=1, channels=3, height=7, width=9, data=MEAN.ravel())
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(blob.SerializeToString())
    return path


def test_nothing_asked_for():
    y = transformer("")(IMAGES)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, np.stack(IMAGES))


def test_images_of_floats():
    images = [image / np.float32(8) for image in IMAGES]
    np.testing.assert_array_equal(transformer("scale: 4")(images), np.stack(images) * 4)
    y = transformer("")(images)
    y[:] = 0
    assert images[0].any()


@pytest.mark.parametrize(
    ("text", "mean"),
    [
        ("mean_value: 20", np.full(3, 20)),
        ("mean_value: 104 mean_value: 117 mean_value: 123", np.array([104, 117, 123])),
    ],
)
def test_mean_values_come_before_the_scale(text, mean):
    y = transformer(f"{text} scale: 0.5")(IMAGES)
    np.testing.assert_array_equal(y, (np.stack(IMAGES) - mean[:, None, None]) * np.float32(0.5))


def test_the_middle_is_cropped_in_test(mean_file):
    y = transformer(f'crop_size: 4 mean_file: "{mean_file}" scale: 2')(IMAGES)
    expected = (np.stack(IMAGES) - MEAN)[:, :, 1:5, 2:6] * 2
    np.testing.assert_array_equal(y, expected)


def draws(step=0):
    return RowDraws.of_all(RandomStream(1, "x", step).generator(), len(IMAGES))


def windows_of(y, crop, mean=0):
    """For each output, the (top, left, mirror) whose window it is."""
    found = []
    for image, out in zip(IMAGES, y, strict=True):
        x = image - mean
        found += [
            (top, left, mirror)
            for top in range(8 - crop[0])
            for left in range(10 - crop[1])
            for mirror in (False, True)
            if np.array_equal(
                out,
                x[:, top : top + crop[0], left : left + crop[1]][:, :, :: -1 if mirror else 1],
            )
        ]
    return found


@pytest.mark.parametrize("with_mean", [False, True])
def test_train_crops_and_mirrors_at_random(mean_file, with_mean):
    text = "crop_size: 4 mirror: true" + (f' mean_file: "{mean_file}"' if with_mean else "")
    y = transformer(text, TRAIN)(IMAGES, draws())
    found = windows_of(y, (4, 4), MEAN if with_mean else np.float32(0))
    assert len(found) == len(IMAGES)
    tops, lefts, mirrors = (set(values) for values in zip(*found, strict=True))
    assert tops == set(range(4))
    assert lefts == set(range(6))
    assert mirrors == {False, True}


def test_test_mirrors_too_as_in_caffe():
    t = transformer("mirror: true", TEST)
    assert t.is_random
    found = windows_of(t(IMAGES, draws()), (7, 9))
    assert {mirror for _, _, mirror in found} == {False, True}


def test_same_step_same_batch():
    t = transformer("crop_size: 3 mirror: true", TRAIN)
    a, b, c = (t(IMAGES, draws(step)) for step in (4, 4, 5))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_sizes_may_differ_where_there_is_a_crop():
    images = [IMAGES[0], IMAGES[1][:, :6, :5]]
    y = transformer("crop_size: 4")(images)
    np.testing.assert_array_equal(y[1], images[1][:, 1:5, 0:4])
    with pytest.raises(DataError, match="different shapes in a batch: 3 x 6 x 5, 3 x 7 x 9"):
        transformer("")(images)


@pytest.mark.parametrize(
    ("text", "color"), [("", None), ("force_color: true", True), ("force_gray: true", False)]
)
def test_color(text, color):
    assert transformer(text).color is color


def test_contradictions(mean_file):
    with pytest.raises(DataError, match="force_color and force_gray are both set"):
        transformer("force_color: true force_gray: true")
    with pytest.raises(DataError, match="mean_file and mean_value are both set"):
        transformer(f'mean_file: "{mean_file}" mean_value: 3')


def test_a_mean_of_numpy(tmp_path):
    np.save(tmp_path / "mean.npy", MEAN)
    with pytest.raises(DataError, match=r"looks like a NumPy array \(\.npy\)\. Make one with comp"):
        transformer(f'mean_file: "{tmp_path}/mean.npy"')


def test_what_does_not_fit_the_images(mean_file):
    with pytest.raises(DataError, match=r"2 mean_values for images of 3 channels; give one"):
        transformer("mean_value: 1 mean_value: 2").output_shape((3, 7, 9))
    with pytest.raises(
        DataError,
        match=r"crop_size 8 is larger than the image, 7 x 9 \(rows x columns\).* at most 7",
    ):
        transformer("crop_size: 8").output_shape((3, 7, 9))
    with pytest.raises(DataError) as caught:
        transformer(f'mean_file: "{mean_file}" crop_size: 4').output_shape((3, 8, 9))
    assert str(caught.value) == (
        f"mean_file {mean_file}: the mean is 3 x 7 x 9 and the image 3 x 8 x 9 (channels x rows "
        "x columns); they must agree before the crop. Run compute_image_mean on this database, or "
        "use one mean_value a channel."
    )


def test_mean_file_of_caffe(golden_files):
    mean = read_mean(str(golden_files / "mean.binaryproto"))
    assert mean.shape == (3, 28, 32)
    assert 0 < mean.mean() < 255


def test_bad_mean_files(tmp_path, mean_file):
    with pytest.raises(DataError, match=r"^mean_file nowhere: .*Make one with compute_image_mean"):
        read_mean("nowhere")
    for content, message in [
        (b"\xff" * 12, r"bad: 12 bytes are not a complete \.binaryproto"),
        (b"hello, world", r"bad: a binary file is needed here; this is a text"),
    ]:
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_mean(str(tmp_path / "bad"))
    blob = BlobProto(data=[1, 2, 3])
    blob.shape.dim.extend([3, 2, 2])
    mean_file.write_bytes(blob.SerializeToString())
    with pytest.raises(DataError, match=r"mean_file .*mean.binaryproto: "):
        read_mean(str(mean_file))
    mean_file.write_bytes(
        BlobProto(num=2, channels=1, height=1, width=1, data=[1, 2]).SerializeToString()
    )
    with pytest.raises(DataError, match=r"its shape is 2 x 1 x 1 x 1; a mean is one image"):
        read_mean(str(mean_file))
