"""One schema reads the files of all forks; where two forks meant different things by one name."""

import pytest

from minicaffe.schema import NetParameter, SolverParameter, parse_prototxt
from minicaffe.schema.forks_pb2 import AnnotatedDatum
from minicaffe.schema.minicaffe_pb2 import LossParameter

LAYERS = {
    "SSD": "annotated_data_param { batch_sampler { sampler { min_scale: 0.3 } max_sample: 1 } "
    'label_map_file: "m" } transform_param { resize_param { prob: 1 resize_mode: WARP height: 300 '
    "width: 300 interp_mode: LINEAR interp_mode: AREA } emit_constraint { emit_type: CENTER } "
    "distort_param { hue_prob: 0.5 } expand_param { prob: 0.5 max_expand_ratio: 4 } }",
    "MobileNet-YOLO": "transform_param { resize_param { height: 320 } resize_param { height: 352 } "
    "noise_param { prob: 0.1 } noise_param { prob: 0.2 } } annotated_data_param { "
    "yolo_data_type: 1 } yolov3_param { biases: 10 mask: [0, 1] iou_loss: GIOU }",
    "RefineDet": "multibox_loss_param { mining_type: MAX_NEGATIVE objectness_score: 0.01 }",
    "R-FCN": "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 256 } "
    "psroi_pooling_param { spatial_scale: 0.0625 output_dim: 21 group_size: 7 }",
    "MS-CNN": "roi_pooling_param { pooled_w: 7 pooled_h: 7 pad_ratio: 0.25 }",
    "SegNet": "upsample_param { scale: 2 upsample_w: 480 upsample_h: 360 } bn_param { "
    "bn_mode: INFERENCE scale_filler { value: 1 } shift_filler { value: 0 } } loss_param { "
    "weight_by_label_freqs: true class_weighting: [0.2, 1.5] } "
    "dropout_param { sample_weights_test: true }",
    "PSPNet": "bn_param { slope_filler { } bias_filler { } frozen: true momentum: 0.95 } "
    "interp_param { zoom_factor: 8 pad_beg: 0 }",
    "CRNN": "ctc_loss_param { blank_label: 10 alphabet_size: 11 time_step: 18 }",
    "caffe_ocr": "ctc_loss_param { blank_index: 0 } transpose_param { dim: [2, 0, 1] }",
    "caffe-windows": 'normalize_param { normalize_type: "L1" } noise_param { gaussian_std: 2 }',
    "SSD's Normalize": "norm_param { across_spatial: false channel_shared: false }",
    "TSN": 'video_data_param { modality: FLOW num_segments: 3 name_pattern: "%c_%05d.jpg" }',
    "C3D": 'video_data_param { source: "x" new_length: 16 sampling_rate: 2 }',
    "SSD's VideoData": 'video_data_param { video_type: VIDEO video_file: "x" skip_frames: 2 }',
    "Ristretto": "quantization_param { bw_params: 8 fl_params: 7 }",
    "Intel": "quantization_param { fl_params: [7, 8] scale_in: [1.5, 2] } engine: 'MKLDNN:DNNL' "
    "relu_param { engine: MKL2017 } lrn_param { engine: MKLDNN }",
    "NVCaffe": "batch_norm_param { scale_bias: true } data_param { cache: true threads: 4 } "
    "forward_type: FLOAT16 convolution_param { conv_algos_override: '1,-1,-1' }",
    "OpenPose": "cpm_transform_param { stride: 8 np_in_lmdb: 17 } imresize_param { factor: 8 }",
    "FlowNet2": "correlation_param { pad: 20 stride_2: 2 } resample_param { type: NEAREST }",
}


@pytest.mark.parametrize("fork", LAYERS)
def test_layers_of_forks_are_read_and_written(fork):
    text = f"layer {{ {LAYERS[fork]} }}"
    net = parse_prototxt(text, NetParameter).message
    assert NetParameter.FromString(net.SerializeToString()) == net


def test_nets_and_solvers_of_forks_are_read():
    net = parse_prototxt(
        "default_forward_type: FLOAT16 default_backward_type: FLOAT16 global_grad_scale: 1000 "
        "eltwise_mem_sharing: false bn_stats_batch_size: 32 engine: 'MKL2017'",
        NetParameter,
    ).message
    assert net.global_grad_scale == 1000
    solver = parse_prototxt(
        'eval_type: "detection" ap_version: "11point" plateau_winsize: [1000, 500] larc: true '
        "stagelr: [0.1, 0.01] stageiter: [10, 20] min_lr: 1e-5 rampup_interval: 5 richness: 200 "
        "warmup_iter: 9 warmup_start_lr: 1e-4",
        SolverParameter,
    ).message
    assert list(solver.stageiter) == [10, 20]


def test_the_normalizations_of_caffe_keep_their_numbers():
    """R-FCN gave PRE_FIXED the number of NONE."""
    assert LossParameter.NormalizationMode.items()[:4] == [
        ("FULL", 0),
        ("VALID", 1),
        ("BATCH_SIZE", 2),
        ("NONE", 3),
    ]
    assert LossParameter.PRE_FIXED == 1000


def test_annotated_datums_have_the_numbers_of_ssd():
    datum = AnnotatedDatum(type=AnnotatedDatum.BBOX)
    datum.datum.channels = 3
    box = datum.annotation_group.add(group_label=5).annotation.add(instance_id=1).bbox
    box.xmin, box.label, box.difficult = 0.5, 2, True
    assert datum.SerializeToString() == (
        b"\x0a\x02\x08\x03"  # 1: a Datum with 1: 3
        b"\x10\x00"  # 2: 0
        b"\x1a\x11\x08\x05"  # 3: a group with 1: 5
        b"\x12\x0d\x08\x01"  # 2: an annotation with 1: 1
        b"\x12\x09\x0d\x00\x00\x00\x3f\x28\x02\x30\x01"  # 2: a box with 1: 0.5, 5: 2, 6: true
    )
