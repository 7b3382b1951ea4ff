"""BiasChannel and AdaptiveBiasChannel."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.layers.without_labels import layer_without_labels
from minicaffe.ops.layout import Copy
from minicaffe.ops.segmentation.channel_bias import AdaptiveBias, ChannelBias
from minicaffe.schema import LayerParameter
from minicaffe.schema.forks_pb2 import AdaptiveBiasChannelParameter, BiasChannelParameter


@register("BiasChannel")
class BiasChannel(Layer[BiasChannelParameter]):
    """Add a bias to the scores of the classes that an image, or a pixel, is known to have.

    Shapes: x (N, C, H, W), labels (N, L, 1, 1) or (N, 1, H, W) -> y (N, C, H, W)

    Notes
    -----
    With label_type: IMAGE (the default) the labels of a sample name the classes of the image, and
    the scores of each grow by fg_bias in all pixels; by bg_bias if it is background_label. With
    PIXEL each pixel has one label: there the score of background_label grows by bg_bias, and that
    of the label by fg_bias, if it is another one. Labels below 0, and those of ignore_label, stand
    for nothing. The gradient is that of a copy. The layer is that of DeepLab and PSPNet.

    References
    ----------
    Papandreou et al., "Weakly- and semi-supervised learning of a DCNN for semantic image
    segmentation", 2015 (EM-Fixed).
    """

    bottoms = 2
    in_place = True
    without_gradient = (1,)
    reads_bottoms = False

    @classmethod
    def deployed(cls, param: LayerParameter) -> LayerParameter:
        """Return a copy of the scores, because the labels are not known."""
        return layer_without_labels(param, "Power")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the scores' shape and plan."""
        x, labels = bottom
        proto = self.settings
        of_pixels = proto.label_type == BiasChannelParameter.PIXEL
        self.require_shape(
            len(x.shape) == 4, f'bottom "{x.name}" must be (N, C, H, W), it is {x.shape}'
        )
        samples, _, height, width = x.shape
        self.require_shape(
            labels.shape[:1] == (samples,)
            and (not of_pixels or labels.count == samples * height * width),
            f'bottom "{labels.name}" {labels.shape} must have the labels of the {samples} images'
            + (f", one for each of the {height} x {width} pixels" if of_pixels else ""),
        )
        self.require(
            0 <= proto.background_label < x.shape[1],
            f"background_label: {proto.background_label} is not one of the {x.shape[1]} channels",
        )
        top[0].reshape(x.shape)
        op = ChannelBias(
            proto.bg_bias,
            proto.fg_bias,
            proto.background_label,
            tuple(proto.ignore_label),
            of_pixels,
        )
        self.kernel = self.plan(op, x.data, labels.data, top[0].data)
        self.copy = self.plan(Copy(), x.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, bottom[1].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the scores' diff."""
        self.require_no_gradient(propagate_down)
        if propagate_down[0] and bottom[0] is not top[0]:
            self.copy.forward(top[0].diff, bottom[0].diff)


@register("AdaptiveBiasChannel")
class AdaptiveBiasChannel(Layer[AdaptiveBiasChannelParameter]):
    """Raise the scores of the classes of an image until each wins a part of the pixels.

    Shapes: x (N, C, H, W), labels (N, L, 1, 1) -> y (N, C, H, W)

    Notes
    -----
    The labels of a sample name its classes; those below 0 stand for nothing. First, with
    suppress_others, absent classes are lowered below the present ones. Then, num_iter times, each
    present class is raised until it is the best in fg_portion of the pixels, class 0, the
    background, in bg_portion; 0 comes first, the others in random order. Last, all scores are
    shifted so that the mean of the best ones stays the same. Without gradient. The layer is that of
    DeepLab and PSPNet.

    References
    ----------
    Papandreou et al., "Weakly- and semi-supervised learning of a DCNN for semantic image
    segmentation", 2015 (EM-Adapt).
    """

    bottoms = 2
    without_gradient = (0, 1)

    @classmethod
    def deployed(cls, param: LayerParameter) -> LayerParameter:
        """Return a copy of the scores, because the labels are not known."""
        return layer_without_labels(param, "Power")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the scores' shape and plan."""
        (x, labels), proto = bottom, self.settings
        self.require_shape(
            len(x.shape) == 4 and 0 not in x.shape[1:],
            f'bottom "{x.name}" must be (N, C, H, W), it is {x.shape}',
        )
        self.require_shape(
            labels.shape[:1] == x.shape[:1],
            f'bottom "{labels.name}" {labels.shape} must have the labels of {x.shape[0]} images',
        )
        self.require(proto.num_iter > 0, f"num_iter: {proto.num_iter} must be at least 1")
        for field in ("bg_portion", "fg_portion"):
            value = getattr(proto, field)
            self.require(0 <= value <= 1, f"{field}: {value:g} must lie between 0 and 1")
        top[0].reshape(x.shape)
        op = AdaptiveBias(
            proto.num_iter,
            proto.bg_portion,
            proto.fg_portion,
            proto.suppress_others,
            proto.margin_others,
        )
        self.kernel = self.plan(op, x.data, labels.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        x, labels = (blob.data for blob in bottom)
        self.kernel.forward(x, labels, top[0].data, self.stream("order"))
