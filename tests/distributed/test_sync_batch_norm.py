"""Normalisation with sync: true on several ranks is that of one process with the whole batch."""

from __future__ import annotations

import numpy as np
import pytest
from thread_communicator import assert_same_on_all_ranks, run_ranks

from minicaffe.distributed.communicator import SingleProcess
from minicaffe.distributed.parts import UNDIVIDED, BatchParts, WorkShare
from minicaffe.errors import NetError
from probe import REFERENCE, make_backend, net_from_text

BACKENDS = (REFERENCE, "onednn", "reference", "cuda-channels-last")
# For float64 so far from 0 that a difference of squares would lose the digits that are compared.
MEANS = {name: 3e4 if name == REFERENCE else 0.5 for name in BACKENDS}
ALLOWED = {name: 1e-9 if name == REFERENCE else 1e-6 for name in BACKENDS}

SETTINGS = {
    "plain": ("BatchNorm", "batch_norm_param { SYNC eps: 1e-4 moving_average_fraction: 0.75 }"),
    "NVCaffe's": ("BatchNorm", "batch_norm_param { SYNC scale_bias: true }"),
    "Intel's": ("BatchNorm", "batch_norm_param { SYNC use_weight_bias: true }"),
    "PSPNet's": ("BN", "bn_param { SYNC momentum: 0.75 }"),
    "happynear's": ("BN", "bn_param { SYNC fourth_blob: INVERSE_DEVIATION }"),
    "SegNet's": ("BN", "bn_param { SYNC bn_mode: LEARN }"),
}
OTHERS = {
    "local": ("BatchNorm", SETTINGS["plain"][1].replace("SYNC", "")),
    "stored": ("BatchNorm", "batch_norm_param { SYNC use_global_stats: true }"),
}
MESSAGE = (
    r'layer "bn" \(B.*\): sync: true needs all 4 parts of a batch at the same time, and each of 2 '
    r"processes computes 2 of them one after another. Start 4 processes, use "
    r"--summation_parts=2, or remove sync\."
)


def make_net(kind, shape, backend, in_place=False, **options):
    layer_type, settings = {**SETTINGS, **OTHERS}[kind]
    dims = " ".join(f"dim: {size}" for size in shape)
    top = "x" if in_place else "y"
    return net_from_text(
        f'force_backward: true layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ '
        f"{dims} }} }} }}\n"
        f'layer {{ name: "bn" type: "{layer_type}" bottom: "x" top: "{top}" '
        f"{settings.replace('SYNC', 'sync: true')} }}",
        backend=make_backend(backend),
        **options,
    )


def run(net, x, dy):
    """Return y, dx, the gradients and the parameters after two passes."""
    layer, top = net.layers[1], net.steps[1].top[0]
    for index in set(range(len(layer.blobs))) - set(layer.running_statistics):
        blob = layer.blobs[index]
        blob.data.set(np.linspace(0.5, 2, blob.count).reshape(blob.shape))
    for batch in (x[::-1], x):
        net.blobs["x"].data.set(batch)
        net.forward()
    y = top.data.get()
    net.clear_param_diffs()
    top.diff.set(dy)
    net.backward()
    learned = set(range(len(layer.blobs))) - set(layer.running_statistics)
    gradients = [layer.blobs[index].diff.get() for index in sorted(learned)]
    return y, net.blobs["x"].diff.get(), gradients, [blob.data.get() for blob in layer.blobs]


def batch(shape, mean=0.0):
    rng = np.random.default_rng(4)
    return rng.normal(mean, 1, shape), rng.standard_normal(shape)


def on_ranks(kind, backend, pieces, **options):
    """Return the results of ranks, each with its own rows."""

    def work(communicator):
        parts = BatchParts(communicator.rank, 1, communicator.size)
        x, dy = pieces[communicator.rank]
        share = WorkShare(parts, communicator)
        return run(make_net(kind, x.shape, backend, share=share, **options), x, dy)

    return run_ranks(len(pieces), work)


def assert_near(got, want, backend):
    """Compare relative to the largest value."""
    allowed = ALLOWED[backend] * np.abs(want).max()
    np.testing.assert_allclose(got, want, rtol=0, atol=allowed)


def assert_same_as_one_process(kind, backend, rows, shape, **options):
    x, dy = batch((sum(rows), *shape), MEANS[backend])
    cuts = np.cumsum(rows)[:-1]
    pieces = list(zip(np.split(x, cuts), np.split(dy, cuts), strict=True))
    found = on_ranks(kind, backend, pieces, **options)
    want = run(make_net(kind, x.shape, backend, **options), x, dy)
    assert_near(np.concatenate([rank[0] for rank in found]), want[0], backend)
    assert_near(np.concatenate([rank[1] for rank in found]), want[1], backend)
    for index, gradient in enumerate(want[2]):
        assert_near(np.sum([rank[2][index] for rank in found], 0), gradient, backend)
    for index, parameter in enumerate(want[3]):
        values = [rank[3][index] for rank in found]
        assert_same_on_all_ranks(values)
        assert_near(values[0], parameter, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_ranks_compute_what_one_process_does(kind, size, backend):
    assert_same_as_one_process(kind, backend, [3] * size, (5, 4, 7))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["plain", "PSPNet's"])
@pytest.mark.parametrize("shape", [(5,), (5, 3), (17, 2, 3, 5)])
def test_shapes(kind, shape, backend):
    assert_same_as_one_process(kind, backend, [3, 3], shape)


def test_a_batch_of_one_axis():
    assert_same_as_one_process("plain", REFERENCE, [3, 3], ())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["plain", "PSPNet's"])
def test_in_place(kind, backend):
    assert_same_as_one_process(kind, backend, [3, 3], (5, 4, 7), in_place=True)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["plain", "Intel's"])
@pytest.mark.parametrize("rows", [[1, 2, 4], [3, 0], [1, 0, 0]])
def test_ranks_may_have_different_numbers_of_rows(kind, rows, backend):
    assert_same_as_one_process(kind, backend, rows, (5, 4, 7))


@pytest.mark.parametrize("kind", ["plain", "PSPNet's"])
def test_batches_without_rows_change_nothing(kind):
    pieces = [batch((0, 5, 4)), batch((0, 5, 4))]
    for _, _, _, parameters in on_ranks(kind, REFERENCE, pieces):
        assert all(np.isfinite(values).all() for values in parameters)


def test_without_sync_the_statistics_are_those_of_each_rank():
    x, dy = batch((6, 5, 4))
    found = on_ranks("local", REFERENCE, [(x[:3], dy[:3]), (x[3:], dy[3:])])
    assert np.abs(found[0][3][0] - found[1][3][0]).min() > 1e-3


def test_in_one_process_the_kernel_is_that_without_sync():
    synchronous, local = (
        make_net(kind, (3, 5, 4), "reference").layers[1] for kind in ("plain", "local")
    )
    assert type(synchronous.kernel) is type(local.kernel)


def test_stored_statistics_need_no_exchange():
    # No other thread calls this communicator, so an exchange would wait and fail.
    communicator = run_ranks(2, lambda communicator: communicator)[0]
    share = WorkShare(BatchParts(0, 1, 2), communicator)
    run(make_net("stored", (3, 5, 4), "reference", share=share), *batch((3, 5, 4)))


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_parts_one_after_another_are_refused(kind):
    def work(communicator):
        share = WorkShare(BatchParts(2 * communicator.rank, 2, 4), communicator)
        with pytest.raises(NetError, match=MESSAGE):
            make_net(kind, (3, 5, 4), "reference", share=share)

    run_ranks(2, work)


class Unreachable(SingleProcess):
    """Two processes of which the other computes another batch."""

    size = 2

    def allreduce(self, values):
        raise AssertionError("communicates")


@pytest.mark.parametrize("kind", ["plain", "NVCaffe's", "Intel's", "SegNet's"])
def test_nets_that_test_have_statistics_of_their_own(kind, monkeypatch):
    shape = (4, 3, 2)
    layer_type, settings = SETTINGS[kind]
    own = "use_global_stats: false" if layer_type == "BatchNorm" else ""
    monkeypatch.setitem(OTHERS, "test", (layer_type, settings.replace("SYNC", f"SYNC {own}")))
    found, expected = (
        run(make_net("test", shape, REFERENCE, phase="TEST", share=share), *batch(shape))[0]
        for share in (WorkShare(communicator=Unreachable()), UNDIVIDED)
    )
    np.testing.assert_array_equal(found, expected)
