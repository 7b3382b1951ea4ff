import numpy as np
import pytest
from caffe.coord_map import AxisMismatchException, coord_map_from_to, crop

import caffe
from caffe import layers as L
from caffe import params as P

ONES = dict(type="constant", value=1)


def net(ks=3, stride=1, pad=0):
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 1, 100, 100]))
    n.conv = L.Convolution(n.data, num_output=2, kernel_size=ks, stride=stride, pad=pad)
    n.pool = L.Pooling(n.conv, kernel_size=2, stride=2, pad=0)
    n.deconv = L.Deconvolution(
        n.pool, convolution_param=dict(num_output=2, kernel_size=4, stride=2, pad=0)
    )
    return n


def scalars(found):
    axis, a, b = found
    return axis, float(np.max(a)), float(np.max(b))


def test_windows():
    n = net()
    assert scalars(coord_map_from_to(n.deconv, n.data)) == (1, 1, 0)
    assert scalars(coord_map_from_to(n.data, n.conv)) == (1, 1, -1)
    assert scalars(coord_map_from_to(n.data, n.pool)) == (1, 0.5, -0.75)
    n = net(pad=1)
    assert scalars(coord_map_from_to(n.conv, n.data)) == (1, 1, 0)


def test_a_map_and_its_inverse():
    n = net(stride=3, pad=2)
    _, a, b = scalars(coord_map_from_to(n.data, n.pool))
    _, c, d = scalars(coord_map_from_to(n.pool, n.data))
    assert a * c == pytest.approx(1)
    assert a * d + b == pytest.approx(0)


def test_elementwise_layers_have_the_identity_map():
    n = net()
    n.relu = L.ReLU(n.conv, in_place=True)
    n.drop = L.Dropout(n.relu)
    assert coord_map_from_to(n.drop, n.conv) == (None, 1, 0)


def test_dilation_is_a_larger_kernel():
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 1, 50, 50]))
    n.wide = L.Convolution(n.data, num_output=1, kernel_size=5)
    n.dilated = L.Convolution(n.data, num_output=1, kernel_size=3, dilation=2)
    assert scalars(coord_map_from_to(n.wide, n.data)) == scalars(
        coord_map_from_to(n.dilated, n.data)
    )


def centre(values):
    """Return the centre of mass along the rows."""
    rows = values.sum(axis=(0, 1, 3))
    return float((rows * np.arange(len(rows))).sum() / rows.sum())


@pytest.mark.parametrize(
    "layer",
    [
        lambda x: L.Convolution(x, num_output=1, kernel_size=4, pad=1, weight_filler=ONES),
        lambda x: L.Convolution(x, num_output=1, kernel_size=3, dilation=4, weight_filler=ONES),
        lambda x: L.Pooling(x, pool=P.Pooling.AVE, kernel_size=5, stride=1, pad=1),
        lambda x: L.Deconvolution(
            x,
            convolution_param=dict(
                num_output=1, kernel_size=4, stride=3, pad=1, weight_filler=ONES
            ),
        ),
    ],
)
def test_a_single_pixel_appears_at_the_mapped_position(layer, write):
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 1, 40, 30]))
    n.top = layer(n.data)
    net = caffe.Net(write(str(n.to_proto())), caffe.TEST)
    net.blobs["data"].data[0, 0, 17, 13] = 1
    _, a, b = scalars(coord_map_from_to(n.data, n.top))
    assert centre(net.forward()["top"]) == pytest.approx(a * 17 + b)


def test_crop_maps_to_its_first_bottom():
    n = net(ks=5)
    n.crop = crop(n.data, n.deconv)
    assert scalars(coord_map_from_to(n.crop, n.data)) == (1, 1, 1)
    assert scalars(coord_map_from_to(n.crop, n.deconv)) == (1, 1, 0)


def test_crop_has_axis_and_offset(write):
    n = net()
    n.crop = crop(n.data, n.conv)
    layer = n.to_proto().layer[-1]
    assert layer.crop_param.axis == 2
    assert list(layer.crop_param.offset) == [1]
    assert caffe.Net(write(str(n.to_proto())), caffe.TEST).blobs["crop"].shape == (2, 1, 98, 98)


@pytest.mark.parametrize(
    ("settings", "ends", "message"),
    [
        (dict(stride=2), ("data", "conv"), r"scale mismatch on crop \(a = \[0.5\]\)"),
        (dict(pad=5), ("data", "conv"), r"cannot crop negative offset \(b = \[4.\]\)"),
        (dict(ks=4), ("data", "conv"), r"cannot crop noninteger offset \(b = \[-1.5\]\)"),
    ],
)
def test_invalid_crops_are_refused(settings, ends, message):
    n = net(**settings)
    with pytest.raises(AssertionError, match=message):
        crop(n[ends[0]], n[ends[1]])


def test_axes_must_agree():
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[2, 1, 1, 100, 100]))
    n.one = L.Convolution(n.data, num_output=2, kernel_size=3, axis=1)
    n.two = L.Convolution(n.one, num_output=2, kernel_size=3, axis=2)
    with pytest.raises(AxisMismatchException, match=r"first spatial axes . and . differ"):
        coord_map_from_to(n.data, n.two)


def test_unconnected_tops_are_refused():
    n = net()
    n.other = L.Input(shape=dict(dim=[1, 1, 100, 100]))
    with pytest.raises(RuntimeError, match="Could not compute map between tops"):
        coord_map_from_to(n.other, n.conv)
    n.ip = L.InnerProduct(n.conv, num_output=3)
    with pytest.raises(RuntimeError, match="connected by spatial layers"):
        coord_map_from_to(n.ip, n.data)


def test_sizes_that_are_not_per_axis_are_refused():
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 1, 50, 50]))
    n.conv = L.Convolution(n.data, num_output=1, kernel_h=3, kernel_w=5)
    with pytest.raises(AssertionError, match="sets kernel_h, kernel_w; coordinates need"):
        coord_map_from_to(n.conv, n.data)
