"""Nets of models/ that are exported to ONNX and imported again have the same values."""

import numpy as np
import pytest

from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers
from minicaffe.onnx_export import ExportSettings, export_net
from minicaffe.onnx_import.convert import import_onnx
from minicaffe.onnx_runtime import relative_difference
from minicaffe.schema import format_prototxt, read_net
from minicaffe.weights.files import write_weights_file
from zoo import NAMES, deploy_file, drawn

TOLERANCE = 1e-5
# Their layers become many nodes, in which the importer does not find the layer again.
WITHOUT_A_WAY_BACK = {
    *("crnn_lines", "faster_rcnn_scenes", "segnet_scenes", "ssd_scenes", "yolo_scenes"),
}
# More than 60 million parameters, and layers that the others have as well.
LARGE = {"alexnet", "caffenet", "vgg16", "vgg19"}
NETS = [name for name in NAMES if name not in WITHOUT_A_WAY_BACK | LARGE]


def fill(net: Net) -> None:
    for layer in net.layers:
        for k, blob in enumerate(layer.blobs):
            values = drawn(f"{layer.name}/{k}", blob.shape)
            is_statistic = layer.type == "BatchNorm" and k > 0
            blob.data.set(1 + np.abs(values) if is_statistic else values)


@pytest.mark.parametrize("folds", [True, False])
@pytest.mark.parametrize("name", NETS)
def test_round_trip(name, folds, tmp_path):
    settings = ExportSettings(batch=1, folds=folds)
    source, _ = export_net(read_net(deploy_file(name)), fill, tmp_path / "m.onnx", settings)
    imported = import_onnx(tmp_path / "m.onnx")
    (tmp_path / "n.prototxt").write_text(format_prototxt(imported.param))
    write_weights_file(tmp_path / "n.caffemodel", imported.layers)
    before, after = Net(source, "TEST"), Net(tmp_path / "n.prototxt", "TEST")
    fill(before)
    copy_trained_layers(after, tmp_path / "n.caffemodel")
    rng = np.random.default_rng(0)
    for blob in before.inputs:
        values = rng.standard_normal(blob.shape).astype(np.float32)
        blob.data.set(values)
        after.blobs[blob.name].data.set(values)
    before.forward()
    after.forward()
    # Not the outputs alone: probabilities of random weights are 0 and 1.
    both = [key for key in after.blobs if key in before.blobs and "split" not in key]
    assert {blob.name for blob in before.outputs} <= set(both)
    assert len(both) > len(before.steps) / 4
    for key in both:
        ours, theirs = before.blobs[key].data.get(), after.blobs[key].data.get()
        assert relative_difference(theirs, ours) <= TOLERANCE, key
