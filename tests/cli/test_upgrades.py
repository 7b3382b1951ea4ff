"""upgrade_net_proto_text, upgrade_net_proto_binary and upgrade_solver_proto_text."""

from pathlib import Path

import numpy as np
import pytest

from minicaffe.cli.main import run_command
from minicaffe.schema import NetParameter, read_net_weights, read_prototxt

LEGACY = Path(__file__).parents[1] / "golden" / "legacy"
NETS = ["v0_net", "v1_net", "input_fields"]


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        *(("upgrade_net_proto_text", net) for net in NETS),
        ("upgrade_solver_proto_text", "solver_enum"),
    ],
)
def test_texts_equal_those_of_caffes_tools(log, tool, name):
    assert run_command(tool, [str(LEGACY / f"{name}.prototxt"), "new.prototxt"]) == 0
    assert Path("new.prototxt").read_bytes() == (LEGACY / f"{name}.upgraded.prototxt").read_bytes()
    assert log.messages[-1].endswith("text proto to new.prototxt")
    kind = "Solver" if "solver" in tool else "Net"
    assert f"Wrote upgraded {kind}Parameter text proto to" in log.messages[-1]


@pytest.mark.parametrize(
    ("tool", "name"),
    [("upgrade_net_proto_text", "v1_net"), ("upgrade_solver_proto_text", "solver_enum")],
)
def test_a_current_file_is_written_all_the_same(log, tool, name):
    current = LEGACY / f"{name}.upgraded.prototxt"
    assert run_command(tool, [str(current), "new.prototxt"]) == 0
    assert Path("new.prototxt").read_bytes() == current.read_bytes()
    assert f"File already in latest proto format: {current}" in log.messages


def test_binary_nets_keep_their_weights(log):
    old = read_prototxt(LEGACY / "v1_net.prototxt", NetParameter).message
    weights = np.arange(6, dtype=np.float32)
    old.layers[2].blobs.add(num=1, channels=1, height=2, width=3, data=weights)
    Path("old.caffemodel").write_bytes(old.SerializeToString())
    assert run_command("upgrade_net_proto_binary", ["old.caffemodel", "new.caffemodel"]) == 0
    new = NetParameter.FromString(Path("new.caffemodel").read_bytes())
    assert not new.layers
    assert [layer.name for layer in new.layer] == [layer.name for layer in old.layers]
    assert new.layer[2].type != ""
    np.testing.assert_array_equal(read_net_weights("new.caffemodel")[2].blobs[0].ravel(), weights)
    assert log.messages[-1] == "Wrote upgraded NetParameter binary proto to new.caffemodel"


@pytest.mark.parametrize(
    ("tool", "text", "code", "message"),
    [
        (
            "upgrade_net_proto_text",
            "layer { nam: 1 }",
            2,
            'old:1:9: message "LayerParameter" has no field',
        ),
        ("upgrade_net_proto_text", "layers {} layer {}", 1, "it must have one kind"),
        ("upgrade_net_proto_binary", "name: 'x'", 2, "a binary file is needed here"),
        ("upgrade_solver_proto_text", "solver_type: ADAM type: 'SGD'", 1, "remove solver_type"),
    ],
)
def test_exit_codes_and_messages(log, capsys, tool, text, code, message):
    Path("old").write_text(text)
    assert run_command(tool, ["old", "new"]) == code
    assert message in capsys.readouterr().err
    assert not Path("new").exists()
