"""noise_param and the colours of distort_param, held against OpenCV, which SSD uses."""

import numpy as np
import pytest

from minicaffe.data.augmentation.distortion import Distortion
from minicaffe.data.augmentation.hsv import bgr_from_hsv, hsv_from_bgr
from minicaffe.data.augmentation.noise import Noise
from minicaffe.data.pixels.resizing import resize
from minicaffe.errors import DataError
from minicaffe.schema.forks_pb2 import DistortionParameter, NoiseParameter, SaltPepperParameter

cv2 = pytest.importorskip("cv2")


@pytest.fixture
def rng():
    return np.random.default_rng(6)


@pytest.fixture
def image(rng):
    """A smooth picture whose sides are no multiples of 8."""
    return resize(rng.integers(0, 256, (3, 9, 11), dtype=np.uint8), 75, 93)


def as_opencv(image):
    return np.ascontiguousarray(image.transpose(1, 2, 0))


def by_luma(image, change):
    planes = list(cv2.split(cv2.cvtColor(as_opencv(image), cv2.COLOR_BGR2YCrCb)))
    planes[0] = change(planes[0])
    return cv2.cvtColor(cv2.merge(planes), cv2.COLOR_YCrCb2BGR)


def clahe(grey):
    rule = cv2.createCLAHE()
    rule.setClipLimit(4)
    return rule.apply(grey)


EXPECTED = {
    "decolorize": lambda x: cv2.cvtColor(
        cv2.cvtColor(as_opencv(x), cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR
    ),
    "gauss_blur": lambda x: cv2.GaussianBlur(as_opencv(x), (7, 7), 1.5),
    "hist_eq": lambda x: by_luma(x, cv2.equalizeHist),
    "clahe": lambda x: by_luma(x, clahe),
    "erode": lambda x: cv2.erode(
        as_opencv(x), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3), (1, 1))
    ),
    "posterize": lambda x: as_opencv(x) // 64 * 64 + 32,
    "inverse": lambda x: cv2.bitwise_not(as_opencv(x)),
    "convert_to_hsv": lambda x: cv2.cvtColor(as_opencv(x), cv2.COLOR_BGR2HSV),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_noise(name, image, rng):
    """OpenCV rounds conversions of colours, so values may be one or two off."""
    got = Noise(NoiseParameter(**{name: True}))(image, rng)
    off = np.abs(as_opencv(got).astype(int) - EXPECTED[name](image))
    if name == "convert_to_hsv":
        off = np.minimum(off, np.array([180, 256, 256]) - off)
    assert off.max() <= 2
    assert off.mean() < 0.5


def test_noise_of_grey_images(image, rng):
    grey = image[:1]
    got = Noise(NoiseParameter(clahe=True))(grey, rng)[0]
    assert np.abs(got.astype(int) - clahe(grey[0])).max() <= 1
    flat = np.full((1, 9, 9), 7, np.uint8)
    np.testing.assert_array_equal(Noise(NoiseParameter(hist_eq=True))(flat, rng), flat)


def test_salt_and_pepper(image, rng):
    spots = SaltPepperParameter(fraction=0.1, value=[0, 128, 255])
    got = Noise(NoiseParameter(saltpepper=True, saltpepper_param=spots))(image, rng)
    share = (got == np.array([0, 128, 255])[:, None, None]).all(0).mean()
    assert 0.05 < share <= 0.1
    with pytest.raises(DataError, match=r"3 values of saltpepper for images of 1 channels"):
        Noise(NoiseParameter(saltpepper=True, saltpepper_param=spots))(image[:1], rng)


def test_prob_is_the_share_of_images(image):
    noise = Noise(NoiseParameter(prob=0.25, inverse=True))
    changed = sum((noise(image, np.random.default_rng(seed)) != image).any() for seed in range(80))
    assert 10 < changed < 32


def test_hue_saturation_and_value(image):
    np.testing.assert_allclose(bgr_from_hsv(hsv_from_bgr(image)), image, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({"brightness_prob": 1, "brightness_delta": 40}, "shift"),
        ({"contrast_prob": 1, "contrast_lower": 0.4, "contrast_upper": 0.9}, "factor"),
        ({"saturation_prob": 1, "saturation_lower": 0, "saturation_upper": 0}, "grey"),
        ({"hue_prob": 1, "hue_delta": 30}, "hue"),
        ({"random_order_prob": 1}, "order"),
        ({}, "nothing"),
    ],
)
def test_each_distortion(settings, change, image, rng):
    got = Distortion(DistortionParameter(**settings))(image, rng).astype(float)
    x = image.astype(float)
    middle = (x > 60) & (x < 190)
    checks = {
        "shift": lambda: np.ptp((got - x)[middle]) == 0,
        "factor": lambda: np.ptp((got / x)[middle]) < 0.02,
        "grey": lambda: np.ptp(got, axis=0).max() == 0 and (got[0] == x.max(0)).all(),
        "hue": lambda: np.abs(got.max(0) - x.max(0)).max() <= 1,
        "order": lambda: (np.sort(got, axis=0) == np.sort(x, axis=0)).all(),
        "nothing": lambda: (got == x).all(),
    }
    assert checks[change]()
    assert change == "nothing" or (got != x).any()
