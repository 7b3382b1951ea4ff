"""The forks of Caffe that a net was written for, by its layer types and fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from minicaffe.schema.minicaffe_pb2 import LayerParameter, NetParameter

# Names of forks, a fork before those that contain it.
FORKS = {
    "SSD": "weiliu89/caffe, branch ssd",
    "Fast R-CNN": "rbgirshick/caffe-fast-rcnn",
    "R-FCN": "daijifeng001/caffe-rfcn",
    "MNC": "daijifeng001/caffe-mnc",
    "PVANet": "sanghoon/caffe",
    "MS-CNN": "zhaoweicai/mscnn",
    "RefineDet": "sfzhang15/RefineDet",
    "MobileNet-YOLO": "eric612/MobileNet-YOLO",
    "SegNet": "alexgkendall/caffe-segnet",
    "ENet": "TimoSaemann/caffe-enet",
    "PSPNet": "hszhao/PSPNet",
    "DeepLab": "xmyqsh/deeplab-v2",
    "CRNN": "yalecyu/crnn.caffe",
    "caffe_ocr": "senlinuc/caffe_ocr",
    "caffe-face": "ydwen/caffe-face",
    "SphereFace": "wy1iu/sphereface",
    "L-Softmax": "wy1iu/LargeMargin_Softmax_Loss",
    "C3D": "facebook/C3D",
    "TSN": "yjxiong/caffe",
    "FlowNet2": "lmb-freiburg/flownet2",
    "OpenPose": "CMU-Perceptual-Computing-Lab/caffe_rtpose",
    "SENet": "hujie-frank/SENet",
    "ShuffleNet": "farmingyard/ShuffleNet",
    "Ristretto": "pmgysel/caffe",
    "Intel": "intel/caffe",
    "NVCaffe": "NVIDIA/caffe",
    "caffe-windows": "happynear/caffe-windows",
}
_SSDS = ("SSD", "RefineDet", "MobileNet-YOLO", "Intel", "NVCaffe")
_RCNNS = ("Fast R-CNN", "R-FCN", "MNC", "PVANet", "MS-CNN", "Intel", "caffe-windows")
_SEGNETS = ("SegNet", "ENet")
_PSPNETS = ("PSPNet", "DeepLab")
_BY_TYPES: dict[tuple[str, ...], str] = {
    _SSDS: "AnnotatedData PriorBox DetectionOutput MultiBoxLoss DetectionEvaluate",
    (*_SSDS, "CRNN", "caffe-windows"): "Permute",
    (*_SSDS, *_RCNNS): "SmoothL1Loss",
    (*_RCNNS, "TSN"): "ROIPooling",
    ("R-FCN", "Intel", "caffe-windows"): "PSROIPooling",
    ("R-FCN", "Intel"): "BoxAnnotatorOHEM SmoothL1LossOHEM SoftmaxWithLossOHEM",
    ("MNC",): "ROIWarping MaskPooling MaskResize",
    ("PVANet", "caffe-windows"): "Proposal",
    ("MS-CNN",): "BoxOutput DetectionLoss DetectionAccuracy ImageGtData ProposalTarget DecodeBBox "
    "BboxAccuracy ROIAlign",
    (
        "MobileNet-YOLO",
    ): "Yolov3 GaussianYolov3 Yolov3DetectionOutput YoloDetectionOutput YoloSeg LaneData ReLU6 "
    "SegmentationEvaluate DepthwiseConvolution",
    ("MobileNet-YOLO", "Intel"): "RegionLoss Reorg",
    ("Intel",): "EvalDetection SpatialDropout",
    (*_SEGNETS, "PSPNet", "TSN", "L-Softmax", "caffe-windows"): "BN",
    _SEGNETS: "DenseImageData",
    (*_PSPNETS, "TSN", "caffe_ocr"): "Interp",
    _PSPNETS: "SegAccuracy ImageSegData DenseCRF DomainTransform BiasChannel UniqueLabel "
    "AdaptiveBiasChannel SpatialProduct MatRead MatWrite",
    ("CRNN",): "CtcLoss ContinuationIndicator LabelsequenceAccuracy",
    ("CRNN", "caffe_ocr"): "Reverse",
    ("caffe_ocr",): "WarpCTCLoss CTCGreedyDecoder ReverseTime Transpose",
    ("caffe-face", "TSN", "caffe-windows"): "CenterLoss",
    ("SphereFace", "TSN", "caffe-windows"): "MarginInnerProduct",
    ("L-Softmax", "caffe-windows"): "LargeMarginInnerProduct",
    ("caffe-windows",): "LabelSpecificAdd ChannelScale Flip InnerDistance GlobalLSEMargin Gram",
    ("C3D",): "Convolution3D Deconvolution3D Pooling3D",
    ("FlowNet2",): "FlowWarp ChannelNorm Accum Mean NegReLU Correlation Resample DataAugmentation",
    ("OpenPose",): "ImResize Nms CPMData",
    ("SENet", "Intel", "caffe-windows"): "Axpy",
    ("ShuffleNet",): "ShuffleChannel ConvolutionDepthwise",
    ("Ristretto",): "ConvolutionRistretto DeconvolutionRistretto FcRistretto LRNRistretto",
    ("NVCaffe",): "DetectNetTransformation",
}
_BY_FIELDS: dict[tuple[str, ...], str] = {
    _SSDS: "norm_param transform_param.resize_param transform_param.distort_param "
    "transform_param.expand_param transform_param.emit_constraint transform_param.noise_param "
    "video_data_param.video_type",
    ("MobileNet-YOLO",): "transform_param.enable_classf_aug annotated_data_param.yolo_data_type "
    "annotated_data_param.yolo_data_jitter",
    ("RefineDet",): "multibox_loss_param.objectness_score detection_output_param.objectness_score",
    ("Fast R-CNN", "R-FCN", "MNC"): "dropout_param.scale_train",
    ("MS-CNN",): "roi_pooling_param.pad_ratio",
    _SEGNETS: "dropout_param.sample_weights_test loss_param.weight_by_label_freqs "
    "loss_param.class_weighting bn_param.bn_mode bn_param.scale_filler",
    ("PSPNet", "TSN", "L-Softmax", "caffe-windows"): "bn_param.slope_filler bn_param.frozen",
    _PSPNETS: "transform_param.scale_factors transform_param.crop_width",
    ("TSN",): "video_data_param.modality video_data_param.num_segments transform_param.fix_crop "
    "transform_param.multi_scale transform_param.is_flow",
    ("C3D",): "video_data_param.use_temporal_jitter video_data_param.use_image",
    ("R-FCN", "Intel"): "loss_param.pre_fixed_normalizer",
    ("Intel", "Ristretto"): "quantization_param",
    ("Intel", "NVCaffe", "TSN"): "data_param.shuffle",
    ("Intel",): "engine transform_param.random_resize_param batch_norm_param.use_weight_bias "
    "batch_norm_param.filler convolution_param.conv_algorithm",
    ("NVCaffe",): "data_param.cache data_param.threads batch_norm_param.scale_bias forward_type "
    "transform_param.img_rand_resize_lower detectnet_groundtruth_param",
    ("NVCaffe", "caffe-windows"): "batch_norm_param.scale_filler",
    ("caffe-windows",): "normalize_param inner_product_param.normalize",
}
_BY_NET_FIELDS = {
    "NVCaffe": "default_forward_type default_backward_type global_grad_scale",
    "Intel": "engine bn_stats_batch_size",
}


def _inverted(table: dict[tuple[str, ...], str]) -> dict[str, tuple[str, ...]]:
    return {word: forks for forks, words in table.items() for word in words.split()}


_TYPES, _FIELDS = _inverted(_BY_TYPES), _inverted(_BY_FIELDS)


def types_of(fork: str) -> list[str]:
    """Return the layer types that a fork added to Caffe, in alphabetical order."""
    return sorted(name for name, forks in _TYPES.items() if fork in forks)


def forks_of(net: NetParameter) -> list[tuple[str, list[str]]]:
    """Return the forks that a net needs, and what shows it: a fewest number of them.

    Returns
    -------
    list of (str, list of str)
        Names of `FORKS`, each with layer types and fields of the net. Of several forks that explain
        the same, the original comes first.
    """
    evidence = dict(_evidence(net))
    found = []
    while evidence:
        counts = Counter(fork for forks in evidence.values() for fork in forks)
        best = max(FORKS, key=lambda fork: counts[fork])
        found.append((best, [word for word, forks in evidence.items() if best in forks]))
        evidence = {word: forks for word, forks in evidence.items() if best not in forks}
    return found


def _evidence(net: NetParameter) -> Iterator[tuple[str, tuple[str, ...]]]:
    for fork, fields in _BY_NET_FIELDS.items():
        for field in fields.split():
            if net.HasField(field):
                yield field, (fork,)
    for layer in net.layer:
        if layer.type in _TYPES:
            yield layer.type, _TYPES[layer.type]
        elif layer.type == "Upsample":
            yield layer.type, _SEGNETS if len(layer.bottom) == 2 else ("MobileNet-YOLO",)
        module = layer.python_param.module
        if module.startswith(("rpn.", "roi_data_layer.")):
            yield module, ("Fast R-CNN", "R-FCN", "MNC", "PVANet")
        for name in _fields_of(layer):
            if name in _FIELDS:
                yield name, _FIELDS[name]


def _fields_of(layer: LayerParameter) -> Iterator[str]:
    """Yield the names of a layer's fields, and those in its messages."""
    for field, value in layer.ListFields():
        yield field.name
        if field.name.endswith("_param"):
            for inner, _ in value.ListFields():
                yield f"{field.name}.{inner.name}"
