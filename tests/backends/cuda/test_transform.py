"""Image transformation on the device is bitwise equal to that on the host."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from emulator import DeviceFault
from minicaffe.backends import get_backend
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.data.batch_source import Batch
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.schema import read_solver
from minicaffe.solver.solver import Solver
from probe import net_from_text

GOLDEN = Path(__file__).parents[2] / "golden" / "files"
STAGED_BATCHES = 3  # of prefetch: 2


@pytest.fixture
def files(tmp_path):
    """A copy of the golden files: opening a LevelDB writes into it."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "files"))


@pytest.fixture
def make_net(files):
    """A function that makes a net of one data layer."""
    made = []

    def make(backend, source, transform, phase="TRAIN", seed=4, tops='top: "x" top: "label"'):
        text = f"""name: "data" layer {{ name: "in" {tops} {source}
            transform_param {{ {transform} }} }}""".replace("FILES", str(files))
        made.append(net_from_text(text, phase, backend=backend, seed=seed))
        return made[-1]

    yield make
    for net in made:
        for layer in net.layers:
            layer.close()


def data(name, batch_size=4, backend="LMDB"):
    return (
        f'type: "Data" data_param {{ source: "FILES/{name}" batch_size: {batch_size} prefetch: 2 '
        f"backend: {backend} }}"
    )


def images(settings, batch_size=4):
    return (
        'type: "ImageData" data_param { prefetch: 2 } image_data_param { root_folder: '
        f'"FILES/images/" source: "FILES/images/list.txt" batch_size: {batch_size} {settings} }}'
    )


def batches(net, n):
    found = []
    for _ in range(n):
        net.forward()
        found.append([blob.data.get() for blob in net.blobs.values()])
    return found


def assert_same(got, want):
    for i, (ours, theirs) in enumerate(zip(got, want, strict=True)):
        for a, b in zip(ours, theirs, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a.view(np.int32), b.view(np.int32), err_msg=f"batch {i}")


MEAN_FILE = 'mean_file: "FILES/mean.binaryproto"'
MEAN_VALUES = "mean_value: 104 mean_value: 116.7 mean_value: 122.68"
TRANSFORMS = [
    f"{mean} {rest}"
    for mean in ("", MEAN_FILE, "mean_value: 33.3", MEAN_VALUES)
    for rest in ("", "scale: 0.00390625", "mirror: true", "crop_size: 21 mirror: true scale: -0.3")
]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize("transform", [*TRANSFORMS, "crop_size: 21", "crop_size: 28"])
def test_every_transformation(
    make_backend, make_net, emulated_device, transform, phase, channels_last
):
    source = data("db_resized_lmdb")
    want = batches(make_net(ReferenceBackend(), source, transform, phase), 5)
    backend = make_backend(channels_last=channels_last)
    net = make_net(backend, source, transform, phase)
    assert_same(batches(net, 5), want)
    assert emulated_device.counts["acquire"] == 5
    assert net.blobs["x"].data.format.channels_last == channels_last


SOURCES = {
    "LevelDB": (data("db_resized_leveldb", backend="LEVELDB"), ""),
    "a grey database": (data("db_gray_lmdb"), "crop_size: 13 mirror: true mean_value: 9"),
    "images of many sizes": (data("db_raw_lmdb"), "crop_size: 16 mirror: true"),
    "JPEG": (data("db_encoded_lmdb"), f"crop_size: 16 force_color: true {MEAN_VALUES}"),
    "JPEG made grey": (data("db_encoded_lmdb"), "crop_size: 16 force_gray: true scale: 3"),
    "PNG": (data("db_encoded_png_leveldb", backend="LEVELDB"), "force_color: true"),
    "files": (images("new_height: 28 new_width: 32"), f"{MEAN_FILE} mirror: true crop_size: 9"),
    "files in another order": (images("shuffle: true rand_skip: 4"), "crop_size: 11"),
    "one by one": (data("db_raw_lmdb", 1), "crop_size: 11"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source(make_backend, make_net, emulated_device, name):
    source, transform = SOURCES[name]
    want = batches(make_net(ReferenceBackend(), source, transform), 6)
    assert_same(batches(make_net(make_backend(), source, transform), 6), want)
    assert emulated_device.counts["acquire"] == 6


def test_images_of_another_size_are_transformed_on_the_host(
    make_backend, make_net, emulated_device
):
    source = data("db_raw_lmdb", 1)
    want = batches(make_net(ReferenceBackend(), source, "mirror: true"), 10)
    assert len({batch[0].shape for batch in want}) > 2
    assert_same(batches(make_net(make_backend(), source, "mirror: true"), 10), want)
    assert 0 < emulated_device.counts["acquire"] < 10


def test_mixed_images_are_transformed_on_the_host(make_backend, make_net):
    transform = "mirror: true crop_size: 21 scale: 0.5 mean_value: 9 mixup_alpha: 0.5"
    source = images("new_height: 28 new_width: 28")
    want = batches(make_net(ReferenceBackend(), source, transform), 5)
    assert_same(batches(make_net(make_backend(True), source, transform), 5), want)


def test_images_of_floats_are_transformed_on_the_host(
    make_backend, make_net, emulated_device, files
):
    with create_database(str(files / "floats"), "LMDB") as database:
        for i in range(6):
            database.put(b"%d" % i, encode_datum(np.full((2, 3, 4), i / 7, np.float32), i))
    source = data("floats")
    want = batches(make_net(ReferenceBackend(), source, "scale: 3"), 4)
    assert_same(batches(make_net(make_backend(), source, "scale: 3"), 4), want)
    assert emulated_device.counts["staging upload"] == 0


def test_without_labels(make_backend, make_net):
    options = {"tops": 'top: "x"'}
    source = data("db_resized_lmdb")
    want = batches(make_net(ReferenceBackend(), source, "scale: 2", **options), 4)
    assert_same(batches(make_net(make_backend(), source, "scale: 2", **options), 4), want)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_values_of_16_bits(make_backend, make_net, precision):
    source, transform = data("db_resized_lmdb"), f"crop_size: 20 {MEAN_FILE}"
    want = batches(make_net(ReferenceBackend(), source, transform), 2)
    got = batches(make_net(make_backend(precision=precision), source, transform), 2)
    for (x, labels), (true_x, true_labels) in zip(got, want, strict=True):
        np.testing.assert_allclose(x, true_x, rtol=2**-8)
        np.testing.assert_array_equal(labels, true_labels)


def test_a_restored_net_goes_on_as_if_nothing_had_happened(make_backend, make_net):
    """On the device or on the host: the batches do not depend on who transforms."""
    source, transform = data("db_resized_lmdb"), "crop_size: 17 mirror: true"
    net = make_net(make_backend(), source, transform)
    made, states = [], []
    for _ in range(8):
        made += batches(net, 1)
        states.append(json.dumps(net.state()))
    for backend in (make_backend(), ReferenceBackend()):
        again = make_net(backend, source, transform, seed=99)
        again.restore(json.loads(states[2]))
        assert_same(batches(again, 5), made[3:])


def test_restoring_drops_prefetched_batches_and_frees_their_buffers(
    make_backend, make_net, emulated_device
):
    net = make_net(make_backend(), data("db_resized_lmdb"), "mirror: true")
    state = json.dumps(net.state())
    want = batches(net, 2)
    for _ in range(2 * STAGED_BATCHES):
        net.restore(json.loads(state))
        assert_same(batches(net, 2), want)
    assert emulated_device.counts["acquire"] == 2 + 4 * STAGED_BATCHES


def test_a_batch_costs_nothing_but_its_own_upload(make_backend, make_net, emulated_device):
    net = make_net(make_backend(), data("db_resized_lmdb"), f"crop_size: 16 {MEAN_FILE}")
    net.forward()
    before = dict(emulated_device.counts)
    launches = len(emulated_device.launches)
    for _ in range(6):
        net.forward()
    for what in ("upload", "allocate", "wait", "synchronize", "clear"):
        assert emulated_device.counts[what] == before.get(what, 0)
    assert {launch.name for launch in emulated_device.launches[launches:]} == {"transform"}
    assert len(emulated_device.launches) - launches == 6


def test_without_a_free_staged_batch_the_host_transforms(make_backend, make_net, emulated_device):
    source, transform = data("db_resized_lmdb"), "mirror: true"
    want = batches(make_net(ReferenceBackend(), source, transform), 4)
    net = make_net(make_backend(), source, transform)
    held = [net.layers[0].source.assembler.stage() for _ in range(STAGED_BATCHES)]
    assert None not in held
    assert_same(batches(net, 4), want)
    assert emulated_device.counts["acquire"] == 0


@pytest.mark.parametrize("strict", [False, True])
def test_host_backends_log_nothing_about_transform(make_net, caplog_minicaffe, strict):
    make_net(get_backend(strict=strict), data("db_resized_lmdb"), "scale: 2").forward()
    assert "Transform" not in caplog_minicaffe.text


NET = """
name: "images"
layer { name: "in" type: "Data" top: "x" top: "label"
  transform_param { crop_size: 16 mirror: true mean_file: "FILES/mean.binaryproto" scale: 0.01 }
  data_param { source: "FILES/db_resized_lmdb" batch_size: 5 backend: LMDB } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 4 kernel_size: 5 stride: 3 weight_filler { type: "xavier" } } }
layer { name: "out" type: "InnerProduct" bottom: "conv" top: "out"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "out" bottom: "label" top: "loss" }
"""


@pytest.fixture
def train(files, monkeypatch):
    """A function that trains on a backend and returns the parameters after every step."""
    monkeypatch.chdir(files)
    Path("net.prototxt").write_text(NET.replace("FILES", str(files)))
    Path("solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 random_seed: 3 '
        'max_iter: 100 snapshot_prefix: "s" iter_size: 2'
    )

    def run(backend, steps=8):
        solver = Solver(read_solver(Path("solver.prototxt")), backend)
        seen = []
        for _ in range(steps):
            solver.step(1)
            seen.append([p.blob.data.get() for p in solver.net.parameters])
        solver.close()
        return seen

    return run


@pytest.mark.parametrize("channels_last", [False, True])
def test_captured_training_is_the_same(make_backend, train, emulated_device, channels_last):
    want = train(make_backend(captures=False, channels_last=channels_last))
    before = emulated_device.counts["replay"]
    assert_same(train(make_backend(channels_last=channels_last)), want)
    assert emulated_device.counts["replay"] > before + 8


def test_a_staging_buffer_is_not_read_before_acquire(make_backend, make_net, monkeypatch):
    net = make_net(make_backend(), data("db_resized_lmdb"), "")
    staged = net.layers[0].source.assembler.stage()
    monkeypatch.setattr(staged.staging, "acquire", lambda: None)
    staged.upload()
    batch = Batch((staged, staged.labels), (), {})
    monkeypatch.setattr(net.layers[0].source, "next", lambda: batch)
    with pytest.raises(DeviceFault, match="transform: a staging buffer is read that was"):
        net.forward()
