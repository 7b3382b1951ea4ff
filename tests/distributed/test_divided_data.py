"""Data of the parts of batches: together they are the batches of one process."""

from __future__ import annotations

import numpy as np
import pytest

from distributed.data_folders import BOXES, LAYERS, VOC, layer_text, make_folder
from distributed.thread_communicator import run_ranks
from minicaffe.data.records.image_list import ImageListRecords
from minicaffe.distributed.parts import BatchParts, WorkShare
from minicaffe.errors import NetError
from probe import net_from_text

BATCH, N_BATCHES = 8, 5
# The parts of each process: one a process, all in one process, two a process.
DIVISIONS = {
    "2 processes": [BatchParts(0, 1, 2), BatchParts(1, 1, 2)],
    "4 processes": [BatchParts(r, 1, 4) for r in range(4)],
    "4 parts in 1 process": [BatchParts(0, 4, 4)],
    "4 parts in 2 processes": [BatchParts(0, 2, 4), BatchParts(2, 2, 4)],
}
ONE = [BatchParts()]
# What stands for a batch without boxes.
NO_BOX = ([1, 1, 2, 2, 1, 1], [-1] * 7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    make_folder(folder)
    return folder


def nets_of(settings, folder, division, state=None, phase="TRAIN"):
    """Return the net of each process."""
    text = layer_text(settings, folder, BATCH // division[0].count)
    nets = [net_from_text(text, phase, share=WorkShare(parts)) for parts in division]
    for net in nets:
        if state is not None:
            net.restore(state)
    return nets


def parts_of(nets, division):
    """Return the tops of each part of the next batch, by part."""
    parts = []
    for net, of_process in zip(nets, division, strict=True):
        for _ in range(of_process.n):
            net.forward()
            parts.append({name: blob.data.get() for name, blob in net.blobs.items()})
    return parts


def joined(parts):
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def batches_of(nets, division, n):
    return [joined(parts_of(nets, division)) for _ in range(n)]


def assert_equal(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name, values in other.items():
            np.testing.assert_array_equal(one[name], values, err_msg=name)


def state_of(nets):
    """Return the state of all processes, which is the same."""
    states = [net.state() for net in nets]
    assert all(state == states[0] for state in states)
    return states[0]


@pytest.mark.parametrize("source", LAYERS)
def test_parts_are_the_batches_of_one_process(folder, source):
    whole = nets_of(LAYERS[source], folder, ONE)
    expected = batches_of(whole, ONE, N_BATCHES)
    assert any((expected[0]["data"] != batch["data"]).any() for batch in expected[1:])
    for name, division in DIVISIONS.items():
        nets = nets_of(LAYERS[source], folder, division)
        assert_equal(batches_of(nets, division, N_BATCHES), expected)
        assert state_of(nets) == state_of(whole), name


@pytest.mark.parametrize("source", LAYERS)
def test_another_number_of_processes_continues(folder, source):
    whole = nets_of(LAYERS[source], folder, ONE)
    batches_of(whole, ONE, 2)
    state = state_of(whole)
    expected = batches_of(whole, ONE, N_BATCHES)
    for division in DIVISIONS.values():
        first = nets_of(LAYERS[source], folder, division)
        batches_of(first, division, 2)
        assert state_of(first) == state
    for division in (ONE, *DIVISIONS.values()):
        nets = nets_of(LAYERS[source], folder, division, state)
        assert_equal(batches_of(nets, division, N_BATCHES), expected)


@pytest.mark.parametrize("source", LAYERS)
def test_skipped_batches(folder, source):
    expected = batches_of(nets_of(LAYERS[source], folder, ONE), ONE, 9)
    for division in (ONE, DIVISIONS["4 parts in 2 processes"]):
        nets = nets_of(LAYERS[source], folder, division)
        found = []
        # The same number twice, and another one.
        for skipped in (1, 2, 2, 0):
            for net in nets:
                net.skip_batches(skipped)
            found += batches_of(nets, division, 1)
        assert_equal(found, [expected[k] for k in (1, 4, 7, 8)])
        for net in nets:
            net.skip_batches(3)
        after = nets_of(LAYERS[source], folder, ONE)
        batches_of(after, ONE, 12)
        assert state_of(nets) == state_of(after)


def boxes_of(parts):
    """Return the boxes of a batch, which name the image in the batch, by image."""
    rows = []
    for k, part in enumerate(parts):
        first = k * len(part["data"])
        values = part.get("boxes", part["label"])
        # Those of ImageGtData, (G, 7, 1, 1), or those of AnnotatedData, (1, 1, G, 8).
        for item, *box in values.reshape(-1, 7 if "boxes" in part else 8).tolist():
            if box not in NO_BOX:
                rows.append([first + item, *box])
    return rows


@pytest.mark.parametrize("source", BOXES)
def test_boxes_name_the_image_of_the_part(folder, source):
    whole = nets_of(BOXES[source], folder, ONE)
    expected = [parts_of(whole, ONE) for _ in range(N_BATCHES)]
    assert sum(len(boxes_of(parts)) for parts in expected) > 10
    for division in DIVISIONS.values():
        nets = nets_of(BOXES[source], folder, division)
        for want in expected:
            parts = parts_of(nets, division)
            found = np.concatenate([part["data"] for part in parts])
            np.testing.assert_array_equal(found, want[0]["data"])
            assert boxes_of(parts) == boxes_of(want)
        assert state_of(nets) == state_of(whole)


def test_a_source_of_single_images(folder):
    """Its batch has one image, so that the batch of two processes is two batches of one."""
    (whole,) = nets_of(VOC, folder, ONE)
    expected = [parts_of([whole], ONE)[0] for _ in range(12)]
    for division in DIVISIONS.values():
        nets = nets_of(VOC, folder, division)
        found = [part for _ in range(12 // division[0].count) for part in parts_of(nets, division)]
        assert_equal(found, expected)
        assert state_of(nets) == state_of([whole])


def test_mixed_images_repeat_and_advance_as_those_of_one_process(folder):
    text = LAYERS["data"].replace("mirror: true", "mixup_alpha: 1")
    whole = nets_of(text, folder, ONE)
    batches_of(whole, ONE, 2)
    for division in DIVISIONS.values():
        first, again = (nets_of(text, folder, division) for _ in range(2))
        assert_equal(batches_of(again, division, 2), batches_of(first, division, 2))
        assert state_of(first) == state_of(whole)


def test_a_position_in_the_middle_of_a_batch_can_be_restored(folder):
    parts = BatchParts(2, 2, 4)
    (net,) = nets_of(LAYERS["data"], folder, [parts])
    net.forward()
    (resumed,) = nets_of(LAYERS["data"], folder, [parts], net.state())
    for _ in range(5):
        for one in (net, resumed):
            one.forward()
        assert_equal(
            [{"x": resumed.blobs["data"].data.get()}], [{"x": net.blobs["data"].data.get()}]
        )
        assert resumed.state() == net.state()


def test_records_of_other_parts_are_not_loaded(folder, monkeypatch):
    loaded = []
    record = ImageListRecords.record
    monkeypatch.setattr(
        ImageListRecords, "record", lambda self, k: (loaded.append(k), record(self, k))[1]
    )
    division = [BatchParts(1, 1, 4)]
    nets = nets_of(LAYERS["images"], folder, division)
    nets[0].layers[0].source.depth = 0  # no thread that reads ahead
    loaded.clear()
    batches_of(nets, division, 3)
    assert loaded == [2, 3, 10, 11, 5, 6]


@pytest.mark.parametrize("kind", ["Data", "AnnotatedData"])
def test_leveldb_is_refused_by_all_processes_before_it_is_opened(tmp_path, kind):
    text = (
        f'layer {{ name: "data" top: "data" type: "{kind}" '
        f'data_param {{ source: "{tmp_path}/missing" batch_size: 2 backend: LEVELDB }} }}'
    )

    def build(communicator):
        with pytest.raises(NetError) as caught:
            net_from_text(text, share=WorkShare(BatchParts(communicator.rank, 1, 2), communicator))
        return str(caught.value)

    first, second = run_ranks(2, build)
    assert first == second
    assert first.endswith(
        f"{tmp_path}/missing: 2 processes read this database, but LevelDB lets one process open "
        f"it. Write an LMDB: minicaffe db merge {tmp_path}/missing NEW_DB --backend=lmdb; "
        "then set source to it, and backend: LMDB."
    )
