"""The error tree, the nearest names, and problems that are raised together."""

import pytest

from minicaffe import MinicaffeError, errors
from minicaffe.errors import LabelError, NetError, Postponed, Problems, UsageError, nearest


def test_every_error_is_a_runtime_error_as_in_pycaffe():
    own = [k for k in vars(errors).values() if getattr(k, "__module__", "") == errors.__name__]
    kinds = [k for k in own if isinstance(k, type) and k not in (Postponed, Problems)]
    assert len(kinds) >= 11
    assert all(issubclass(kind, MinicaffeError) for kind in kinds)
    assert issubclass(MinicaffeError, RuntimeError)
    assert (MinicaffeError.exit_code, UsageError.exit_code) == (1, 2)


def test_the_docstring_names_every_error():
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, MinicaffeError):
            assert name in errors.__doc__


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("relu", "Did you mean ReLU? Known: Pooling, ReLU, SoftmaxWithLoss."),
        ("Poling", "Did you mean Pooling? Known: Pooling, ReLU, SoftmaxWithLoss."),
        ("xyz", "Known: Pooling, ReLU, SoftmaxWithLoss."),
        ("", "Known: Pooling, ReLU, SoftmaxWithLoss."),
    ],
)
def test_nearest(name, sentence):
    assert nearest(name, ["ReLU", "Pooling", "SoftmaxWithLoss", "ReLU"]) == sentence


def test_nearest_returns_at_most_three_names():
    assert nearest("conv", ["conv1", "conv2", "conv3", "conv4"]).count("conv") == 3 + 4


def test_nearest_gives_advice_before_all_known_names():
    assert nearest("a", ["ab", "c"], "Ask.") == "Did you mean ab? Ask. Known: ab, c."


def test_problems_are_raised_together():
    problems = Problems(NetError)
    problems.raise_if_any()
    for message in ("first", "second", "first"):
        problems.add(message)
    with pytest.raises(NetError) as caught:
        problems.raise_if_any()
    assert str(caught.value) == "first\nsecond"


def test_label_error():
    error = LabelError(3, 7.5, 5)
    assert (error.item, error.value, error.n_classes) == (3, 7.5, 5)
    assert str(error) == (
        "label 7.5 of sample 3 in the batch is not a class; "
        "labels must be whole numbers from 0 to 4"
    )


def test_a_postponed_error_is_raised_later_unless_it_is_forgotten():
    postponed = Postponed()
    postponed.raise_if_any()
    postponed.postpone(NetError("first"))
    postponed.postpone(UsageError("second"))
    assert postponed.kind is UsageError
    with pytest.raises(UsageError, match=r"^second$"):
        postponed.raise_if_any()
    postponed.forget()
    postponed.raise_if_any()
    assert postponed.kind is None
