"""Detectors and readers as ONNX: rows whose number depends on values, any number of samples."""

import numpy as np
import onnx
import pytest

from minicaffe.errors import NetError
from minicaffe.net import Net
from minicaffe.net.deployment.inference_net import inference_net, with_batch
from minicaffe.onnx_export import ExportSettings, export_net
from minicaffe.onnx_export.check import differences
from minicaffe.onnx_runtime import TOLERANCE
from minicaffe.schema import TEST, NetState, read_net
from onnx_export.exporting import export_text, run, set_normal
from zoo import deploy_file, training_file

ROIS = (
    'layer { name: "in" type: "Input" top: "x" top: "rois" input_param { '
    "shape { dim: 2 dim: 3 dim: 11 dim: 13 } shape { dim: 7 dim: 5 } } }\n"
)
BOXES = (
    'layer { name: "in" type: "Input" top: "loc" top: "conf" top: "prior" input_param { '
    "shape { dim: 3 dim: 60 } shape { dim: 3 dim: 60 } shape { dim: 1 dim: 2 dim: 60 } } }\n"
    'layer { name: "found" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior" '
    'top: "found" detection_output_param { num_classes: 4 confidence_threshold: '
)


def test_ssd_finds_objects_of_several_classes_in_a_batch(tmp_path):
    path = tmp_path / "net.onnx"
    source, graph = export_net(
        read_net(deploy_file("ssd_scenes")), set_normal, path, ExportSettings(batch=3)
    )
    net = Net(source, "TEST", seed=0)
    set_normal(net)
    images = np.random.default_rng(0).standard_normal(net.blobs["data"].shape).astype(np.float32)
    net.blobs["data"].data.set(images)
    net.forward()
    expected = net.blobs["detection_out"].data.get()
    assert expected.shape == (1, 1, 150, 7)  # keep_top_k of each image
    for image in range(3):
        assert len(set(expected[expected[..., 0] == image][:, 1])) > 2
    found = run(path, {"data": images})["detection_out"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert max(differences(path, source, graph, set_normal).values()) <= TOLERANCE


@pytest.mark.parametrize("name", ["ssd_scenes", "yolo_scenes", "crnn_lines", "segnet_scenes"])
def test_a_file_for_any_batch(name, tmp_path):
    path, source = tmp_path / "net.onnx", read_net(deploy_file(name))
    _, graph = export_net(source, set_normal, path, ExportSettings(batch=0))
    for batch in (1, 5):
        net = with_batch(inference_net(source, NetState(phase=TEST)), batch)
        found = differences(path, net, graph, set_normal)
        assert max(found.values()) <= TOLERANCE, found


def test_proposals_and_what_is_behind_them(tmp_path):
    path = tmp_path / "net.onnx"
    source, graph = export_net(
        read_net(deploy_file("faster_rcnn_scenes")), set_normal, path, ExportSettings()
    )
    assert graph.free_axes == {"bbox_pred": {0: "M"}, "cls_prob": {0: "M"}}
    assert max(differences(path, source, graph, set_normal).values()) <= TOLERANCE
    # A small image has fewer proposals.
    images = np.random.default_rng(0).standard_normal(graph.inputs["data"]).astype(np.float32)
    net = Net(source, "TEST", seed=0)
    set_normal(net)
    net.blobs["data"].data.set(images)
    counts = []
    for size in (192, 60):
        info = np.array([[size, size, 1]], np.float32)
        net.blobs["im_info"].data.set(info)
        net.forward()
        expected = net.blobs["cls_prob"].data.get()
        counts.append(len(expected))
        found = run(path, {"data": images, "im_info": info})["cls_prob"]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert counts[0] > counts[1] > 1


def test_proposals_take_one_image(tmp_path):
    message = r'--batch dynamic is not possible.*for 2 samples.*layer "proposal"'
    with pytest.raises(NetError, match=message):
        export_net(
            read_net(deploy_file("faster_rcnn_scenes")),
            set_normal,
            tmp_path / "x",
            ExportSettings(batch=0),
        )


def test_a_training_net_of_a_detector_is_exported_as_it_is_deployed(tmp_path):
    settings, path = ExportSettings(image=(3, 192, 192)), tmp_path / "net.onnx"
    source, graph = export_net(
        read_net(training_file("faster_rcnn_scenes")), set_normal, path, settings
    )
    assert graph.inputs == {"data": (1, 3, 192, 192)}
    assert "detection_out" in graph.outputs
    assert max(differences(path, source, graph, set_normal).values()) <= TOLERANCE


@pytest.mark.parametrize("batch", [None, 0])
def test_nothing_is_found(batch, tmp_path):
    path = tmp_path / "net.onnx"
    export_text(BOXES + "2 } }", path, batch=batch)
    zeros = {name: np.zeros(shape, np.float32) for name, shape in _SHAPES.items()}
    expected = np.full((1, 1, 3, 7), -1.0)
    expected[..., 0] = range(3)
    np.testing.assert_array_equal(run(path, zeros)["found"], expected)


_SHAPES = {"loc": (3, 60), "conf": (3, 60), "prior": (1, 2, 60)}


def test_the_comparison_sees_a_wrong_threshold(tmp_path):
    path = tmp_path / "net.onnx"
    source, graph = export_net(
        read_net(deploy_file("ssd_scenes")), set_normal, path, ExportSettings()
    )
    model = onnx.load(path)
    for value in model.graph.initializer:
        if np.array_equal(onnx.numpy_helper.to_array(value), np.float32([0.45])):
            value.CopyFrom(onnx.numpy_helper.from_array(np.float32([0.05]), value.name))
    onnx.save(model, path)
    found = differences(path, source, graph, set_normal)
    assert not found.pop("detection_out") <= TOLERANCE
    assert max(found.values()) <= TOLERANCE


def test_eta_needs_a_table_of_all_pairs(tmp_path):
    text = BOXES.replace("dim: 60", "dim: 60000") + "0.1 nms_param { eta: 0.9 } } }"
    text = text.replace('top: "prior" input', "input").replace(
        "shape { dim: 1 dim: 2 dim: 60000 } } }",
        '} }\nlayer { name: "prior" type: "DummyData" top: "prior" dummy_data_param { '
        "shape { dim: 1 dim: 2 dim: 60000 } } }",
    )
    with pytest.raises(NetError, match="15000 boxes of each class are too many"):
        export_text(text, tmp_path / "x")


def test_a_layer_that_fixes_the_number_of_rows_is_named(tmp_path):
    text = ROIS + (
        'layer { name: "sel" type: "Input" top: "sel" input_param { shape { dim: 7 } } }\n'
        'layer { name: "filter" type: "Filter" bottom: "rois" bottom: "sel" top: "some" }\n'
        'layer { name: "tile" type: "Tile" bottom: "some" top: "t" tile_param { axis: 0 tiles: 2 } '
        "}\n"
        'layer { name: "slice" type: "Slice" bottom: "t" top: "a" top: "b" slice_param { axis: 0 } '
        "}"
    )
    message = (
        'layer "slice": it cannot be exported to ONNX, because its Split depends on the number'
    )
    with pytest.raises(NetError, match=message):
        export_text(text, tmp_path / "x")


def test_rows_behind_a_filter_are_reshaped(tmp_path):
    text = ROIS + (
        'layer { name: "sel" type: "Input" top: "sel" input_param { shape { dim: 7 } } }\n'
        'layer { name: "pool" type: "ROIPooling" bottom: "x" bottom: "rois" top: "all" '
        "roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.5 } }\n"
        'layer { name: "filter" type: "Filter" bottom: "all" bottom: "sel" top: "y" }\n'
        'layer { name: "flat" type: "Reshape" bottom: "y" top: "flat" '
        "reshape_param { shape { dim: -1 dim: 3 dim: 6 } } }"
    )
    path = tmp_path / "net.onnx"
    source, graph = export_text(text, path)
    assert graph.free_axes == {"flat": {0: "M"}}
    assert max(differences(path, source, graph, set_normal).values()) <= TOLERANCE


def test_dummy_data_is_the_input_of_a_net_without_others(tmp_path):
    data = (
        'layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param { '
        'data_filler { type: "constant" value: 0.01 } '
        "shape { dim: 4 dim: 3 dim: 5 dim: 5 } shape { dim: 4 } } }\n"
        'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" '
        "inner_product_param { num_output: 5 } }\n"
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }'
    )
    _, graph = export_text(data, tmp_path / "x", set_normal, batch=2)
    assert graph.inputs == {"data": (2, 3, 5, 5)}
    constant = data.replace('"data"', '"cont"').replace('name: "ip"', 'name: "other"')
    with_input = ROIS + constant.split("layer", 3)[1].join(["layer", ""])
    _, graph = export_text(
        with_input + 'layer { name: "p" type: "Power" bottom: "cont" top: "y" }', tmp_path / "x"
    )
    assert list(graph.inputs) == ["x", "rois"]


def test_random_layers_of_the_test_phase_become_their_expectation(tmp_path):
    text = ROIS.replace('top: "rois"', "").replace("shape { dim: 7 dim: 5 }", "") + (
        'layer { name: "drop" type: "Dropout" bottom: "x" top: "y" '
        "dropout_param { sample_weights_test: true } }"
    )
    values = {"x": np.random.default_rng(0).standard_normal((2, 3, 11, 13)).astype(np.float32)}
    export_text(text, tmp_path / "net.onnx")
    np.testing.assert_array_equal(run(tmp_path / "net.onnx", values)["y"], values["x"])
