"""ENet's layer in Python, which is built in."""

import numpy as np
import pytest

from minicaffe.errors import NetError
from minicaffe.layers.segmentation.enet_dropout import SpatialDropoutLayer
from probe import net_from_text

SHAPE = (5, 30, 4, 3)


def net_of(param_str, **options):
    dims = " ".join(f"dim: {size}" for size in SHAPE)
    return net_from_text(
        f"""layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}
        layer {{ name: "l" type: "Python" bottom: "x" top: "y" python_param {{
          module: "spatial_dropout" layer: "SpatialDropoutLayer" param_str: "{param_str}" }} }}
        force_backward: true""",
        "TEST",
        **options,
    )


def run(net):
    rng = np.random.default_rng(1)
    x, dy = rng.uniform(1, 2, SHAPE), rng.uniform(1, 2, SHAPE)
    net.blobs["x"].data.set(x)
    net.forward()
    net.blobs["y"].diff.set(dy)
    net.backward()
    return net.blobs["y"].data.get() / x, net.blobs["x"].diff.get() / dy


def test_training_drops_whole_channels(backend):
    net = net_of("{'phase': 'TRAIN', 'p': '0.25'}", backend=backend)
    assert isinstance(net.layers[1], SpatialDropoutLayer)
    factors, gradients = run(net)
    np.testing.assert_allclose(gradients, factors, rtol=1e-5)
    of_channels = factors[:, :, 0, 0]
    wanted = np.broadcast_to(of_channels[..., None, None], SHAPE)
    np.testing.assert_allclose(factors, wanted, rtol=1e-5)
    values, counts = np.unique(of_channels.round(4), return_counts=True)
    np.testing.assert_allclose(values, [0, 1.3333], atol=1e-4)
    assert 20 < counts[0] < 60
    assert not (of_channels == of_channels[0]).all()


def test_testing_scales(backend):
    factors, gradients = run(net_of("{'phase': 'TEST', 'p': '0.2'}", backend=backend))
    np.testing.assert_allclose(factors, 1.25, rtol=1e-5)
    np.testing.assert_allclose(gradients, 1.25, rtol=1e-5)


@pytest.mark.parametrize("p", ["one", "1"])
def test_other_probabilities_are_refused(p):
    with pytest.raises(NetError, match=r"is no number|must"):
        net_of(f"{{'p': '{p}'}}")
