"""Lists of image files: every kind of line, long lists, and the lines that are wrong."""

from __future__ import annotations

import re

import numpy as np
import pytest

from minicaffe.data.records.image_list import ListedImage, read_image_list
from minicaffe.errors import DataError

LINES = [
    "a.png 0",
    "train/n01/n01_7.JPEG 999",
    "a name with spaces.jpg 12",
    "  leading.png 3",
    "two spaces.png  4",
    "trailing.png 5   ",
    "tab.png 6\t",
    "negative.png -7",
    "positive.png +8",
    "digits 123456789",
    "long.png 2147483647",
    "least.png -2147483648",
    "zeros.png 000000000000012",
    "사진.png 13",
    "사진 14",
    "\u3000 15",
    "x\u3000 16",
    ". 17",
    "ends with a tilde~ 18",
    "control\x7f 19",
    "",
    "   ",
    "no_break\u00a0name 20\u00a0",
]


def by_rule(text):
    """The rule of the format, line by line."""
    for number, line in enumerate(text.split("\n"), start=1):
        name, _, label = line.rstrip().rpartition(" ")
        if line.strip():
            assert name.strip()
            assert re.fullmatch("[+-]?[0-9]+", label)
            yield ListedImage(name, int(label), number)


@pytest.mark.parametrize("ending", ["", "\n", "\n\n"])
def test_lines_in_any_order(tmp_path, ending):
    path = tmp_path / "list"
    rng = np.random.default_rng(0)
    valid = [line for line in LINES if line != "\u3000 15"]
    for _ in range(50):
        text = "\n".join(rng.choice(valid, 9)) + ending
        path.write_text(text, encoding="utf-8")
        images = read_image_list(str(path))
        expected = list(by_rule(text))
        assert list(images) == expected
        assert len(images) == len(expected)
        assert [images[k] for k in range(len(images))] == expected
        assert images[2:-1] == expected[2:-1]
        assert images[-1] == expected[-1]


def test_a_name_of_any_bytes(tmp_path):
    path = tmp_path / "list"
    path.write_bytes(b"\xb0\xa1.png 1\n\xb0 2\n \xb0 3 \n")
    names = [image.name.encode("utf-8", "surrogateescape") for image in read_image_list(str(path))]
    assert names == [b"\xb0\xa1.png", b"\xb0", b" \xb0"]


WRONG = ["1", " 1", "\u3000 15", "a.png", "a.png ", "a.png x", "a.png 1.5", "a.png 1,5", "a.png\t5"]
WRONG += ["a.png 5/6", "a.png 5:6", "a.png -", "a.png 2147483648", "a.png 1234567890123"]


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_line_among_others(tmp_path, line):
    path = tmp_path / "list"
    path.write_text(f"a.png 1\n\n{line}\nb.png 2\n", encoding="utf-8")
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}:3: ") as caught:
        read_image_list(str(path))
    assert str(caught.value).count("\n") == 0


def test_ten_wrong_lines_are_named(tmp_path):
    path = tmp_path / "list"
    path.write_text("".join(f"a.png {'x' if k % 2 else k}\n" for k in range(40)))
    with pytest.raises(DataError) as caught:
        read_image_list(str(path))
    assert re.findall(r":(\d+): '", str(caught.value)) == [str(2 * k + 2) for k in range(10)]


def test_a_long_list(tmp_path):
    path = tmp_path / "list"
    labels = np.random.default_rng(0).integers(0, 10 ** np.arange(9) + 1, (5000, 9)).ravel()
    path.write_text("".join(f"n{k:08}/{label}.JPEG {label}\n" for k, label in enumerate(labels)))
    images = read_image_list(str(path))
    np.testing.assert_array_equal(images.labels, labels)
    assert images[31415] == ListedImage(f"n00031415/{labels[31415]}.JPEG", labels[31415], 31416)
