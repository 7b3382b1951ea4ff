"""What SegAccuracy counts over several batches, and what it refuses."""

import numpy as np
import pytest

from minicaffe.errors import LabelError
from probe import REFERENCE, make_backend, net_from_text

INPUTS = (
    'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 2 dim: 2 } '
    '} } layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 1 dim: 1 dim: 2 dim: 2'
    " } } }"
)


def net_of(settings, backend):
    layer = f'layer {{ name: "l" type: "SegAccuracy" bottom: "x" bottom: "t" top: "y" {settings} }}'
    return net_from_text(f"{INPUTS} {layer}", "TEST", backend=backend)


def measures(net, predicted, labels):
    net.blobs["x"].data.set(np.eye(3)[:, np.array(predicted)].reshape(1, 3, 2, 2))
    net.blobs["t"].data.set(np.reshape(labels, (1, 1, 2, 2)))
    net.forward()
    return net.blobs["y"].data.get().ravel()


def test_reset_false_counts_the_pixels_of_all_batches(backend):
    net = net_of("seg_accuracy_param { reset: false }", backend)
    np.testing.assert_allclose(measures(net, [0, 0, 1, 1], [0, 0, 1, 1]), [1, 1, 1])
    # Class 0 has 3 of 4 pixels, 2 more are taken for it; class 1 all of 2 and 1 more; class 2 none.
    wanted = [5 / 8, (3 / 4 + 1 + 0) / 3, (3 / 6 + 2 / 3 + 0) / 3]
    np.testing.assert_allclose(measures(net, [0, 1, 0, 0], [0, 0, 2, 2]), wanted, rtol=1e-6)


def test_reset_counts_one_batch(backend):
    net = net_of("seg_accuracy_param { ignore_label: 9 }", backend)
    measures(net, [0, 0, 1, 1], [0, 0, 1, 1])
    np.testing.assert_allclose(measures(net, [0, 1, 0, 0], [0, 1, 2, 9]), [2 / 3, 2 / 3, 0.5])


def test_a_batch_without_counted_pixels(backend):
    net = net_of("seg_accuracy_param { ignore_label: 9 }", backend)
    assert measures(net, [0, 1, 2, 0], [9] * 4).tolist() == [0, 0, 1]


def test_labels_that_are_no_classes_are_refused():
    net = net_of("", make_backend(REFERENCE))
    with pytest.raises(LabelError):
        measures(net, [0, 1, 2, 0], [0, 1, 2, 3])
