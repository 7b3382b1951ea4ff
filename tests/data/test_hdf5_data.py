import gc
import json
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

from minicaffe.data.batches import RowBatches
from minicaffe.data.records.hdf5 import Hdf5Rows
from minicaffe.distributed.parts import BatchRows
from minicaffe.errors import DataError, NetError
from minicaffe.net import Net
from minicaffe.random import RandomStream
from minicaffe.schema import parse_net

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def make_list(tmp_path):
    """A function that writes files of datasets and returns the list that names them."""

    def make(*files):
        paths = []
        for i, datasets in enumerate(files):
            paths.append(tmp_path / f"file {i}.h5")
            with h5py.File(paths[-1], "w") as file:
                for name, values in datasets.items():
                    file[name] = values
        source = tmp_path / "list.txt"
        source.write_text("\n".join(map(str, paths)) + "\n\n")
        return str(source)

    return make


def rows(*numbers):
    return {"x": np.array([[n, -n] for n in numbers], np.float64), "y": np.array(numbers)}


def batches(source, batch_size, seed=1, shuffle=False, datasets=("x", "y")):
    stream = RandomStream(seed, "data") if shuffle else None
    return RowBatches(Hdf5Rows(source, datasets, stream), BatchRows(batch_size))


def take(source, n):
    """Return the numbers of n batches, after checking that rows of x and y belong together."""
    found = []
    for _ in range(n):
        x, y = source.next().tops
        assert x.dtype == y.dtype == np.float32
        np.testing.assert_array_equal(x, np.stack([y, -y], axis=1))
        found.append(y.tolist())
    return found


def test_counting_the_rows_of_files(make_list):
    source = make_list(rows(1, 2), rows(3), {"y": np.ones(2)})
    records = Hdf5Rows(source, ["x", "y"])
    assert records.count_records(2) == 2
    assert records.count_records(3) == 3
    with pytest.raises(DataError, match=r'list\.txt:3: .*file 2\.h5: no dataset "x"'):
        records.count_records(4)
    Path(source).with_name("file 1.h5").unlink()
    with pytest.raises(DataError, match=r"list\.txt:2: .*file 1\.h5: cannot be read as HDF5: "):
        records.count_records(3)


def test_values_are_those_of_caffe(tmp_path):
    (tmp_path / "h5list.txt").write_text(f"{GOLDEN}/files/numbers.h5\n")
    with np.load(GOLDEN / "data" / "hdf5_data.npz") as golden:
        text = str(golden["prototxt"]).replace("FILES", str(tmp_path))
        net = Net(parse_net(text, "net.prototxt"), "TEST")
        for i in range(int(golden["batches"])):
            net.forward()
            for top in ("data", "target"):
                np.testing.assert_array_equal(net.blobs[top].data.get(), golden[f"batch.{i}.{top}"])
        net.close()


def test_batches_span_files_and_are_cyclic(make_list, caplog_minicaffe):
    path = make_list(rows(1, 2, 3), rows(4), rows(5, 6))
    source = batches(path, 4)
    assert source.shapes == [(4, 2), (4,)]
    assert take(source, 3) == [[1, 2, 3, 4], [5, 6, 1, 2], [3, 4, 5, 6]]
    assert take(batches(path, 13), 1) == [[1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 1]]
    assert caplog_minicaffe.messages[:2] == [
        f"Loading list of HDF5 filenames from: {path}",
        "Number of HDF5 files: 3",
    ]


def test_shuffle_mixes_files_and_the_rows_within_each(make_list):
    path = make_list(rows(1, 2, 3, 4), rows(5, 6, 7, 8), rows(9, 10, 11, 12))
    source = batches(path, 4, shuffle=True)
    rounds = [take(source, 3) for _ in range(4)]
    for files in rounds:
        assert sorted(map(sorted, files)) == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]
    assert len({tuple(min(file) for file in files) for files in rounds}) > 1
    assert len({tuple(file) for files in rounds for file in files if 1 in file}) > 1
    assert take(batches(path, 4, shuffle=True), 3) == rounds[0]


def test_one_file_is_shuffled_anew_in_each_round(make_list):
    source = batches(make_list(rows(*range(9))), 9, shuffle=True)
    first, second = (take(source, 1)[0] for _ in range(2))
    assert first != second
    assert sorted(first) == sorted(second) == list(range(9))


def test_a_restored_source_continues_exactly(make_list):
    path = make_list(rows(1, 2, 3), rows(4, 5, 6, 7), rows(8, 9))
    source, again = batches(path, 2, shuffle=True), batches(path, 2, shuffle=True)
    take(source, 5)
    position = json.loads(json.dumps(source.position()))
    assert position == {"round": 1, "file": 0, "row": 1}
    again.restore(position)
    assert take(again, 9) == take(source, 9)


def test_a_layer_restored_in_another_run_continues(make_list):
    path = make_list(rows(*range(9)))
    text = (
        'layer { name: "data" type: "HDF5Data" top: "y" top: "x" '
        f'hdf5_data_param {{ source: "{path}" batch_size: 4 shuffle: true }} }}'
    )
    net = Net(parse_net(text), "TRAIN", seed=1)
    other = Net(parse_net(text), "TRAIN", seed=2)
    net.forward()
    other.restore(json.loads(json.dumps(net.state())))
    net.forward()
    other.forward()
    assert net.blobs["y"].shape == (4,)
    np.testing.assert_array_equal(other.blobs["y"].data.get(), net.blobs["y"].data.get())
    np.testing.assert_array_equal(net.blobs["x"].data.get()[:, 0], net.blobs["y"].data.get())
    net.close()
    other.close()


def test_a_layer_reads_ahead_and_its_position_counts_what_was_handed_out(make_list):
    text = (
        'layer { name: "data" type: "HDF5Data" top: "y" '
        f'hdf5_data_param {{ source: "{make_list(rows(*range(9)), rows(9))}" batch_size: 2 }} }}'
    )
    net = Net(parse_net(text), "TRAIN")
    for i in range(1, 5):
        net.forward()
        assert net.state()["data"]["position"] == {"round": 0, "file": 0, "row": 2 * i}
    assert "minicaffe-prefetch" in {thread.name for thread in threading.enumerate()}
    assert net.data_wait_s > 0
    net.close()


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        (
            {"x": np.zeros((3, 2)), "label": np.zeros(3)},
            '{list}:1: {file}: no dataset "y"; every top of HDF5Data is read from the dataset of '
            "its name. Known: label, x.",
        ),
        (
            {"x": np.zeros((3, 2)), "y": np.zeros(4)},
            '{list}:1: {file}: "x" has 3, "y" has 4 rows; every dataset must have the same number, '
            "at least 1: row i of all of them is one sample.",
        ),
        (
            {"x": np.zeros((0, 2)), "y": np.zeros(0)},
            '{list}:1: {file}: "x" has 0, "y" has 0 rows; every dataset must have the same number, '
            "at least 1: row i of all of them is one sample.",
        ),
        (
            {"x": np.zeros((3, 2)), "y": "words"},
            '{list}:1: {file}: dataset "y" holds object of shape (); it must hold numbers, with '
            "the samples along the first axis.",
        ),
    ],
)
def test_wrong_files(make_list, tmp_path, datasets, message):
    path = make_list(datasets)
    with pytest.raises(DataError) as caught:
        batches(path, 2)
    assert str(caught.value) == message.format(list=path, file=tmp_path / "file 0.h5")


def test_rows_of_another_shape_in_a_later_file(make_list, tmp_path):
    path = make_list(rows(1), {"x": np.zeros((1, 3)), "y": np.zeros(1)})
    with pytest.raises(DataError) as caught:
        batches(path, 2).next()
    assert str(caught.value) == (
        f'{path}:2: {tmp_path / "file 1.h5"}: a row of dataset "x" has shape (3,); in the first '
        "file it has (2,). All files must have rows of one shape."
    )


def test_files_that_are_missing_or_no_hdf5(make_list, tmp_path):
    path = make_list(rows(1))
    (tmp_path / "file 0.h5").write_bytes(b"something else")
    with pytest.raises(DataError, match=r"list.txt:1: .*file 0.h5: cannot be read as HDF5: "):
        batches(path, 1)
    (tmp_path / "file 0.h5").unlink()
    with pytest.raises(DataError, match=r"No such file .* relative to the current directory"):
        batches(path, 1)


def test_lists_that_are_wrong(make_list, tmp_path):
    make_list(rows(1))
    with pytest.raises(DataError, match=r"file 0.h5: not a text file; source is a list of HDF5"):
        batches(str(tmp_path / "file 0.h5"), 1)
    with pytest.raises(
        DataError, match=r"none.txt: the list of HDF5 files cannot be read: No such"
    ):
        batches(str(tmp_path / "none.txt"), 1)
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match=r"empty.txt: the list is empty; it needs the path of an"):
        batches(str(tmp_path / "empty.txt"), 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("", r"hdf5_data_param { source } is missing: a list of HDF5 files"),
        ('hdf5_data_param { source: "x" }', "batch_size is missing or 0; it must be at least 1"),
        (
            'hdf5_data_param { source: "x" batch_size: 1 } transform_param { scale: 2 }',
            "HDF5Data does not transform data; remove transform_param and store the values",
        ),
        (
            'hdf5_data_param { source: "no such list" batch_size: 1 }',
            "no such list: the list of HDF5 files cannot be read",
        ),
    ],
)
def test_wrong_settings(settings, message):
    text = f'layer {{ name: "data" type: "HDF5Data" top: "x" {settings} }}'
    with pytest.raises(NetError, match=r'net.prototxt:1, layer "data" \(HDF5Data\): ' + message):
        Net(parse_net(text, "net.prototxt"), "TRAIN")


def output_net(tmp_path, shapes=((2, 3), (2,))):
    text = (
        "force_backward: true "
        + "".join(
            f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
            + " ".join(f"dim: {n}" for n in shape)
            + " } } }\n"
            for name, shape in zip(("a", "b"), shapes, strict=True)
        )
        + 'layer { name: "out" type: "HDF5Output" bottom: "a" bottom: "b" hdf5_output_param { '
        f'file_name: "{tmp_path}/out.h5" }} }}'
    )
    return Net(parse_net(text, "net.prototxt"), "TEST")


def test_output_adds_the_rows_of_every_pass(tmp_path):
    (tmp_path / "out.h5").write_bytes(b"replaced")
    net = output_net(tmp_path)
    for i in range(3):
        net.blobs["a"].data.set(np.arange(6).reshape(2, 3) + 10 * i)
        net.blobs["b"].data.set([i, -i])
        net.forward()
        net.backward()
    net.close()
    with h5py.File(tmp_path / "out.h5") as file:
        assert sorted(file) == ["data", "label"]
        assert file["data"].dtype == np.float32
        assert file["data"].shape == (6, 3, 1, 1)
        np.testing.assert_array_equal(file["data"][2:4, :, 0, 0], [[10, 11, 12], [13, 14, 15]])
        np.testing.assert_array_equal(file["label"][:, 0, 0, 0], [0, 0, 1, -1, 2, -2])


def test_output_replaces_an_existing_file_when_the_net_is_closed(tmp_path):
    (tmp_path / "out.h5").write_bytes(b"old")
    net = output_net(tmp_path)
    net.forward()
    assert (tmp_path / "out.h5").read_bytes() == b"old"
    net.close()
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["data"].shape == (2, 3, 1, 1)


def test_output_of_a_net_that_is_only_built_leaves_the_file(tmp_path):
    (tmp_path / "out.h5").write_bytes(b"old")
    output_net(tmp_path).close()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_output_is_finished_with_the_last_reference_to_the_net(tmp_path):
    net = output_net(tmp_path)
    net.forward()
    del net
    gc.collect()
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["data"].shape == (2, 3, 1, 1)


def test_output_of_two_nets_into_one_file_is_refused(tmp_path):
    net = output_net(tmp_path)
    with pytest.raises(NetError, match=r"out.h5: another layer of this program writes this file"):
        output_net(tmp_path)
    net.close()
    output_net(tmp_path).close()


FILL_THE_DISK = """
import resource, sys
import numpy as np
from minicaffe.data.hdf5_writer import Hdf5Writer
from minicaffe.errors import DataError
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    writer = Hdf5Writer(sys.argv[1])
    for i in range(40):
        writer.append("data", np.full((10, 70), i, np.float32))
        if i % 3 == 0:
            writer.flush()
    writer.close()
except DataError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [0, 100, 5000, 30_000, 110_000])
def test_output_on_a_full_disk(tmp_path, limit):
    (tmp_path / "out.h5").write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(tmp_path / "out.h5"), str(limit)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout == (
        f"{tmp_path}/out.h5 cannot be written: File too large. The previous file is unchanged.\n"
    )
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_output_of_rows_that_changed_their_shape(tmp_path):
    net = output_net(tmp_path)
    net.forward()
    net.blobs["a"].reshape((2, 4))
    with pytest.raises(DataError, match=r'"out" \(HDF5Output\): .*out.h5: dataset "data" has rows'):
        net.forward()
    net.close()


def test_output_that_is_wrong(tmp_path):
    with pytest.raises(NetError, match=r'bottoms "a" of shape \(2, 3\) and "b" of shape \(3,\); b'):
        output_net(tmp_path, ((2, 3), (3,)))
    with pytest.raises(NetError, match=r"none/out.h5 cannot be written: No such file"):
        output_net(tmp_path / "none")
