"""Error messages of layers."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.errors import LabelError, NetError
from probe import net_from_text


def layer(layer_type, settings, *shapes, tops=1):
    """Return a net of one layer whose bottoms, a, b, ..., have these shapes."""
    names = "abcd"[: len(shapes)]
    inputs = (
        f'layer {{ name: "in_{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {size}" for size in shape)
        + " } } }\n"
        for name, shape in zip(names, shapes, strict=True)
    )
    blobs = " ".join(
        [f'bottom: "{name}"' for name in names] + [f'top: "y{i}"' for i in range(tops)]
    )
    return f'{"".join(inputs)}layer {{ name: "l" type: "{layer_type}" {blobs} {settings} }}'


REFUSED = [
    (layer("Concat", "", (2, 3), (4, 3)), r"differ along axis 1 only"),
    (layer("Concat", "concat_param { axis: 1 concat_dim: 1 }", (2, 3)), r"axis or concat_dim"),
    (layer("Concat", "concat_param { axis: 2 }", (2, 3)), r"axis: 2 does not exist"),
    (layer("Slice", "", (2, 5), tops=2), r"2 tops cannot share the 5 values of axis 1"),
    (layer("Slice", "slice_param { slice_point: 1 }", (2, 5), tops=3), r"1 slice_points for 3 "),
    (
        layer("Slice", "slice_param { slice_point: 3 slice_point: 2 }", (2, 5), tops=3),
        r"slice_points \[3, 2\] must rise and lie inside axis 1",
    ),
    (layer("Slice", "slice_param { slice_point: 5 }", (2, 5), tops=2), r"from 1 to 4"),
    (layer("Tile", "", (2, 5)), r"tiles: 0 must be at least 1"),
    (layer("Crop", "", (2, 3, 4, 5), (2, 3, 4)), r"as many axes"),
    (layer("Crop", "crop_param { offset: 2 }", (2, 3, 4, 5), (2, 3, 4, 5)), r"4 values from off"),
    (
        layer("Crop", "crop_param { axis: 1 offset: 1 offset: 2 }", (1, 3, 4, 5), (1, 1, 1, 1)),
        r"2 offsets for 3 cropped axes",
    ),
    (layer("Reshape", "reshape_param { shape { dim: 4 } }", (2, 3)), r"has 6 values.* 4$"),
    (layer("Reshape", "reshape_param { shape { dim: 4 dim: -1 } }", (2, 3)), r"divided by 4"),
    (layer("Reshape", "reshape_param { shape { dim: -1 dim: -1 } }", (2, 3)), r"-1 once at most"),
    (layer("Reshape", "reshape_param { shape { dim: 6 dim: 1 dim: 0 } }", (2, 3)), r"lacks"),
    (layer("Reshape", "reshape_param { axis: 3 }", (2, 3)), r"axis: 3 is not -3 to 2"),
    (layer("Reshape", "reshape_param { axis: 1 num_axes: 2 }", (2, 3)), r"more than the 2 axes"),
    (layer("Eltwise", "", (2, 3), (3, 2)), r"must have the same shape"),
    (layer("Eltwise", "eltwise_param { coeff: 1 }", (2, 3), (2, 3)), r"1 coeffs for 2 bottoms"),
    (
        layer("Eltwise", "eltwise_param { operation: PROD coeff: 1 coeff: 2 }", (2,), (2,)),
        r"PROD takes no coeff",
    ),
    (layer("Eltwise", "", (2, 3)), r"has 1 bottom; Eltwise takes at least 2"),
    (layer("Reduction", "reduction_param { axis: 2 }", (2, 3)), r"axis: 2 does not exist"),
    (layer("ArgMax", "argmax_param { top_k: 4 }", (2, 3)), r"top_k: 4 must be 1 to .*, 3"),
    (layer("BatchReindex", "", (5, 3), (2, 2)), r"must be \(M,\), it is \(2, 2\)"),
    (layer("Filter", "", (5, 3), (5,), tops=2), r"2 bottoms need 1 top"),
    (layer("Filter", "", (5, 3), (4,)), r"as many samples as the selector"),
    (layer("Filter", "", (5, 3), (5, 2)), r"one value a sample"),
    (layer("Embed", "embed_param { num_output: 2 }", (5,)), r"input_dim is missing or 0"),
    (layer("Im2col", "convolution_param { kernel_size: 5 }", (1, 1, 4, 9)), r"does not fit"),
    (layer("Im2col", "convolution_param { kernel_size: 1 }", (3, 2)), r"has no axes after axis 1"),
    (
        layer("Pooling", "pooling_param { kernel_size: 3 stride: 2 }", (1, 1, 4, 1)),
        r"a window of 3 does not fit into 1 pixels with pad 0",
    ),
    (
        layer("Pooling", "pooling_param { kernel_size: 2 round_mode: FLOOR }", (1, 1, 4, 1)),
        r"a window of 2 does not fit into 1 pixels with pad 0",
    ),
    (layer("Pooling", "pooling_param { kernel_size: 3 }", (1, 4)), r"or have one or more other"),
    (
        layer("Pooling", "pooling_param { kernel_size: 2 kernel_h: 2 }", (1, 1, 4, 4, 4)),
        r"give kernel_size or kernel_h and kernel_w",
    ),
    (
        layer("Pooling", "pooling_param { kernel_h: 2 kernel_w: 2 }", (1, 1, 4, 4, 4)),
        r"for 2-D images, not 3-D",
    ),
    (
        layer("Pooling", "pooling_param { kernel_size: 2 kernel_depth: 2 }", (1, 1, 4, 4, 4)),
        r"kernel_depth is for type Pooling3D",
    ),
    (
        layer("Pooling3D", "pooling3d_param { kernel_size: 2 }", (1, 1, 4, 4, 4)),
        r"kernel_depth and kernel_size must both be set",
    ),
    (
        layer("Pooling3D", "pooling3d_param { kernel_size: 2 kernel_depth: 2 }", (1, 1, 4, 4)),
        r"must be \(N, C, frames, rows, columns\), it is \(1, 1, 4, 4\)",
    ),
    (
        layer(
            "Pooling3D",
            "pooling3d_param { kernel_size: 2 kernel_depth: 2 pad: 1 }",
            (1, 1, 4, 4, 4),
        ),
        r"pad is for pool: AVE only",
    ),
    (
        layer(
            "Convolution3D",
            "convolution3d_param { num_output: 2 kernel_size: 2 kernel_depth: 2 stride: 0 }",
            (1, 1, 4, 4, 4),
        ),
        r"stride and temporal_stride must be at least 1",
    ),
    (layer("SPP", "", (1, 1, 4, 4)), r"pyramid_height is missing"),
    (layer("SPP", "spp_param { pyramid_height: 3 }", (1, 1, 4, 2)), r"too small for 4 by 4 bins"),
    (
        layer("SPP", "spp_param { pool: STOCHASTIC pyramid_height: 2 }", (1, 1, 5, 4)),
        r"2 bins must divide \(5, 4\)",
    ),
    (layer("EuclideanLoss", "", (3, 2), (3, 4)), r"as many values a sample"),
    (layer("EuclideanLoss", "", (3, 2), (2, 3)), r"same number of samples"),
    (layer("HingeLoss", "", (3, 2), (3, 2)), r"needs one label a sample"),
    (layer("ContrastiveLoss", "", (3, 2), (3, 4), (3,)), r"must both be \(N, C\)"),
    (layer("ContrastiveLoss", "", (3, 2), (3, 2), (3, 2)), r"needs one label a sample"),
    (layer("InfogainLoss", "", (3, 2), (3,), (3, 3)), r"must have 2 x 2 values"),
    (layer("InfogainLoss", "", (3, 2), (3,)), r"as source, a \.binaryproto, or as a third"),
    (
        layer("InfogainLoss", "loss_param { normalize: true }", (3, 2), (3,), (2, 2)),
        r"does not know normalize",
    ),
    (layer("MultinomialLogisticLoss", "", (3, 2), (3, 2)), r"needs one label a sample"),
    (layer("SigmoidCrossEntropyLoss", "", (3, 2), (3, 3)), r"must have as many values"),
]


IMAGES = (2, 8, 4, 6)
OF_FORKS = [
    (layer("Permute", "permute_param { order: 1 order: 4 }", IMAGES), r"its axes are 0 to 3"),
    (layer("Permute", "permute_param { order: 1 order: 1 }", IMAGES), r"names an axis twice"),
    (layer("ShuffleChannel", "shuffle_channel_param { group: 3 }", IMAGES), r"3 must divide the 8"),
    (layer("Reorg", "", IMAGES), r"stride is missing or 0"),
    (layer("Reorg", "reorg_param { stride: 3 }", IMAGES), r"a multiple of 9"),
    (layer("Reorg", "reorg_param { stride: 2 }", (2, 8, 5, 6)), r"2 must divide both"),
    (layer("Flip", "", (2, 3)), r"must be \(N, C, H, W\)"),
    (layer("Reverse", "reverse_param { axis: 2 }", (2, 3)), r"axis: 2 does not exist"),
    (layer("Upsample", "upsample_param { scale: 0 }", IMAGES), r"must be at least 1"),
    (layer("Upsample", "", IMAGES, (2, 8, 2, 3)), r"one position for each value"),
    (
        layer("Upsample", "upsample_param { upsample_h: 7 }", IMAGES, IMAGES),
        r"upsample_h and upsample_w go together",
    ),
    (
        layer("Upsample", "upsample_param { scale: 3 pad_out_h: true }", IMAGES, IMAGES),
        r"for scale: 2 only",
    ),
    (layer("Interp", "", IMAGES), r"set height and width"),
    (layer("Interp", "interp_param { pad_beg: 1 height: 2 width: 2 }", IMAGES), r"must be 0, or"),
    (layer("Interp", "interp_param { pad_end: -4 zoom_factor: 2 }", IMAGES), r"nothing of them"),
    (layer("Interp", "interp_param { height: 2 width: 2 }", IMAGES, IMAGES), r"use_blob_size"),
    (layer("Axpy", "", (2, 4), IMAGES, IMAGES), r"one factor for each of the \(2, 8\) channels"),
    (layer("Axpy", "", (2, 8), IMAGES, (2, 8, 4, 5)), r"must have one shape"),
    (layer("ChannelScale", "", IMAGES, (2, 8)), r"one factor for each of the 24 pixels"),
    (
        layer("ChannelScale", "channel_scale_param { global_scale: true }", IMAGES, (2, 24)),
        r"is not computed",
    ),
    (layer("RReLU", "rrelu_param { lb: 0 ub: 2 }", IMAGES), r"lb: 0 must be more than 0"),
    (layer("SpatialDropout", "spatial_dropout_param { dropout_ratio: 1 }", IMAGES), r"less than 1"),
    (layer("BN", "bn_param { bn_mode: LEARN frozen: true }", IMAGES), r"remove those of one"),
    (layer("BN", "", IMAGES, tops=3), r"exist in SegNet's layer only"),
    (layer("BN", "bn_param { bn_mode: INFERENCE }", IMAGES, tops=2), r"computes no mean"),
    (
        layer("BatchNorm", "batch_norm_param { disable_mean: true }", IMAGES),
        r"disable_mean: true, of a fork, is not computed",
    ),
    (
        layer("BatchNorm", "batch_norm_param { scale_bias: true relu: true }", IMAGES),
        r"add a ReLU layer",
    ),
    (layer("Normalize", "norm_param { } normalize_param { }", IMAGES), r"remove one"),
    (layer("Normalize", "norm_param { }", IMAGES, tops=2), r"without norm_param only"),
    (layer("Normalize", 'normalize_param { normalize_type: "L3" }', IMAGES), r'must be "L1" or'),
    (layer("Normalize", "normalize_param { fix_gradient: true }", IMAGES), r"is not computed"),
    (
        layer("SoftmaxWithLoss", "loss_param { class_weight: 1 }", (2, 3), (2,)),
        r"1 class weights for 3 classes",
    ),
    (
        layer("SoftmaxWithLoss", "loss_param { weight_by_label_freqs: true }", (2, 3), (2,)),
        r"needs class_weighting",
    ),
    (
        layer("SoftmaxWithLoss", "loss_param { label_smoothing: 1 }", (2, 3), (2,)),
        r"label_smoothing: 1 must be",
    ),
    (
        layer(
            "SoftmaxWithLoss",
            "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 0 }",
            *((2, 3), (2,)),
        ),
        r"pre_fixed_normalizer: 0 must be more than 0",
    ),
]


@pytest.mark.parametrize(("text", "message"), [*REFUSED, *OF_FORKS])
def test_errors_when_the_net_is_built(text, message):
    with pytest.raises(NetError, match=r'net\.prototxt:\d+, layer "l" \(\w+\): .*' + message):
        net_from_text(text)


OUT_OF_RANGE = [
    ("HingeLoss", "", [(3, 2), (3,)], "b", "label 2 of sample 1 .* not a class; .* from 0 to 1"),
    ("MultinomialLogisticLoss", "", [(3, 2), (3,)], "b", "label 2 of sample 1"),
    ("InfogainLoss", "", [(3, 2), (3,), (2, 2)], "b", "label 2 of sample 1"),
    ("BatchReindex", "", [(2, 4), (3,)], "b", "row number 2 of sample 1 .* not a row; .* 0 to 1"),
    ("Embed", "embed_param { num_output: 4 input_dim: 2 }", [(3,)], "a", "row number 2 of sample"),
]


@pytest.mark.parametrize(("layer_type", "settings", "shapes", "blob", "message"), OUT_OF_RANGE)
@pytest.mark.parametrize("value", [2, -1, 0.5, np.nan])
def test_indices_out_of_range_raise_errors(layer_type, settings, shapes, blob, message, value):
    net = net_from_text(layer(layer_type, settings, *shapes))
    net.blobs[blob].data.set([0, value, 1])
    message = message.replace("2 of", f"{value:g} of", 1)
    with pytest.raises(LabelError, match=rf'layer "l" \({layer_type}\): {message}'):
        net.forward()


WITHOUT_GRADIENT = [
    ("HingeLoss", "", [(3, 2), (3,)], "b"),
    ("SigmoidCrossEntropyLoss", "", [(3, 2), (3, 2)], "b"),
    ("ContrastiveLoss", "", [(3, 2), (3, 2), (3,)], "c"),
    ("BatchReindex", "loss_weight: 1", [(2, 4), (3,)], "b"),
    ("Filter", "loss_weight: 1", [(3, 4), (3,)], "b"),
    ("Embed", "embed_param { num_output: 4 input_dim: 2 }", [(3,)], "a"),
    ("ArgMax", "", [(3, 5)], "a"),
]


@pytest.mark.parametrize(("layer_type", "settings", "shapes", "blob"), WITHOUT_GRADIENT)
def test_no_gradient_for_labels_and_numbers(layer_type, settings, shapes, blob):
    net = net_from_text(layer(layer_type, settings, *shapes))
    step = net.steps[-1]
    net.forward()
    wanted = [bottom.name == blob for bottom in step.bottom]
    with pytest.raises(NetError, match=rf'layer "l" .*: bottom "{blob}" has no gradient here'):
        step.layer.backward(step.top, wanted, step.bottom)


def test_the_reference_of_crop_gets_a_zero_gradient():
    net = net_from_text(layer("Crop", "", (1, 1, 4, 5), (1, 1, 2, 3)))
    step = net.steps[-1]
    step.bottom[1].diff.set(7)
    step.layer.backward(step.top, [False, True], step.bottom)
    assert not step.bottom[1].diff.get().any()


@pytest.mark.parametrize(
    ("layer_type", "settings", "shapes", "message"),
    [
        (
            "Exp",
            "exp_param { base: 0 }",
            [(3,)],
            "base: 0 must be positive, or -1, which stands for e",
        ),
        ("Log", "log_param { base: -2 }", [(3,)], "base: -2 must be positive"),
        ("Log", "log_param { base: 1 }", [(3,)], "base: 1 has no logarithm"),
        ("Clip", "clip_param { min: 2 max: 1 }", [(3,)], "min: 2 must not be above max: 1"),
        ("LRN", "lrn_param { local_size: 4 }", [(2, 3, 4, 5)], "local_size: 4 must be odd"),
        ("LRN", "", [(2, 3, 4)], r'bottom "a" must be \(N, C, H, W\), it is \(2, 3, 4\)'),
        ("Scale", "scale_param { axis: 3 num_axes: 2 }", [(2, 3, 4, 5)], "reach past the 4 axes"),
        ("Bias", "bias_param { num_axes: -2 }", [(2, 3)], "num_axes: -2 must be 0 or more, or -1"),
        (
            "Scale",
            "",
            [(2, 3, 4), (4,)],
            r'bottom "b" of shape \(4,\) must fit the axes of bottom "a" \(2, 3, 4\) from axis 1',
        ),
        ("PReLU", "", [(3,)], r'bottom "a" must be \(N, C, ...\), it is \(3,\)'),
    ],
)
def test_wrong_settings_raise_errors(layer_type, settings, shapes, message):
    where = rf'net.prototxt:{len(shapes) + 1}, layer "l" \({layer_type}\): '
    with pytest.raises(NetError, match=f"^{where}.*{message}"):
        net_from_text(layer(layer_type, settings, *shapes))
