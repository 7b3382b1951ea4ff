"""Writes that fail: one line and exit code 1, no half file, and earlier files unchanged."""

import shutil

import pytest

FEATURES = ["extract_features", "w_iter_2.caffemodel", "net.prototxt", "ip", "out/f", "5"]
HDF5_OUTPUT = """
layer { name: "write" type: "HDF5Output" bottom: "scores" bottom: "label"
  hdf5_output_param { file_name: "out/o.h5" } }
"""
WRITERS = {
    "snapshots": ["train", "--solver=solver.prototxt"],
    "mean": ["compute_image_mean", "digits", "out/mean.binaryproto"],
    "features lmdb": [*FEATURES, "lmdb"],
    "features leveldb": [*FEATURES, "leveldb"],
    "features hdf5": [*FEATURES, "hdf5"],
    "features npy": [*FEATURES, "npy"],
    "HDF5Output": [
        "test",
        "--model=out.prototxt",
        "--weights=w_iter_2.caffemodel",
        "--iterations=9",
    ],
    "upgrade": ["upgrade_net_proto_binary", "w_iter_2.caffemodel", "out/new.caffemodel"],
}


@pytest.fixture
def prepared(workplace):
    """A workplace with weights, a net that writes HDF5, and an empty folder out/."""
    workplace.write_solver(prefix="w", snapshot=2, max_iter=2)
    assert workplace.run("train", "--solver=solver.prototxt")[0] == 0
    net = (workplace.folder / "net.prototxt").read_text()
    (workplace.folder / "out.prototxt").write_text(net + HDF5_OUTPUT)
    workplace.write_solver(prefix="out/s", snapshot=1, max_iter=2)
    (workplace.folder / "out").mkdir()
    return workplace


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_a_failed_write_leaves_what_was_there(prepared, name):
    out = prepared.folder / "out"
    code, output = prepared.run(*WRITERS[name])
    assert code == 0, output
    complete = prepared.files("out/**/*")
    assert complete
    largest = max(map(len, complete.values()))
    for share in (0, 0.5, 0.99):
        shutil.rmtree(out)
        out.mkdir()
        code, output = prepared.run(*WRITERS[name], file_limit=int(largest * share))
        assert code == 1, f"at {share:.0%}: {output}"
        assert output
        assert "Traceback" not in output, output
        for path, content in prepared.files("out/**/*").items():
            if ".partial" not in path:  # an unfinished database, which is told by its name
                assert content == complete.get(path), f"{path} at {share:.0%}"
