"""VideoWithVoxelTruthData and VideoSegmentationData: clips of C3D's files, targets, messages."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from minicaffe.errors import DataError, NetError
from minicaffe.net import Net
from minicaffe.schema import BlobProto, BlobShape, parse_net

SHAPE = (5, 2, 6, 7)  # three channels of a picture, two targets; frames, rows, columns


def clip_of(seed):
    return np.random.default_rng(seed).integers(0, 200, SHAPE)


def write(path, values):
    header = struct.pack("<5i", 1, *values.shape)
    path.write_bytes(header + values.astype("<f4").tobytes())
    return path


@pytest.fixture
def source(tmp_path):
    """A list of three clips."""
    paths = [write(tmp_path / f"clip{seed}.bin", clip_of(seed)) for seed in range(3)]
    path = tmp_path / "list.txt"
    path.write_text("\n".join(map(str, paths)))
    return path


def layer(settings, kind="VideoWithVoxelTruthData", phase="TEST", seed=1):
    text = (
        f'layer {{ name: "data" type: "{kind}" top: "data" top: "truth" '
        f"image_data_param {{ {settings} }} }}"
    )
    return Net(parse_net(text, "net.prototxt"), phase, seed=seed)


def run(net):
    net.forward()
    return net.blobs["data"].data.get(), net.blobs["truth"].data.get()


def test_clips_and_targets(source):
    settings = f'source: "{source}" batch_size: 2 num_truth_channels: 2 truth_scale: 0.5 scale: 2'
    net = layer(settings)
    data, truth = run(net)
    want = np.stack([clip_of(0), clip_of(1)])
    np.testing.assert_array_equal(data, 2 * want[:, :3])
    np.testing.assert_array_equal(truth, want[:, 3:] / 2)
    np.testing.assert_array_equal(run(net)[1], np.stack([clip_of(2), clip_of(0)])[:, 3:] / 2)


def test_the_mean_changes_the_clip_only(tmp_path, source):
    path = tmp_path / "mean.binaryproto"
    mean = np.arange(3 * 2 * 6 * 7).reshape(3, 2, 6, 7)
    blob = BlobProto(shape=BlobShape(dim=[1, *mean.shape]), data=mean.ravel())
    path.write_bytes(blob.SerializeToString())
    settings = f'source: "{source}" num_truth_channels: 2 mean_file: "{path}"'
    data, truth = run(layer(settings))
    np.testing.assert_array_equal(data[0], clip_of(0)[:3] - mean)
    np.testing.assert_array_equal(truth[0], clip_of(0)[3:])
    with pytest.raises(NetError, match="and the mean 6 x 6 x 7"):
        layer(f'source: "{source}" mean_file: "{path}"')


def test_the_middle_is_cut_out_of_both(source):
    settings = f'source: "{source}" num_truth_channels: 2 crop_size: 3'
    data, truth = run(layer(settings))
    want = clip_of(0)[:, :, 1:4, 2:5]
    np.testing.assert_array_equal(data[0], want[:3])
    np.testing.assert_array_equal(truth[0], want[3:])


def test_mirroring_inverts_horizontal_flow(source):
    settings = f'source: "{source}" num_truth_channels: 2 mirror: true is_flow: true'
    net = layer(settings, phase="TRAIN")
    mirrored = []
    for step in range(9):
        data, truth = run(net)
        clip = clip_of(step % 3)
        mirrored.append(not np.array_equal(data[0], clip[:3]))
        want = clip[3:].copy()
        if mirrored[-1]:
            want = want[..., ::-1] * np.array([-1, 1])[:, None, None, None]
            clip = clip[..., ::-1]
        np.testing.assert_array_equal(data[0], clip[:3])
        np.testing.assert_array_equal(truth[0], want)
    assert len(set(mirrored)) == 2


def test_random_windows_and_orders_resume(source):
    settings = f'source: "{source}" num_truth_channels: 2 crop_size: 4 shuffle: true'
    net = layer(settings, phase="TRAIN")
    seen = [run(net) for _ in range(5)]
    first = layer(settings, phase="TRAIN")
    run(first)
    resumed = layer(settings, phase="TRAIN", seed=9)
    resumed.restore(json.loads(json.dumps(first.state())))
    for want in seen[1:]:
        for got, values in zip(run(resumed), want, strict=True):
            np.testing.assert_array_equal(got, values)


def test_labels_keep_their_values(tmp_path):
    path = write(tmp_path / "clip.bin", clip_of(4))
    listed = tmp_path / "list.txt"
    listed.write_text(str(path))
    settings = f'source: "{listed}" scale: 0.5 truth_scale: 2'
    data, labels = run(layer(settings, "VideoSegmentationData"))
    np.testing.assert_array_equal(data[0], clip_of(4)[:4] / 2)
    np.testing.assert_array_equal(labels[0], clip_of(4)[4:])


def test_what_is_refused(tmp_path, source):
    def refused(settings, kind="VideoWithVoxelTruthData"):
        with pytest.raises(NetError) as raised:
            layer(settings, kind)
        return str(raised.value)

    given = f'source: "{source}" num_truth_channels: 2'
    assert "{ source } is missing: the list of clips" in refused("")
    assert "batch_size is 0" in refused(f"{given} batch_size: 0")
    assert "num_truth_channels is 0" in refused(f'source: "{source}" num_truth_channels: 0')
    assert "at least one must remain" in refused(f'source: "{source}" num_truth_channels: 5')
    assert "crop_size 7 is larger than the clip, 6 x 7" in refused(f"{given} crop_size: 7")
    missing = tmp_path / "missing.txt"
    missing.write_text(str(source))
    assert "missing.txt:1: " in refused(f'source: "{missing}"')
    assert "not a clip of float32 values" in refused(f'source: "{missing}"')
    missing.write_text("no.bin")
    assert "no.bin: the clip cannot be read" in refused(f'source: "{missing}"')
    missing.write_text("\n")
    assert "the list is empty" in refused(f'source: "{missing}"')


def test_clips_of_different_sizes(tmp_path):
    paths = [write(tmp_path / f"{i}.bin", np.zeros((2, 1, 3, 4 + i))) for i in range(2)]
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(map(str, paths)))
    net = layer(f'source: "{listed}" batch_size: 2')
    with pytest.raises(DataError, match=r"batch began with 1 x 1 x 3 x 4 .*Use batch_size: 1"):
        run(net)
