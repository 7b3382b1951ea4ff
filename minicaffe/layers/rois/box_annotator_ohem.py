"""BoxAnnotatorOHEM."""

from __future__ import annotations

from minicaffe.layers.base import Blobs
from minicaffe.layers.registry import register
from minicaffe.layers.rois.region_layer import ROI_VALUES, BoxLayer
from minicaffe.ops.rois.ohem import BoxAnnotatorOhem
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import BoxAnnotatorOHEMParameter


@register("BoxAnnotatorOHEM")
class BoxAnnotatorOHEM(BoxLayer[BoxAnnotatorOHEMParameter]):
    """Keep the labels and weights of the regions of largest loss: online hard example mining.

    Shapes: rois (R, 5, ...), losses (R, 1, ...), labels (R, 1, ...), weights (R, C, ...)
    -> labels (R, 1, ...), weights (R, C, ...)

    Notes
    -----
    Of each image, the roi_per_img regions with the largest losses keep label and weights; the
    others get the label ignore_label and weights of 0, so that the losses behind ignore them.

    Differs from R-FCN: the CPU computes it.

    Source: Shrivastava, Gupta, Girshick, "Training Region-based Object Detectors with Online Hard
    Example Mining", CVPR 2016.
    """

    bottoms = 4
    tops = 2
    without_gradient = (0, 1, 2, 3)
    reads_bottoms = False

    @classmethod
    def deployed(cls, param: LayerParameter) -> None:
        """Return None: it needs labels."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the settings."""
        self.require(
            self.settings.roi_per_img > 0,
            "box_annotator_ohem_param { roi_per_img } is missing or 0: the number of regions of an "
            "image that keep their labels",
        )

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes, give the tops those of the last two bottoms, and plan."""
        rois, losses, labels, weights = bottom
        self.require_shape(
            len(rois.shape) > 1 and rois.shape[1] == ROI_VALUES,
            f'bottom "{rois.name}", the regions, must be (R, 5, ...), it is {rois.shape}',
        )
        n = rois.count // ROI_VALUES
        for blob in (losses, labels):
            self.require_shape(
                blob.count == n,
                f'bottom "{blob.name}" {blob.shape} must have a value for each of the {n} regions '
                f'of "{rois.name}" {rois.shape}',
            )
        self.require_shape(
            len(weights.shape) > 1
            and (weights.shape[0], *weights.shape[2:]) == (rois.shape[0], *rois.shape[2:]),
            f'bottom "{weights.name}" {weights.shape} must have values for each region of '
            f'"{rois.name}" {rois.shape}',
        )
        top[0].reshape(labels.shape)
        top[1].reshape(weights.shape)
        op = BoxAnnotatorOhem(self.settings.roi_per_img, self.settings.ignore_label)
        self.kernel = self.plan(op, *(blob.data for blob in (*bottom, *top)))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops."""
        rois, losses, *given = (blob.data for blob in bottom)
        self.kernel.forward(rois, losses, given, [blob.data for blob in top])
