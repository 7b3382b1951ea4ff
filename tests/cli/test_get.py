import gzip
import hashlib
import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest

from minicaffe.cli.main import run_command
from minicaffe.data.datasets import DATA_SETS, DataSet, Source
from minicaffe.data.idx import read_images, read_labels, write_idx

SUBSET = Path(__file__).parents[2] / "data" / "fashion-mnist"
CONTENT = write_idx(np.arange(10, dtype=np.uint8))
NAME = "labels-idx1-ubyte.gz"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def site(tmp_path, monkeypatch, caplog_minicaffe):
    """A folder in place of a web server, with two small data sets."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / NAME).write_bytes(gzip.compress(CONTENT))
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name in ("batches/test_batch.bin", "../../escape.bin"):
            info = tarfile.TarInfo(name)
            info.size = 5
            tar.addfile(info, io.BytesIO(b"hello"))
    (folder / "x.tar.gz").write_bytes(archive.getvalue())
    urls = ((tmp_path / "nothing").as_uri() + "/", folder.as_uri() + "/")
    idx = DataSet(urls, (Source(NAME, sha256(CONTENT)),), "convert FOLDER")
    packed = DataSet(urls, (Source("x.tar.gz", sha256(archive.getvalue())),), "convert FOLDER")
    monkeypatch.setitem(DATA_SETS, "mnist", idx)
    monkeypatch.setitem(DATA_SETS, "cifar10", packed)
    monkeypatch.chdir(tmp_path)
    return folder


def test_download_falls_back_to_the_next_url(site, caplog_minicaffe, capsys):
    assert run_command("get", ["mnist"]) == 0
    assert Path("data/mnist", NAME).read_bytes() == (site / NAME).read_bytes()
    assert "nothing/labels-idx1-ubyte.gz: " in caplog_minicaffe.text
    assert capsys.readouterr().out == "Next: convert data/mnist\n"
    assert [p.name for p in Path("data/mnist").iterdir()] == [NAME]


def test_existing_files_are_not_downloaded_again(site):
    assert run_command("get", ["mnist", "--to=here"]) == 0
    (site / NAME).unlink()
    assert run_command("get", ["mnist", "--to=here"]) == 0


def test_a_wrong_download_is_removed(site, caplog_minicaffe):
    (site / NAME).write_bytes(gzip.compress(CONTENT[:-1]))
    assert run_command("get", ["mnist"]) == 1
    assert "SHA-256 is " in caplog_minicaffe.messages[-1]
    assert caplog_minicaffe.messages[-1].endswith("give its folder with --from.")
    assert not list(Path("data/mnist").iterdir())


def test_archives_are_unpacked_in_the_folder_and_nowhere_else(site, tmp_path):
    assert run_command("get", ["cifar10", "--to", "a/b"]) == 0
    assert sorted(p.name for p in Path("a/b").iterdir()) == ["escape.bin", "test_batch.bin"]
    assert Path("a/b/test_batch.bin").read_bytes() == b"hello"
    assert not list(tmp_path.glob("escape.bin"))


@pytest.mark.parametrize("packed", [True, False])
def test_from_a_folder(site, packed):
    # The check compares the content, so that other compression, or none, is accepted.
    Path("given").mkdir()
    name = NAME if packed else NAME[:-3]
    content = gzip.compress(CONTENT, compresslevel=1, mtime=7) if packed else CONTENT
    Path("given", name).write_bytes(content)
    assert run_command("get", ["mnist", "--from=given", "--to=here"]) == 0
    np.testing.assert_array_equal(read_labels(Path("here", NAME)), np.arange(10))


def test_from_a_folder_without_the_files(site, caplog_minicaffe):
    Path("given").mkdir()
    Path("given", NAME).write_bytes(b"something else")
    assert run_command("get", ["mnist", "--from=given"]) == 1
    assert re.search(r"given/labels\S+: SHA-256 is \w+, not \w+; ", caplog_minicaffe.messages[-1])
    assert caplog_minicaffe.messages[-1].endswith(
        "given/labels-idx1-ubyte: no such file. Leave out --from to download it."
    )


def test_unknown_set(capsys):
    assert run_command("get", ["fashon-mnist"]) == 2
    assert "no data set fashon-mnist. Did you mean fashion-mnist" in capsys.readouterr().err


def test_the_bundled_subset():
    readme = (SUBSET / "readme.md").read_text()
    for part, count in (("train", 10_000), ("t10k", 2_000)):
        images, labels = f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz"
        for name in (images, labels):
            assert f"{sha256((SUBSET / name).read_bytes())}  {name}" in readme
        assert read_images(SUBSET / images).shape == (count, 28, 28)
        counts = np.bincount(read_labels(SUBSET / labels))
        assert "| " + " | ".join(map(str, counts)) + " |" in readme
