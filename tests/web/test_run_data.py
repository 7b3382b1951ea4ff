"""The interface of the board: databases of a run, with labels or with boxes."""

import io
import time

import numpy as np
import pytest
from board_client import answer, board_client
from PIL import Image
from run_folders import write_run
from small_run import CLASSES, LABELS, N_IMAGES, NET, RUN, image, write_small_run

from minicaffe.data.annotations.annotated_datum import encode_annotated_datum
from minicaffe.data.annotations.object_box import ObjectBox
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.web.board.inside import data_routes, database_scan

SOURCE = {"source": "data/images_lmdb"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    write_small_run(root)
    outside = write_run(root / "runs" / "outside-1")
    (outside / "train.prototxt").write_text(NET.replace("data/images_lmdb", "/tmp"))
    return root


@pytest.fixture(scope="module")
def client(root):
    """A client of a board of the folder."""
    with board_client(root) as client:
        yield client


def counted(client, **query):
    end = time.monotonic() + 60
    while not (found := answer(client, "data", **query))["is_complete"]:
        assert time.monotonic() < end, found
        time.sleep(0.01)
    return found


def test_classes_are_counted(client):
    assert answer(client, "data")["databases"] == [
        {"net": "train", "layer": "data", "source": "data/images_lmdb", "is_there": True}
    ]
    found = counted(client, **SOURCE)
    assert (found["n_records"], found["n_scanned"], found["problem"]) == (N_IMAGES, N_IMAGES, "")
    assert found["classes"] == [
        {"label": k, "name": name, "images": 10, "boxes": 0} for k, name in enumerate(CLASSES)
    ]
    assert (found["n_damaged"], found["remarks"], found["has_boxes"]) == (0, [], False)


def test_records_are_shown_in_pages(client, monkeypatch):
    counted(client, **SOURCE)
    monkeypatch.setattr(data_routes, "_PAGE", 4)
    second = answer(client, "data/records", **SOURCE, page=1)
    assert (second["n"], second["page_size"]) == (N_IMAGES, 4)
    assert [one["key"] for one in second["records"]] == [f"{k:05}_a.png" for k in (4, 5, 6, 7)]
    assert [one["classes"] for one in second["records"]] == [
        [CLASSES[LABELS[k]]] for k in range(4, 8)
    ]
    last = answer(client, "data/records", **SOURCE, page=2, **{"class": 1})
    assert last["n"] == 10
    assert [one["key"] for one in last["records"]] == ["00025_a.png", "00028_a.png"]
    assert answer(client, "data/records", **SOURCE, page=99)["records"] == []


def test_a_record_is_found_by_its_key(client):
    (record,) = answer(client, "data/records", **SOURCE, key="00007_a.png")["records"]
    assert record == {
        "id": b"00007_a.png".hex(),
        "key": "00007_a.png",
        "classes": ["grey"],
        "n_boxes": None,
        "shape": [1, 8, 8],
    }
    for query in ({"id": record["id"]}, {"key": "00007_a.png"}, {"key": "00007_a.png", "full": 1}):
        response = client.get("/api/data/image", params={**RUN, **SOURCE, **query})
        assert response.headers["content-type"] == "image/png"
        found = np.asarray(Image.open(io.BytesIO(response.content)))
        np.testing.assert_array_equal(found, image(7)[0])


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("data/records", {**SOURCE, "key": "no"}, 404),
        ("data/records", {**SOURCE, "class": "x"}, 400),
        ("data/records", {"source": "../data"}, 404),
        ("data/image", {**SOURCE, "id": "xyz"}, 400),
        ("data/image", {**SOURCE, "id": "00"}, 404),
        ("data", {"source": "data"}, 404),
    ],
)
def test_what_is_not_there_is_refused(client, path, query, status):
    assert client.get(f"/api/{path}", params={**RUN, **query}).status_code == status


def test_data_outside_of_the_folder_are_not_shown(client):
    run = {"run": "runs/outside-1"}
    (one,) = answer(client, "data", **run)["databases"]
    assert (one["source"], one["is_there"]) == ("/tmp", False)
    response = client.get("/api/data", params={**run, "source": "/tmp"})
    assert response.status_code == 404
    assert "not below the folder" in response.json()["error"]


def test_boxes_are_counted_and_drawn(client, root):
    grey = np.full((3, 20, 40), 90, np.uint8)
    boxes = [ObjectBox(2, (0.25, 0.25, 0.75, 0.75)), ObjectBox(1, (0, 0, 0.5, 0.5))]
    with create_database(str(root / "data" / "boxes_lmdb"), "LMDB") as database:
        database.put(b"a", encode_annotated_datum(encode_datum(grey, -1), boxes))
        database.put(b"b", encode_annotated_datum(encode_datum(grey, -1), []))
    run = write_run(root / "runs" / "boxes-1")
    net = NET.replace("images_lmdb", "boxes_lmdb").replace('"Data"', '"AnnotatedData"')
    (run / "train.prototxt").write_text(net)
    items = 'item { name: "n1" label: 1 display_name: "cat" } item { name: "dog" label: 2 }'
    (run / "labelmap.prototxt").write_text(items)
    query = {"run": "runs/boxes-1", "source": "data/boxes_lmdb"}
    found = counted(client, **query)
    assert found["has_boxes"]
    assert found["classes"] == [
        {"label": 1, "name": "cat", "images": 0, "boxes": 1},
        {"label": 2, "name": "dog", "images": 0, "boxes": 1},
    ]
    first, second = answer(client, "data/records", **query)["records"]
    assert (first["classes"], first["n_boxes"]) == (["dog", "cat"], 2)
    assert (second["classes"], second["n_boxes"]) == ([], 0)
    assert [
        one["key"] for one in answer(client, "data/records", **query, **{"class": 2})["records"]
    ] == ["a"]
    response = client.get("/api/data/image", params={**query, "key": "a", "full": 1})
    drawn = np.asarray(Image.open(io.BytesIO(response.content)))
    assert drawn.shape == (20, 40, 3)
    assert (drawn[18, 38] == 90).all()
    assert not (drawn[10, 10] == 90).all()  # the left side of the box


def test_a_scan_ends_when_nobody_looks_and_begins_anew(tmp_path, root, monkeypatch):
    monkeypatch.setattr(database_scan, "_UNWATCHED_S", -1.0)
    shelf, path = database_scan.ScanShelf(), root / "data" / "images_lmdb"
    first = shelf.scan(path)
    wait_for(lambda: first.is_ended)
    assert (first.is_complete, first.n_scanned) == (False, 1)
    monkeypatch.setattr(database_scan, "_UNWATCHED_S", 30.0)
    second = shelf.scan(path)
    wait_for(lambda: second.is_ended)
    assert second is not first
    assert second.is_complete
    assert shelf.scan(path) is second


def test_damaged_records_are_counted(tmp_path):
    with create_database(str(tmp_path / "db"), "LMDB") as database:
        database.put(b"a", b"\x0b\xff")
    scan = database_scan.ScanShelf().scan(tmp_path / "db")
    wait_for(lambda: scan.is_ended)
    assert (scan.n_damaged, scan.n_scanned, scan.is_complete) == (1, 1, True)


def wait_for(is_reached):
    end = time.monotonic() + 60
    while not is_reached() and time.monotonic() < end:
        time.sleep(0.005)
    assert is_reached()
