"""The .zip of a run: what it contains, and what it leaves out."""

import zipfile

import pytest
from run_folders import write_run

from minicaffe.schema import NetParameter, read_prototxt
from minicaffe.web.board.folder import BoardFolder
from minicaffe.web.board.run_archive import write_archive

NET = """
layer {{
  name: "data" type: "Data" top: "data" top: "label"
  data_param {{ source: "db" batch_size: 2 }}
  transform_param {{ mean_file: "{mean}" {crop} }}
}}
layer {{
  name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param {{ num_output: 3 }}
}}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""


@pytest.fixture
def board(tmp_path):
    return BoardFolder(tmp_path / "board")


def run_of(board, mean="mean.binaryproto", crop="crop_size: 8"):
    """Write a run with weights, and the files that its net names."""
    folder = write_run(board.root / "runs" / "a", folder=str(board.root))
    (folder / "train.prototxt").write_text(NET.format(mean=mean, crop=crop))
    for kind in ("best", "last"):
        (folder / f"{kind}.caffemodel").write_bytes(kind.encode())
    (board.root / "mean.binaryproto").write_bytes(b"mean")
    (board.root / "labels.txt").write_text("cat\ndog\nbird\n")
    return folder


def contents(path):
    with zipfile.ZipFile(path) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    path.unlink()
    return found


@pytest.mark.parametrize(("kind", "weights"), [("", "best"), ("best", "best"), ("last", "last")])
def test_what_a_program_needs(board, tmp_path, kind, weights):
    found = contents(write_archive(board, run_of(board), kind))
    assert found.keys() == {
        *(f"{weights}.caffemodel", "train_val.prototxt", "deploy.prototxt"),
        *("mean.binaryproto", "labels.txt"),
    }
    assert found[f"{weights}.caffemodel"] == weights.encode()
    assert found["mean.binaryproto"] == b"mean"
    (tmp_path / "deploy.prototxt").write_bytes(found["deploy.prototxt"])
    net = read_prototxt(tmp_path / "deploy.prototxt", NetParameter).message
    assert [layer.type for layer in net.layer] == ["Input", "InnerProduct", "Softmax"]
    assert list(net.layer[0].input_param.shape[0].dim)[2:] == [8, 8]


def test_a_net_whose_input_is_unknown(board):
    """The size is that of the data, which are not there."""
    found = contents(write_archive(board, run_of(board, crop=""), ""))
    assert "deploy.prototxt" not in found
    assert found["no_deploy_net.txt"].startswith(b"There is no deploy.prototxt: ")


def test_files_outside_the_folder_are_left_out(board, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    found = contents(write_archive(board, run_of(board, mean=str(tmp_path / "secret")), ""))
    assert b"secret" not in [*found.values()]
    found = contents(write_archive(board, run_of_link(board, tmp_path), ""))
    assert "labels.txt" not in found


def run_of_link(board, outside):
    """Write a run whose file of labels is a link out of the folder."""
    (outside / "names").write_text("x")
    folder = board.root / "runs" / "a"
    (board.root / "labels.txt").unlink()
    (board.root / "labels.txt").symlink_to(outside / "names")
    return folder
