"""Weights, solver state and mean files: Caffe's own, old formats, forks', damaged files."""

from __future__ import annotations

import io
import mmap
import os
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

from minicaffe.atomic_file import write_atomically
from minicaffe.errors import DataError, SchemaError, SnapshotError
from minicaffe.schema import (
    BlobProto,
    NetParameter,
    SolverState,
    SolverStateFile,
    binary,
    read_binary,
    read_blobproto,
    read_net_binary,
    read_net_weights,
    read_solver_state,
    write_blobproto,
    write_net_weights,
    write_solver_state,
)
from minicaffe.schema.minicaffe_pb2 import V1LayerParameter
from minicaffe.schema.weights_pb2 import BlobWeights, C3DBlobWeights, NetWeights

GOLDEN = Path(__file__).parents[1] / "golden" / "schema"
MODEL = GOLDEN / "adam_iter_10.caffemodel"
STATE = GOLDEN / "adam_iter_10.solverstate"


def in_hdf5(path: Path) -> Path:
    """Return the HDF5 file that Caffe wrote with the same content."""
    return path.with_name(path.name + ".h5")


def varied(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 7


def same(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    return len(left) == len(right) and all(
        a.dtype == np.float32 and a.shape == np.shape(b) and np.array_equal(a, b)
        for a, b in zip(left, right, strict=True)
    )


def read_bytes(content: bytes, tmp_path: Path):
    (tmp_path / "net.caffemodel").write_bytes(content)
    return read_net_weights(tmp_path / "net.caffemodel")


def test_caffes_weights_are_read():
    layers = read_net_weights(MODEL)
    assert [(x.name, x.type) for x in layers] == [
        ("data", "Input"),
        ("conv", "Convolution"),
        ("relu", "ReLU"),
        ("pool", "Pooling"),
        ("ip", "InnerProduct"),
        ("loss", "SoftmaxWithLoss"),
    ]
    full = read_binary(MODEL, NetParameter)
    for layer, expected in zip(layers, full.layer, strict=True):
        arrays = [np.reshape(np.float32(b.data), tuple(b.shape.dim)) for b in expected.blobs]
        assert same(layer.blobs, arrays)


def test_caffes_hdf5_weights_are_read():
    layers = {x.name: x.blobs for x in read_net_weights(in_hdf5(MODEL))}
    assert list(layers) == ["conv", "ip"]
    with h5py.File(in_hdf5(MODEL)) as file:
        for name, blobs in layers.items():
            assert same(blobs, [file[f"data/{name}/{index}"][()] for index in (0, 1)])


def test_caffes_solver_states_are_read_in_both_formats():
    state, other = read_solver_state(STATE), read_solver_state(in_hdf5(STATE))
    assert (state.iter, state.current_step) == (other.iter, other.current_step) == (10, 0)
    assert state.learned_net == "trajectory_iter_10.caffemodel"
    assert other.learned_net == "trajectory_iter_10.caffemodel.h5"
    full = read_binary(STATE, SolverState).history
    assert same(state.history, [np.reshape(np.float32(b.data), tuple(b.shape.dim)) for b in full])
    with h5py.File(in_hdf5(STATE)) as file:
        assert same(other.history, [file[f"history/{index}"][()] for index in range(8)])


def test_hdf5_files_have_the_layout_of_caffes(tmp_path):
    def layout(path: Path) -> dict[str, str]:
        found: dict[str, str] = {}
        with h5py.File(path) as file:
            file.visititems(lambda name, item: found.update({name: str(item).split(":")[-1]}))
        return {name: text for name, text in found.items() if " members" not in text}

    net = read_binary(MODEL, NetParameter)
    weights = {x.name: x.blobs for x in read_net_weights(in_hdf5(MODEL))}
    arrays = [(i, weights.get(layer.name, []), None) for i, layer in enumerate(net.layer)]
    write_net_weights(tmp_path / "w.h5", net, arrays, as_hdf5=True)
    assert layout(tmp_path / "w.h5") == layout(in_hdf5(MODEL))
    write_solver_state(tmp_path / "s.h5", read_solver_state(in_hdf5(STATE)), as_hdf5=True)
    assert layout(tmp_path / "s.h5") == layout(in_hdf5(STATE))


def test_caffes_mean_is_read_and_written_byte_for_byte(tmp_path):
    mean = read_blobproto(GOLDEN / "mean.binaryproto")
    assert mean.shape == (1, 3, 28, 32)
    write_blobproto(tmp_path / "mean.binaryproto", mean[0])
    written = (tmp_path / "mean.binaryproto").read_bytes()
    assert written == (GOLDEN / "mean.binaryproto").read_bytes()
    with pytest.raises(DataError, match="at most four axes"):
        write_blobproto(tmp_path / "x", np.zeros((1, 1, 1, 1, 1)))


@pytest.fixture
def net() -> NetParameter:
    net = NetParameter(name="n")
    for name in ("a/1x1", "silent", "b"):
        net.layer.add(name=name, type="InnerProduct", bottom=["x"])
    return net


@pytest.mark.parametrize("diffs", [None, [varied(2, 3), varied(3) + 1]])
def test_the_full_schema_reads_the_weights_that_are_written(net, diffs, tmp_path):
    data = [varied(2, 3), varied(3)]
    write_net_weights(tmp_path / "w", net, [(0, data, diffs), (2, [np.float64(0.5)], None)])
    full = read_binary(tmp_path / "w", NetParameter)
    assert full.name == "n"
    assert [x.name for x in full.layer] == ["a/1x1", "silent", "b"]
    assert list(full.layer[0].bottom) == ["x"]
    assert list(full.layer[0].blobs[0].data) == list(data[0].ravel())
    assert list(full.layer[0].blobs[0].shape.dim) == [2, 3]
    saved = [list(blob.diff) for blob in full.layer[0].blobs]
    assert saved == [list(d.ravel()) for d in diffs or (np.zeros(0), np.zeros(0))]
    layers = read_net_weights(tmp_path / "w")
    assert same(layers[0].blobs, data)
    assert same(layers[2].blobs, [np.float32(0.5)])


def test_large_arrays_get_lengths_of_several_bytes(net, tmp_path):
    data = [varied(300, 100)]
    file = io.BytesIO()
    write_net_weights(file, net, [(1, data, None)])
    assert same(read_bytes(file.getvalue(), tmp_path)[1].blobs, data)


def test_hdf5_weights_round_trip(net, tmp_path):
    data, diffs = [varied(2, 3), varied(3)], [varied(2, 3) + 1, varied(3) + 1]
    write_net_weights(tmp_path / "w.h5", net, [(0, data, diffs)], as_hdf5=True)
    [layer] = read_net_weights(tmp_path / "w.h5")  # layers without weights have an empty group
    assert layer.name == "a/1x1"
    assert same(layer.blobs, data)


@pytest.mark.parametrize("as_hdf5", [False, True])
def test_solver_state_round_trip(as_hdf5, tmp_path):
    state = SolverStateFile(7, "snap/lenet_iter_7.caffemodel", 2, [varied(2, 3), varied(4)])
    write_solver_state(tmp_path / "s", state, as_hdf5)
    back = read_solver_state(tmp_path / "s")
    assert (back.iter, back.learned_net, back.current_step) == (7, state.learned_net, 2)
    assert same(back.history, state.history)


def test_v1_and_v0_weights_keep_their_four_axes(tmp_path):
    net = NetParameter()
    v1 = net.layers.add(name="conv", type=V1LayerParameter.CONVOLUTION)
    v1.blobs.add(num=2, channels=1, height=1, width=3).data.extend(range(6))
    v0 = net.layers.add()
    v0.layer.name, v0.layer.type = "fc", "innerproduct"
    v0.layer.blobs.add(num=1, channels=1, height=1, width=2).data.extend([5, 6])
    conv, fc = read_bytes(net.SerializeToString(), tmp_path)
    assert (conv.name, conv.type, fc.name, fc.type) == ("conv", "Convolution", "fc", "innerproduct")
    assert same(conv.blobs, [np.arange(6, dtype=np.float32).reshape(2, 1, 1, 3)])
    assert same(fc.blobs, [np.float32([[[[5, 6]]]])])


def test_double_half_unpacked_and_shapeless_values_are_read(tmp_path):
    net = NetWeights()
    layer = net.layer.add(name="x")
    values = varied(2, 3).astype(np.float16).astype(np.float32)
    half, double = layer.blobs.add(), layer.blobs.add()
    half.shape.dim.extend([2, 3])
    half.raw_data_type, half.raw_data = BlobWeights.FLOAT16, values.astype("<f2").tobytes()
    double.shape.dim.extend([2, 3])
    double.double_data = values.astype("<f8").tobytes()
    layer.blobs.add(data=values.ravel().tobytes())
    unpacked = layer.blobs.add()
    one_by_one = b"".join(b"\x2d" + v.tobytes() for v in values.ravel())  # field 5, four bytes
    unpacked.MergeFromString(one_by_one)
    unpacked.shape.dim.extend([2, 3])
    empty = layer.blobs.add()
    empty.shape.dim.extend([0, 3])
    [read] = read_bytes(net.SerializeToString(), tmp_path)
    flat = values.ravel()
    assert same(read.blobs, [values, values, flat, values, np.zeros((0, 3), np.float32)])


def c3d_blob(values: np.ndarray) -> BlobWeights:
    num, channels, length, height, width = values.shape
    blob = C3DBlobWeights(num=num, channels=channels, length=length, height=height, width=width)
    blob.data = values.astype("<f4").tobytes()
    return BlobWeights.FromString(blob.SerializeToString())


def test_the_renumbered_blobs_of_c3d_are_read(tmp_path):
    weights, bias, dense = varied(2, 3, 4, 1, 5), varied(1, 1, 1, 1, 2), varied(1, 1, 1, 3, 2)
    net = NetWeights()
    conv = net.layers.add(name="conv", type=30)  # ARGMAX in Caffe
    conv.blobs.extend([c3d_blob(weights), c3d_blob(bias)])
    net.layers.add(name="fc", type=V1LayerParameter.INNER_PRODUCT).blobs.append(c3d_blob(dense))
    read = read_bytes(net.SerializeToString(), tmp_path)
    assert [(x.name, x.type) for x in read] == [("conv", "Convolution3D"), ("fc", "InnerProduct")]
    assert same(read[0].blobs, [weights, bias])
    assert same(read[1].blobs, [dense])
    (tmp_path / "mean.binaryproto").write_bytes(c3d_blob(weights).SerializeToString())
    assert np.array_equal(read_blobproto(tmp_path / "mean.binaryproto"), weights)


def test_a_blob_of_c3d_with_too_few_values_raises_an_error(tmp_path):
    blob = c3d_blob(varied(2, 3, 4, 1, 5))
    blob.diff = blob.diff[4:]
    net = NetWeights()
    net.layers.add(name="conv", type=30).blobs.append(blob)
    with pytest.raises(
        SnapshotError, match=r"\(2, 3, 4, 1, 5\) has 119 values; the file is damaged"
    ):
        read_bytes(net.SerializeToString(), tmp_path)


def test_files_of_forks_are_read_and_unknown_fields_preserved(tmp_path):
    path = tmp_path / "fork.caffemodel"
    # A layer with field 148 as a fork has it: Caffe's clip_param, but without the required max.
    net = NetParameter()
    net.layer.add(name="smooth").clip_param.min = 3
    content = net.SerializePartialToString() + b"\xf2\x7f\x02hi"  # field 2046, unknown here
    path.write_bytes(content)
    assert read_net_binary(path).param.SerializePartialToString() == content
    assert [x.name for x in read_net_weights(path)] == ["smooth"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; probably writing or copying it was interrupted"),
        (b"# A model\n\nIts weights are elsewhere.\n", "this is a text file"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a git-lfs pointer.*git lfs pull"),
        (b"\n<!DOCTYPE html>\n<html>", "a web page; the download failed"),
        (b"\x1f\x8b\x08\x00", "a gzip archive; unpack it first"),
        (b'# LeNet\nname: "LeNet"\n', "a prototxt .text.; give the binary file"),
        (MODEL.read_bytes()[:-1], r"1,471 bytes are not a complete \.\w+; .* interrupted"),
        (MODEL.read_bytes()[:700], r"700 bytes are not a complete \.\w+; .* interrupted"),
    ],
)
@pytest.mark.parametrize("read", [read_net_weights, read_solver_state])
def test_a_file_of_another_type_is_refused_with_its_type(read, content, message, tmp_path):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(content)
    with pytest.raises(SnapshotError, match=f"net.caffemodel: .*{message}"):
        read(path)


def test_each_reader_raises_its_own_kind_of_error(tmp_path):
    path = tmp_path / "none"
    for read, error in (
        (read_net_weights, SnapshotError),
        (read_solver_state, SnapshotError),
        (read_blobproto, DataError),
        (read_net_binary, SchemaError),
    ):
        with pytest.raises(error, match="none: no such file"):
            read(path)


def test_values_that_do_not_fit_the_shape_are_refused(tmp_path):
    net = NetParameter()
    blob = net.layer.add(name="ip").blobs.add()
    blob.shape.dim.extend([2, 3])
    blob.data.extend([1, 2])
    with pytest.raises(SnapshotError, match=r'blob 0 of "ip": .*shape \(2, 3\) has 2 values'):
        read_bytes(net.SerializeToString(), tmp_path)
    mean = BlobProto(num=1, channels=2, height=2, width=2, data=[1.0])
    (tmp_path / "mean").write_bytes(mean.SerializeToString())
    with pytest.raises(DataError, match=r"mean: a blob of shape \(1, 2, 2, 2\) has 1 values"):
        read_blobproto(tmp_path / "mean")


def test_weights_given_as_solver_state_and_the_reverse_are_refused(tmp_path):
    with pytest.raises(SnapshotError, match=r"not a solver state. .* --weights"):
        read_solver_state(MODEL)
    with pytest.raises(SnapshotError, match="has no current_step, history, iter"):
        read_solver_state(in_hdf5(MODEL))
    with pytest.raises(SnapshotError, match='weights are in a group "data"'):
        read_net_weights(in_hdf5(STATE))
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["data"] = np.zeros((2, 3))
    with pytest.raises(SnapshotError, match='"data" is an array, as in a file for HDF5Data'):
        read_net_weights(tmp_path / "rows.h5")


def test_a_damaged_hdf5_file_is_refused(tmp_path):
    path = tmp_path / "net.caffemodel.h5"
    path.write_bytes(in_hdf5(MODEL).read_bytes()[:3000])
    with pytest.raises(SnapshotError, match=r"net\.caffemodel\.h5: cannot be read as HDF5"):
        read_net_weights(path)


def test_the_size_limit_is_checked_before_reading_and_writing(net, monkeypatch, tmp_path):
    monkeypatch.setattr(binary, "_LIMIT_BYTES", 1000)
    with pytest.raises(SnapshotError, match="1,472 bytes; protobuf reads less than 2 GiB"):
        read_net_weights(MODEL)
    with pytest.raises(SnapshotError, match=r"limited to 2 GiB\. Set snapshot_format: HDF5"):
        write_net_weights(tmp_path / "w", net, [(0, [varied(300)], None)])
    assert not (tmp_path / "w").exists()


def test_names_that_are_not_utf8_are_refused(tmp_path):
    (tmp_path / "s").write_bytes(b"\x08\x01\x12\x02\xff\xfe")
    with pytest.raises(
        SnapshotError, match=r"s: the name .* b'\\xff\\xfe', is not UTF-8; the file"
    ):
        read_solver_state(tmp_path / "s")
    for layer in (b"\xa2\x06\x04\x0a\x02\xff\xfe", b"\x12\x04\x22\x02\xff\xfe"):
        (tmp_path / "w").write_bytes(layer)
        with pytest.raises(
            SnapshotError, match=r"w: the name b'\\xff\\xfe' is not UTF-8; the file"
        ):
            read_net_weights(tmp_path / "w")


def origin(array: np.ndarray) -> object:
    """Return what the memory of an array belongs to."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base.obj if isinstance(base, memoryview) else base


def test_values_stay_in_the_mapped_file():
    arrays = [blob for layer in read_net_weights(MODEL) for blob in layer.blobs]
    assert arrays
    assert all(isinstance(origin(array), mmap.mmap) for array in arrays)
    assert not any(array.flags.writeable for array in arrays)


def test_mapped_weights_outlive_the_replacement_of_their_file(net, tmp_path):
    path = tmp_path / "net.caffemodel"
    write_net_weights(path, net, [(0, [varied(3, 4)], None)])
    (blob,) = read_net_weights(path)[0].blobs
    with write_atomically(path) as file:
        write_net_weights(file, net, [(0, [-varied(3, 4)], None)])
    np.testing.assert_array_equal(blob, varied(3, 4))
    np.testing.assert_array_equal(read_net_weights(path)[0].blobs[0], -varied(3, 4))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_weights_are_read_from_a_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=[MODEL.read_bytes()])
    writer.start()
    layers = binary.read_net_weights_binary(path)
    writer.join()
    for layer, expected in zip(layers, read_net_weights(MODEL), strict=True):
        assert same(layer.blobs, expected.blobs)


@pytest.mark.parametrize("read", [read_net_weights, read_solver_state])
def test_a_file_that_is_cut_off_is_refused(read, tmp_path):
    content = (MODEL if read is read_net_weights else STATE).read_bytes()
    path = tmp_path / "cut"
    for size in (1, 7, len(content) // 3, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(SnapshotError, match=r"not a complete|binary file is needed|no field"):
            read(path)
    path.write_bytes(b"")
    with pytest.raises(SnapshotError, match="is empty; probably writing or copying it was"):
        read(path)
