"""Detection layers: settings and shapes that make no sense, ties, images without objects."""

import numpy as np
import pytest

from minicaffe.errors import LabelError, NetError
from minicaffe.layers import layer_class
from minicaffe.schema import parse_net
from probe import net_from_text

PRIORS = np.array([[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]])
PRIOR = np.stack([PRIORS, np.full((4, 4), 0.1)]).reshape(1, 2, 16)


def net_of(kind, settings, phase="TEST", **shapes):
    dims = {name: " ".join(f"dim: {n}" for n in shape) for name, shape in shapes.items()}
    inputs = "".join(
        f'layer {{ name: "in_{name}" type: "Input" top: "{name}" '
        f"input_param {{ shape {{ {dim} }} }} }}\n"
        for name, dim in dims.items()
    )
    bottoms = " ".join(f'bottom: "{name}"' for name in shapes)
    text = f'layer {{ name: "l" type: "{kind}" {bottoms} top: "y" {settings} }}'
    return net_from_text(f"force_backward: true {inputs}{text}", phase)


def detector(settings, loc, conf, prior=PRIOR):
    """Run a DetectionOutput; return its rows."""
    net = net_of(
        "DetectionOutput",
        f"detection_output_param {{ {settings} }}",
        loc=np.shape(loc),
        conf=np.shape(conf),
        prior=np.shape(prior),
    )
    for name, values in {"loc": loc, "conf": conf, "prior": prior}.items():
        net.blobs[name].data.set(values)
    net.forward()
    return net.blobs["y"].data.get()[0, 0]


def loss_of(settings, truth, images=1, classes=3, arm=False, phase="TRAIN"):
    """Return loss and gradients of a MultiBoxLoss whose scores are 0."""
    shapes = {
        "loc": (images, 16),
        "conf": (images, 4 * classes),
        "prior": (1, 2, 16),
        "truth": np.shape([[truth]]),
    }
    net = net_of("MultiBoxLoss", settings, phase, **shapes)
    net.blobs["prior"].data.set(PRIOR)
    net.blobs["truth"].data.set([[truth]])
    net.forward()
    net.backward()
    diffs = [net.blobs[name].diff.get().reshape(images, 4, -1) for name in ("loc", "conf")]
    return float(net.blobs["y"].data.get()), *diffs


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("", "min_size is missing"),
        ("min_size: -3", r"min_size: \[-3\.0\]; all must be above 0"),
        ("min_size: 3 aspect_ratio: 0", r"aspect_ratio: \[0\.0\]; all must be above 0"),
        ("min_size: 3 min_size: 4 max_size: 5", "1 max_sizes for 2 min_sizes"),
        ("min_size: 3 max_size: 3", "max_size: 3 must be above min_size: 3"),
        ("min_size: 3 variance: 0.1 variance: 0.2", "2 variances; give four, or one for all"),
        (
            "min_size: 3 step: 4 step_h: 4",
            "step, step_h: give either step or both step_h and step_w",
        ),
        ("min_size: 3 img_h: 4", "img_h: give either img_size or both img_h and img_w"),
        ("min_size: 3 step: 0", r"step: \[0\.0\]; they must be above 0"),
    ],
)
def test_prior_boxes_that_make_no_sense(settings, message):
    with pytest.raises(NetError, match=rf'layer "l" \(PriorBox\): {message}'):
        net_of("PriorBox", f"prior_box_param {{ {settings} }}", x=(1, 2, 3, 4), image=(1, 3, 9, 9))


def test_prior_boxes_need_pixels():
    with pytest.raises(NetError, match=r'bottom "x" \(1, 2, 0, 4\) must be \(N, C, H, W\) with'):
        net_of("PriorBox", "prior_box_param { min_size: 3 }", x=(1, 2, 0, 4), image=(1, 3, 9, 9))


@pytest.mark.parametrize(
    ("settings", "shapes", "message"),
    [
        ("", {}, "num_classes is missing or 0"),
        ("num_classes: 3 nms_param { eta: 0 }", {}, "eta: 0; it must be above 0, and 1 at most"),
        (
            "num_classes: 3 nms_param { nms_threshold: -1 }",
            {},
            "nms_threshold: -1; it must be 0 or",
        ),
        (
            "num_classes: 4",
            {},
            r'bottom "conf" \(2, 12\) must hold 4 values for each of 4 prior boxe',
        ),
        ("num_classes: 3", {"loc": (2, 12)}, r'bottom "loc" \(2, 12\) must hold 4 values for each'),
        (
            "num_classes: 3",
            {"prior": (1, 1, 16)},
            r'bottom "prior" \(1, 1, 16\) must be \(1, 2, 4 x',
        ),
        (
            "num_classes: 3",
            {"arm": (2, 9)},
            r'bottom "arm" \(2, 9\) must hold 2 values for each of 4',
        ),
    ],
)
def test_detection_outputs_that_make_no_sense(settings, shapes, message):
    shapes = {"loc": (2, 16), "conf": (2, 12), "prior": (1, 2, 16)} | shapes
    with pytest.raises(NetError, match=message):
        net_of("DetectionOutput", f"detection_output_param {{ {settings} }}", **shapes)


def test_the_image_to_draw_on_is_no_objectness():
    net_of(
        "DetectionOutput",
        "detection_output_param { num_classes: 3 visualize: true }",
        loc=(2, 16),
        conf=(2, 12),
        prior=(1, 2, 16),
        image=(2, 3, 7, 7),
    )


def test_equal_scores_are_taken_in_order_of_class_and_prior():
    rows = detector(
        "num_classes: 3 keep_top_k: 5 code_type: CENTER_SIZE",
        np.zeros((1, 16)),
        np.full((1, 12), 0.5),
    )
    assert rows[:, 1].tolist() == [1, 1, 1, 1, 2]
    np.testing.assert_allclose(rows[:4, 3:], PRIORS)


def test_boxes_of_an_untrained_net_are_finite():
    settings = "num_classes: 2 code_type: CENTER_SIZE"
    rows = detector(settings, np.full((1, 16), 1e5), np.full((1, 8), 0.5))
    assert np.isfinite(rows).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("", "num_classes is missing or 0"),
        (
            "num_classes: 3 share_location: false",
            "share_location: false cannot be combined with min",
        ),
        ("num_classes: 3 ignore_difficult_gt: true", "ignore_difficult_gt is not implemented"),
        ("num_classes: 3 sample_size: 0", "sample_size: 0 must be above 0"),
        (
            "num_classes: 3 do_neg_mining: false mining_type: MAX_NEGATIVE",
            "do_neg_mining contradicts mining_type: MAX_NEGATIVE. Remove do_neg_mining",
        ),
        ("num_classes: 3 nms_param { eta: 2 }", "eta: 2; it must be above 0"),
    ],
)
def test_losses_that_make_no_sense(settings, message):
    with pytest.raises(NetError, match=rf'layer "l" \(MultiBoxLoss\): {message}'):
        loss_of(f"multibox_loss_param {{ {settings} }}", [[0] * 8])


def test_images_without_objects_count_only_without_mining():
    nothing, one = [[-1] * 8], [[0, 1, 0, 0, 0, 0.5, 0.5, 0]]
    mining = "multibox_loss_param { num_classes: 3 }"
    loss, dloc, dconf = loss_of(mining, nothing, images=2)
    assert loss == 0
    assert not dloc.any()
    assert not dconf.any()
    loss, _, dconf = loss_of(mining, one, images=2)
    # One match and three negatives of the first image, each with loss log 3.
    np.testing.assert_allclose(loss, 4 * np.log(3), rtol=1e-6)
    assert not dconf[1].any()
    loss, _, dconf = loss_of(
        "multibox_loss_param { num_classes: 3 mining_type: NONE }", one, images=2
    )
    np.testing.assert_allclose(loss, 8 * np.log(3), rtol=1e-6)
    assert dconf[1].any()


def test_one_class_takes_all_objects_of_two():
    settings = "multibox_loss_param { num_classes: 2 }"
    truth = [[0, 7, 0, 0, 0, 0.5, 0.5, 0]]
    loss, _, dconf = loss_of(settings, truth, classes=2)
    np.testing.assert_allclose(loss, 4 * np.log(2), rtol=1e-6)
    np.testing.assert_allclose(dconf[0, 0], [0.5, -0.5], rtol=1e-6)


@pytest.mark.parametrize("label", [0, 3, 1.5])
def test_a_label_must_be_an_object(label):
    message = rf"label {label:g} of sample 0 in the batch is not a class of objects \(0 is the back"
    with pytest.raises(LabelError, match=message):
        loss_of("multibox_loss_param { num_classes: 3 }", [[0, label, 0, 0, 0, 1, 1, 0]])


def test_what_has_no_effect():
    text = (
        'layer { name: "l" type: "DetectionOutput" bottom: "a" bottom: "b" bottom: "c" '
        'detection_output_param { save_output_param { output_directory: "x" } } }'
    )
    layer = parse_net(text, "net.prototxt").param.layer[0]
    (sentence,) = layer_class("DetectionOutput").unread_settings(layer)
    message = "save_output_param has no effect without label_map_file, name_size_file."
    assert sentence == f"detection_output_param.{message}"


@pytest.fixture
def saving(tmp_path):
    """A function that returns the settings of a detector which saves the boxes of three images."""
    (tmp_path / "map.prototxt").write_text(
        'item { name: "none" label: 0 } item { name: "17" label: 1 } item { name: "cat" label: 2 }'
    )
    (tmp_path / "sizes.txt").write_text("000001 40 80\nb 10 20\nc 30 30\n")

    def settings(kind, more=""):
        return (
            "num_classes: 3 code_type: CENTER_SIZE confidence_threshold: 0.5 save_output_param { "
            f'output_directory: "{tmp_path}/out/new" output_name_prefix: "det_" {more} '
            f'output_format: "{kind}" label_map_file: "{tmp_path}/map.prototxt" '
            f'name_size_file: "{tmp_path}/sizes.txt" }}'
        )

    return settings


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("VOC", {"det_17.txt": "000001 0.75 0 0 40 20\n", "det_cat.txt": "b 0.625 10 0 20 5\n"}),
        ("ILSVRC", {"det_.txt": "000001 1 0.75 0 0 40 20\nb 2 0.625 10 0 20 5\n"}),
        (
            "COCO",
            {
                "det_.json": '[{"image_id": 1, "category_id": 17, "bbox": [0.0, 0.0, 40.0, 20.0], '
                '"score": 0.75}, {"image_id": "b", "category_id": "cat", "bbox": [10.0, 0.0, 10.0, '
                '5.0], "score": 0.625}]'
            },
        ),
    ],
)
def test_files_of_detections(kind, files, saving, tmp_path):
    conf = np.zeros((3, 4, 3))
    conf[0, 0, 1], conf[1, 1, 2] = 0.75, 0.625
    detector(saving(kind), np.zeros((3, 16)), conf.reshape(3, 12))
    folder = tmp_path / "out" / "new"
    assert {file.name: file.read_text() for file in folder.iterdir()} == files


def test_files_of_detections_without_padding(saving, tmp_path):
    """Boxes of 80 x 80, in which the first image has the middle half of the rows."""
    padded = "resize_param { resize_mode: FIT_LARGE_SIZE_AND_PAD height: 80 width: 80 }"
    conf = np.zeros((3, 4, 3))
    conf[0, 0, 1] = 0.75
    detector(saving("VOC", padded), np.zeros((3, 16)), conf.reshape(3, 12))
    assert (tmp_path / "out" / "new" / "det_17.txt").read_text() == "000001 0.75 0 0 40 20\n"


@pytest.mark.parametrize(
    ("kind", "more", "message"),
    [
        ("KITTI", "", 'output_format: "KITTI" is unknown. Known: VOC, COCO, ILSVRC'),
        ("VOC", "num_test_image: 4", "num_test_image: 4, but .*sizes.txt has 3 images"),
    ],
)
def test_files_that_cannot_be_written(kind, more, message, saving):
    with pytest.raises(NetError, match=message):
        detector(saving(kind, more), np.zeros((1, 16)), np.zeros((1, 12)))


def evaluator(settings, found, truth):
    """Run a DetectionEvaluate of two classes; return its net and rows."""
    settings = f"detection_evaluate_param {{ num_classes: 2 {settings} }}"
    shapes = {"found": np.shape([[found]]), "truth": np.shape([[truth]])}
    net = net_of("DetectionEvaluate", settings, **shapes)
    net.blobs["found"].data.set([[found]])
    net.blobs["truth"].data.set([[truth]])
    net.forward()
    return net, net.blobs["y"].data.get()[0, 0]


def test_overlaps_in_pixels(tmp_path):
    """Of 3 x 3 and 3 x 1 pixels of the second image, 9 and 3 with the pixel that is added."""
    sizes = tmp_path / "sizes.txt"
    sizes.write_text("a 100 100\nb c 10 20\n")
    found = [[1, 1, 0.9, 0.1, 0.1, 0.2, 0.3]]
    truth = [[1, 1, 0, 0.1, 0.1, 0.2, 0.1 + 1e-6, 0]]
    settings = f'name_size_file: "{sizes}"'
    net, rows = evaluator(f"{settings} overlap_threshold: 0.33", found, truth)
    assert rows[1].tolist() == [1, 1, np.float32(0.9), 1, 0]
    state = net.state()["l"]
    assert state == {"image": 0}
    _, rows = evaluator(f"{settings} overlap_threshold: 0.34", found, truth)
    assert rows[1, 3:].tolist() == [0, 1]
    _, rows = evaluator("overlap_threshold: 0.33", found, truth)
    assert rows[1, 3:].tolist() == [0, 1]


def test_boxes_of_padded_images(tmp_path):
    """An image of 50 x 100 fills the middle half of 80 x 80."""
    sizes = tmp_path / "sizes.txt"
    sizes.write_text("a 50 100\n")
    settings = (
        f'name_size_file: "{sizes}" overlap_threshold: 0.99 '
        "resize_param { resize_mode: FIT_LARGE_SIZE_AND_PAD height: 80 width: 80 }"
    )
    found = [[0, 1, 0.9, 0.1, 0.3, 0.5, 2.0]]
    truth = [[0, 1, 0, 0.1, 0.3, 0.5, 0.75, 0]]
    _, rows = evaluator(settings, found, truth)
    assert rows[1, 3:].tolist() == [1, 0]


def test_sizes_that_cannot_be_read(tmp_path, caplog_minicaffe):
    truth, found = [[0, 1, 0, 0, 0, 1, 1, 0]], [[0, 1, 0.5, 0, 0, 1, 1]]
    evaluator('name_size_file: "none.txt"', found, truth)
    assert any("name_size_file: none.txt does not exist" in m for m in caplog_minicaffe.messages)
    for text, message in (
        ("", "the list is empty"),
        ("a 3 0\n", r"sizes\.txt:1: 'a 3 0'; a line is"),
    ):
        (tmp_path / "sizes.txt").write_text(text)
        with pytest.raises(NetError, match=message):
            evaluator(f'name_size_file: "{tmp_path}/sizes.txt"', found, truth)


def test_files_that_do_not_exist(saving, tmp_path, caplog_minicaffe):
    settings = saving("VOC").replace("sizes.txt", "none.txt")
    detector(settings, np.zeros((1, 16)), np.zeros((1, 12)))
    assert any("none.txt does not exist; detections" in m for m in caplog_minicaffe.messages)
    assert not (tmp_path / "out").exists()
