"""The forks that nets are written for, by their types and fields."""

import pytest

from minicaffe.schema import parse_net
from minicaffe.schema.fork_names import FORKS, forks_of

SSD = (
    'layer { type: "PriorBox" } layer { type: "Permute" } '
    "layer { transform_param { resize_param { } } }"
)


@pytest.mark.parametrize(
    ("net", "found"),
    [
        ('layer { type: "ReLU" }', []),
        (SSD, [("SSD", ["PriorBox", "Permute", "transform_param.resize_param"])]),
        # What MobileNet-YOLO has alone decides, because it contains SSD.
        (
            SSD + 'layer { type: "Yolov3" }',
            [
                (
                    "MobileNet-YOLO",
                    ["PriorBox", "Permute", "transform_param.resize_param", "Yolov3"],
                )
            ],
        ),
        ('layer { type: "Upsample" bottom: "a" bottom: "b" }', [("SegNet", ["Upsample"])]),
        ('layer { type: "Upsample" bottom: "a" }', [("MobileNet-YOLO", ["Upsample"])]),
        (
            'layer { type: "BN" bn_param { slope_filler { } } }',
            [("PSPNet", ["BN", "bn_param.slope_filler"])],
        ),
        (
            'layer { type: "BN" bn_param { scale_filler { } } }',
            [("SegNet", ["BN", "bn_param.scale_filler"])],
        ),
        ('layer { type: "Normalize" norm_param { } }', [("SSD", ["norm_param"])]),
        ("layer { normalize_param { } }", [("caffe-windows", ["normalize_param"])]),
        (
            'layer { type: "Python" python_param { module: "rpn.proposal_layer" } } '
            'layer { type: "ROIPooling" }',
            [("Fast R-CNN", ["rpn.proposal_layer", "ROIPooling"])],
        ),
        ("default_forward_type: FLOAT16", [("NVCaffe", ["default_forward_type"])]),
        (
            'layer { type: "ROIPooling" } layer { type: "ShuffleChannel" }',
            [("Fast R-CNN", ["ROIPooling"]), ("ShuffleNet", ["ShuffleChannel"])],
        ),
        ("layers { type: CONVOLUTION3D }", [("C3D", ["Convolution3D"])]),
    ],
)
def test_forks(net, found):
    assert forks_of(parse_net(net).param) == found


def test_every_fork_has_an_address():
    assert all("/" in address for address in FORKS.values())
