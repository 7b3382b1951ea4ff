"""--precision bf16: operands and results of the primitives, native and emulated by rounding.

The native path uses the CPU's bfloat16 instructions, or the library's plain loops if these can be
enabled; the emulation runs on every CPU.
"""

from __future__ import annotations

import numpy as np
import pytest
from test_nets import INPUT, LOSS, NETS, run
from unlocked import bfloat16_unlocked, can_unlock

from cases import CASES, Case
from cases.case import normal
from minicaffe.backends import get_backend
from minicaffe.backends.onednn.kernels import inner_product
from minicaffe.backends.onednn.runtime import precision
from minicaffe.backends.onednn.runtime.library import DataType, library
from minicaffe.backends.onednn.runtime.memory import Layout, TaggedLayout
from minicaffe.backends.onednn.runtime.rounding import round_to_bfloat16
from minicaffe.errors import BackendUnavailable
from probe import REFERENCE, Probe, make_backend, net_from_text
from tolerances import BFLOAT16, BY_DTYPE, assert_close

SHAPE = (2, 16, 5, 3)
PRODUCTS = ("Convolution", "Deconvolution", "InnerProduct")
ALL = [
    pytest.param(layer_type, case, id=f"{layer_type}-{case.name.replace(' ', '_')}")
    for layer_type in PRODUCTS
    for case in CASES[layer_type]
    # Forward scales the weights after they were rounded.
    if "normalize" not in case.settings
]

FEW_CHANNELS = Case(
    "few channels",
    "convolution_param { num_output: 9 kernel_size: 3 weight_filler { type: 'gaussian' } }",
    {"x": normal(2, 5, 9, 11)},
)
IN_FLOAT32 = [
    *[pytest.param("InnerProduct", case, id=case.name) for case in CASES["InnerProduct"]][:2],
    pytest.param("Convolution", FEW_CHANNELS, id="few channels"),
]


@pytest.fixture(scope="module")
def rounding():
    """Return a backend that computes in float32 on rounded values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "_trains_in_bfloat16", lambda engine: False)
        try:
            return get_backend("onednn", threads=2, precision="bf16")
        except BackendUnavailable as reason:
            pytest.skip(str(reason))


@pytest.fixture
def native(rounding):
    """Yield a backend that computes with bfloat16 primitives."""
    backend = get_backend("onednn", threads=2, precision="bf16")
    if backend.precision.operands is DataType.BF16:
        yield backend
        return
    if not can_unlock(library()):
        pytest.skip("this CPU has no bfloat16, and it cannot be enabled in this oneDNN")
    with bfloat16_unlocked(library()):
        yield get_backend("onednn", threads=2, precision="bf16")


@pytest.fixture(params=["native", "rounding"])
def backend(request):
    """Return each of the two backends."""
    return request.getfixturevalue(request.param)


def nearest_bfloat16(values):
    """Round by the definition: 8 significant bits, and no digit below 2^-133."""
    exact = np.asarray(values, np.float64)
    unit = np.exp2(np.maximum(np.frexp(exact)[1] - 8, -133))
    with np.errstate(invalid="ignore"):
        rounded = np.rint(exact / unit) * unit
    return np.where(np.abs(rounded) >= 2.0**128, np.copysign(np.inf, exact), rounded)


def hard_cases():
    rng = np.random.default_rng(3)
    random = rng.integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32)
    ties = np.arange(0x3F80_8000, 0x3F80_8000 + (20 << 16), 1 << 16, dtype=np.uint32)
    near = np.concatenate([ties - 1, ties, ties + 1]).view(np.float32)
    special = [0.0, -0.0, np.inf, -np.inf, np.finfo(np.float32).max, 1e-45, 1e-40, -3.3e38]
    values = np.concatenate([random, near, np.array(special, np.float32)])
    return values[~np.isnan(values)]


def test_rounding_is_to_the_nearest_and_to_even():
    values = hard_cases()
    got = round_to_bfloat16(values)
    np.testing.assert_array_equal(got, nearest_bfloat16(values).astype(np.float32))
    np.testing.assert_array_equal(np.signbit(got), np.signbit(values))
    assert round_to_bfloat16(values, values) is values
    np.testing.assert_array_equal(values, got)


def test_rounding_preserves_nan():
    bits = [0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001, 0xFF80FFFF]
    assert np.isnan(round_to_bfloat16(np.array(bits, np.uint32).view(np.float32))).all()


def bfloat16_layout(shape, tag):
    descriptor = TaggedLayout(shape, tag, DataType.BF16)
    return Layout.of(descriptor.handle, shape)


# dnnl_abcd, dnnl_acdb, dnnl_aBcd8b and dnnl_aBcd16b of dnnl_types.h 3.2.
@pytest.mark.parametrize("tag", [5, 22, 102, 78])
def test_tensor_stores_bfloat16_in_any_order(onednn, tag):
    layout = bfloat16_layout(SHAPE, tag)
    wide = layout.widened
    assert (layout.data_type, wide.data_type) == (DataType.BF16, DataType.F32)
    assert not layout.is_plain
    assert 2 * layout.size_bytes == wide.size_bytes
    assert wide is wide.widened is bfloat16_layout(SHAPE, tag).widened
    assert wide.is_plain == (tag == 5)
    values = np.random.default_rng(7).standard_normal(SHAPE).astype(np.float32)
    given, tensor = onednn.tensor(SHAPE), onednn.tensor(SHAPE)
    given.set(values)
    memory = given.source(layout)
    assert given.stored is Layout.plain(SHAPE), "a copy for a reader is not the newest"
    onednn.reorders(layout, memory, layout, tensor.target(layout))
    assert (tensor.stored, tensor.layout) == (layout, wide)
    want = nearest_bfloat16(values)
    np.testing.assert_array_equal(tensor.get(), want)
    flat = tensor.values(wide)
    np.testing.assert_array_equal(np.sort(flat), np.sort(want.ravel()))
    np.testing.assert_array_equal(tensor.read(), want)
    copy = onednn.tensor(SHAPE)
    copy.copy_from(tensor)
    assert copy.stored is layout
    np.testing.assert_array_equal(copy.host(), want)
    np.testing.assert_array_equal(given.get(), values)


def test_cleared_tensor_is_zero_to_its_last_bfloat16(onednn):
    shape = (1, 3, 1, 1)
    layout = bfloat16_layout(shape, 5)
    tensor, seen = onednn.tensor(shape), onednn.tensor(shape)
    tensor.set(np.ones(shape))
    tensor.source(layout)
    tensor.clear()
    onednn.reorders(layout, tensor.source(layout), layout, seen.target(layout))
    np.testing.assert_array_equal(seen.get(), np.zeros(shape))


class RoundedProbe(Probe):
    """Rounds the operands of every product first."""

    def inputs(self):
        return {name: nearest_bfloat16(values) for name, values in super().inputs().items()}

    def fill_parameters(self):
        super().fill_parameters()
        for blob in self.layer.blobs[:1]:
            blob.data.set(nearest_bfloat16(blob.data.get()))

    def top_diffs(self):
        return {name: nearest_bfloat16(values) for name, values in super().top_diffs().items()}


@pytest.mark.parametrize(("layer_type", "case"), ALL)
def test_products_equal_those_of_rounded_operands(backend, layer_type, case, monkeypatch):
    """Sums are float32 sums, and only data results of a convolution are rounded again."""
    monkeypatch.setattr(inner_product, "MAX_FLOAT32_ROWS", 0)
    reference = make_backend(REFERENCE)
    want = RoundedProbe(layer_type, case, reference).run()
    got = Probe(layer_type, case, backend).run()
    assert got.keys() == want.keys()
    if layer_type != "Convolution" and "param 1" in want:
        # The gradient of a bias is a sum, not a product: its operands are not rounded.
        want["param 1"] = Probe(layer_type, case, reference).run()["param 1"]
    for name, values in want.items():
        is_rounded = layer_type == "Convolution" and not name.startswith("param")
        allowed = BFLOAT16 if is_rounded else BY_DTYPE["float32"]
        assert_close(got[name], values, allowed, name)
        if is_rounded:
            np.testing.assert_array_equal(got[name], nearest_bfloat16(got[name]), err_msg=name)


@pytest.mark.parametrize(("layer_type", "case"), IN_FLOAT32)
def test_what_is_not_faster_in_bfloat16_is_computed_in_float32(backend, layer_type, case):
    """Few rows, and channels that fill the library's blocks badly."""
    if backend.native is None:
        pytest.skip("no C compiler")
    want = Probe(layer_type, case, get_backend("onednn", threads=2)).run()
    got = Probe(layer_type, case, backend).run()
    for name, values in want.items():
        np.testing.assert_array_equal(got[name], values, err_msg=name)


@pytest.mark.parametrize(("layer_type", "case"), ALL)
def test_products_are_near_the_exact_ones(backend, layer_type, case):
    want = Probe(layer_type, case, make_backend(REFERENCE)).run()
    got = Probe(layer_type, case, backend).run()
    for name, values in want.items():
        assert_close(got[name], values, BFLOAT16, name)


@pytest.mark.parametrize(("layer_type", "case"), ALL)
def test_parameter_diffs_are_accumulated(backend, layer_type, case):
    probe = Probe(layer_type, case, backend)
    probe.run()
    once = probe.param_diffs()
    probe.backward()
    for name, values in probe.param_diffs().items():
        assert_close(values, 2 * once[name], BY_DTYPE["float32"], name)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize("name", NETS)
def test_rounding_emulates_bfloat16(native, rounding, name, phase):
    text = INPUT + NETS[name] + LOSS
    want = run(net_from_text(text, phase, backend=native), 2)
    got = run(net_from_text(text, phase, backend=rounding), 2)
    for key, values in want.items():
        assert_close(got[key], values, BFLOAT16, key)


@pytest.mark.parametrize("name", NETS)
def test_host_views_change_no_bfloat16_result(backend, name):
    text = INPUT + NETS[name] + LOSS
    seen, unseen = (net_from_text(text, backend=backend) for _ in range(2))
    for blob in seen.blobs.values():
        blob.data.host()
        blob.diff.host()
    want = run(unseen, 2)
    for key, values in run(seen, 2).items():
        assert values.dtype == np.float32
        assert_close(values, want[key], BFLOAT16, key)


def test_chain_of_convolutions_stays_in_bfloat16(native):
    text = INPUT + NETS["inception"] + LOSS
    net = net_from_text(text, backend=native)
    run(net, 1)
    for name in ("c1", "a", "b"):
        blob = net.blobs[name]
        assert blob.data.stored.data_type is DataType.BF16, name
        assert blob.diff.stored.data_type is DataType.BF16, name
    for parameter in net.parameters:
        assert parameter.blob.data.stored.data_type is DataType.F32
        assert parameter.blob.diff.stored.data_type is DataType.F32


def test_description_names_the_precision(rounding, native):
    assert "float32 on values rounded to bfloat16: its values, not its" in rounding.description
    assert ", bfloat16" in native.description
    assert "bfloat16" not in get_backend("onednn", threads=2, precision="fp32").description


@pytest.mark.parametrize(
    ("name", "asked", "can"),
    [
        ("onednn", "tf32", "fp32 and bf16"),
        ("auto", "fp16", "fp32 and bf16"),
        ("reference", "bf16", "fp32"),
    ],
)
def test_other_precisions_are_refused(onednn, name, asked, can):
    message = (
        rf"cannot compute in {asked}; it can in {can}\. Choose that with --precision, or in Python"
    )
    with pytest.raises(BackendUnavailable, match=message):
        get_backend(name, precision=asked)
