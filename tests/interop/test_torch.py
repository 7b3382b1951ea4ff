"""PyTorch's own models and files: what torch exports and saves gives the same values here.

Needs torch, torchvision and onnxscript, which are in no extra: install them beside the project and
run `python -m pytest tests/interop/test_torch.py`; otherwise these tests are skipped.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from minicaffe.cli.main import run_command
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers
from minicaffe.onnx_runtime import TOLERANCE, relative_difference
from minicaffe.torchvision_import.architectures import ARCHITECTURES

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")
onnxscript = pytest.importorskip("onnxscript", reason="torch exports with the package onnxscript")

EXPORTED = [
    *("alexnet", "vgg11_bn", "googlenet", "resnet18", "resnet50", "squeezenet1_1"),
    *("mobilenet_v2", "mobilenet_v3_large", "densenet121", "shufflenet_v2_x1_0", "mnasnet1_0"),
    *("efficientnet_b0", "regnet_y_400mf", "inception_v3", "convnext_tiny"),
]
# What Caffe has no layer for, in torchvision's other nets for images: a part of the message.
REFUSED = {"convnext_tiny": "no layer of Caffe computes LayerNormalization"}
# Nets that label each pixel, which resize their scores; their result is a dictionary.
SEGMENTATION = ["fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"]
FILES = ["-o", "n.prototxt", "n.caffemodel"]
# Bilinear transformations inside a model change the input that the file is given.
PLAIN = {"googlenet": {"transform_input": False}, "inception_v3": {"transform_input": False}}
IMAGE = (3, 224, 224)

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of torch's exporter
    pytest.mark.usefixtures("_folder"),
]


@pytest.fixture
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def model(name: str, **settings: object) -> torch.nn.Module:
    """Return a model with random weights and statistics that are not those of its first state."""
    torch.manual_seed(3)
    made = torchvision.models.get_model(name, weights=None, **settings)
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    return made.eval()


def export(made: torch.nn.Module, **settings: object) -> None:
    """Write m.onnx."""
    with torch.no_grad():
        torch.onnx.export(made, (torch.zeros(1, *IMAGE),), "m.onnx", verbose=False, **settings)


@pytest.mark.parametrize("name", EXPORTED)
def test_exported_by_torch(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    export(model(name, **PLAIN.get(name, {})), dynamo=True, external_data=False)
    code = run_command("import", ["onnx", "m.onnx", *FILES, "--check"])
    text = capfd.readouterr()
    if name in REFUSED:
        assert code == 1
        assert REFUSED[name] in text.err
    else:
        assert code == 0, text.out + text.err
        assert "relative difference" in text.out


@pytest.mark.parametrize("name", SEGMENTATION)
def test_segmentation(name: str) -> None:
    class Scores(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model(name, weights_backbone=None)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.model(x)["out"]

    export(Scores().eval(), dynamo=True, external_data=False)
    assert run_command("import", ["onnx", "m.onnx", *FILES, "--check"]) == 0


@pytest.mark.parametrize("opset", [11, 13, 17])
@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x1_0", "mobilenet_v3_small"])
def test_exported_by_trace_with_free_batch(name: str, opset: int) -> None:
    axes = {"x": {0: "N"}}
    export(model(name), dynamo=False, opset_version=opset, input_names=["x"], dynamic_axes=axes)
    assert run_command("import", ["onnx", "m.onnx", *FILES, "--check"]) == 0


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_state_dict(name: str) -> None:
    settings = {"init_weights": False} if name == "googlenet" else {}
    made = model(name, **settings)
    torch.save(made.state_dict(), "m.pth")
    assert run_command("import", ["torchvision", name, "m.pth", *FILES]) == 0
    pixels = np.random.default_rng(0).integers(0, 256, (1, *IMAGE)).astype(np.float32)
    assert relative_difference(_here(pixels), _there(made, name, pixels)) <= TOLERANCE


def _here(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    net = Net("n.prototxt", "TEST")
    copy_trained_layers(net, "n.caffemodel")
    net.blobs["data"].data.set(pixels)
    net.forward()
    scores = net.steps[-1].bottom[0]  # of the Softmax
    return scores.data.get().reshape(1, -1)


def _there(
    made: torch.nn.Module, name: str, pixels: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    if name == "googlenet":  # its published weights expect values from -1 to 1
        mean = deviation = (0.5, 0.5, 0.5)
    rgb = torch.from_numpy(pixels[:, ::-1].copy()) / 255
    with torch.no_grad():
        return made(torchvision.transforms.functional.normalize(rgb, mean, deviation)).numpy()
