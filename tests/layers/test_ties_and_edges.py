"""Special cases outside the generic suite: ties, empty selections, files, derivatives at kinks."""

from __future__ import annotations

import numpy as np
import pytest

from cases.case import Case, exactly
from minicaffe.errors import NetError
from minicaffe.schema import write_blobproto
from probe import Probe, net_from_text

X = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 5 dim: 3 } } }\n'
LABELS = 'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 5 } } }\n'


def test_eltwise_max_breaks_ties_towards_the_second_bottom(backend):
    columns = {"x": [1, 2, 3, 5], "z": [1, 2, 1, 5], "w": [1, 0, 3, 6]}
    bottoms = {name: exactly(values) for name, values in columns.items()}
    probe = Probe("Eltwise", Case("ties", "eltwise_param { operation: MAX }", bottoms), backend)
    probe.forward()
    probe.tops["y"].diff.set([1, 2, 3, 4])
    probe.layer.backward(probe.step.top, [True] * 3, probe.step.bottom)
    found = {name: list(blob.diff.get()) for name, blob in probe.bottoms.items()}
    assert found == {"x": [0, 0, 3, 0], "z": [1, 2, 0, 0], "w": [0, 0, 0, 4]}


@pytest.mark.parametrize(
    ("layer_type", "settings", "x", "slopes"),
    [
        ("Clip", "clip_param { min: 0 max: 6 }", [-1, 0, 1, 6, 7], [0, 1, 1, 1, 0]),
        ("Clip", "clip_param { min: -2 max: 2 }", [-3, -2, 0, 2, 3], [0, 1, 1, 1, 0]),
        ("ReLU", "", [-1, 0, 2], [0, 0, 1]),
        ("AbsVal", "", [-3, 0, 2], [-1, 0, 1]),
        ("Power", "power_param { power: 2 }", [-3, 0, 2], [-6, 0, 4]),
        ("Power", "power_param { power: 3 }", [-3, 0, 2], [27, 0, 12]),
        ("Power", "power_param { power: 0 }", [-3, 0, 2], [0, 0, 0]),
    ],
)
@pytest.mark.parametrize("in_place", [False, True])
def test_derivatives_at_kinks_and_bounds(backend, layer_type, settings, x, slopes, in_place):
    case = Case("edges", settings, {"x": exactly(x)})
    probe = Probe(layer_type, case, backend, in_place=in_place)
    probe.forward()
    probe.tops["y"].diff.set(np.ones(len(x)))
    probe.layer.backward(probe.step.top, [True], probe.step.bottom)
    np.testing.assert_allclose(probe.bottoms["x"].diff.get(), slopes, rtol=1e-6)


@pytest.mark.parametrize(("top_k", "indices"), [(1, [3]), (3, [3, 1, 4])])
def test_arg_max_selects_the_later_of_equal_values(backend, top_k, indices):
    case = Case("ties", f"argmax_param {{ top_k: {top_k} }}", {"x": exactly([[0, 7, 1, 7, 2]])})
    assert list(Probe("ArgMax", case, backend).forward()["y"].ravel()) == indices


@pytest.mark.parametrize(
    ("x", "top_k", "indices"),
    [
        ([0, -0.0, -1], 1, [1]),
        ([-0.0, 0, -1], 2, [1, 0]),
        ([-np.inf, -3, np.inf, -1e-30], 4, [2, 3, 1, 0]),
        ([1, np.nan, 3, np.nan, 2], 1, [3]),
        ([1, np.nan, 3, np.nan, 2], 5, [2, 4, 0, 3, 1]),
        ([np.nan, np.nan], 2, [1, 0]),
    ],
)
def test_arg_max_of_zeros_and_non_finite_values(backend, x, top_k, indices):
    """One NaN is the largest value, but several values are sorted, which puts NaN last."""
    case = Case("edges", f"argmax_param {{ top_k: {top_k} }}", {"x": exactly([x])})
    assert list(Probe("ArgMax", case, backend).forward()["y"].ravel()) == indices


def test_contrastive_gradient_divides_by_the_distance_plus_epsilon(backend):
    bottoms = {"x": [[3e-4, 4e-4], [2, 1]], "z": [[0, 0], [2, 1]], "similar": [0, 0]}
    case = Case("close", "", {k: exactly(v) for k, v in bottoms.items()}, tops=("loss",))
    probe = Probe("ContrastiveLoss", case, backend)
    probe.forward()
    probe.tops["loss"].diff.set(1)
    probe.layer.backward(probe.step.top, [True, True, False], probe.step.bottom)
    # The distance is 5e-4, so that 1 - 5e-4 of the margin lacks; two samples.
    factor = -(1 - 5e-4) / (5e-4 + 1e-4) / 2
    want = np.array([[3e-4 * factor, 4e-4 * factor], [0, 0]])
    np.testing.assert_allclose(probe.bottoms["x"].diff.get(), want, rtol=1e-5)
    np.testing.assert_allclose(probe.bottoms["z"].diff.get(), -want, rtol=1e-5)


def test_a_filter_without_selected_samples_has_zero_gradients(backend):
    net = net_from_text(
        X
        + LABELS
        + """
        layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
                inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
        layer { name: "f" type: "Filter" bottom: "a" bottom: "t" bottom: "t" top: "b" top: "u" }
        layer { name: "c" type: "InnerProduct" bottom: "b" top: "c"
                inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "c" bottom: "u" top: "loss"
                propagate_down: true propagate_down: false }
        """,
        backend=backend,
    )
    net.blobs["x"].data.set(np.ones((5, 3)))
    for selected, n in (([0, 1, 1, 0, 1], 3), ([0] * 5, 0), ([1] * 5, 5)):
        net.blobs["t"].data.set(selected)
        net.clear_param_diffs()
        net.forward()
        net.backward()
        assert net.blobs["c"].shape == (n, 2)
        weights = net.layers[net.layer_index("a")].blobs[0]
        assert np.isfinite(weights.diff.get()).all()
        assert weights.diff.get().any() == (n > 0)


def infogain(source):
    param = f'infogain_loss_param {{ source: "{source}" }}' if source else ""
    return (
        f'{X}{LABELS}layer {{ name: "loss" type: "InfogainLoss" bottom: "x" bottom: "t" top: "l" '
        f"{param} }}"
    )


def test_infogain_reads_its_matrix_from_a_file(backend, tmp_path):
    matrix = np.array([[0.5, 0.25, 0], [1, 2, 0], [0, 0, 4]])
    write_blobproto(tmp_path / "h.binaryproto", matrix)
    net = net_from_text(infogain(tmp_path / "h.binaryproto"), backend=backend)
    x = np.arange(15).reshape(5, 3) ** 1.5 / 10
    labels = np.array([0, 1, 2, 1, 0])
    net.blobs["x"].data.set(x)
    net.blobs["t"].data.set(labels)
    net.forward()
    log_p = x - np.log(np.exp(x).sum(1, keepdims=True))
    want = -sum(matrix[k] @ row for k, row in zip(labels, log_p, strict=True)) / 5
    assert float(net.blobs["l"].data.get()) == pytest.approx(want, rel=1e-5)


def test_infogain_names_the_layer_of_a_file_that_is_missing(tmp_path):
    with pytest.raises(NetError, match=r'net.prototxt:\d+, layer "loss" .*: source: .*nowhere'):
        net_from_text(infogain(tmp_path / "nowhere.binaryproto"))
