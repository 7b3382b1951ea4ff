"""mixup_alpha of transform_param: mixed images that keep their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minicaffe.data.transformer import DataTransformer, RowDraws
from minicaffe.errors import NetError
from minicaffe.net import Net
from minicaffe.random import RandomStream
from minicaffe.schema import parse_net
from minicaffe.schema.minicaffe_pb2 import TRAIN, TransformationParameter

IMAGES = Path(__file__).parents[1] / "golden" / "files" / "images"


def draws(n, step=0):
    return RowDraws.of_all(RandomStream(3, "a", step).generator(), n)


def mixed(n, alpha, step=0):
    """Return the shares of each image of a batch in each mixed one, (n, n)."""
    transformer = DataTransformer(TransformationParameter(), TRAIN, alpha)
    one_hot = np.eye(n, dtype=np.float32).reshape(n, 1, 1, n)
    return transformer(list(one_hot), draws(n, step)).reshape(n, n)


def test_images_are_sums_of_two():
    shares = mixed(50, 0.4)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(shares.sum(axis=0).mean(), 1, rtol=1e-6)
    assert ((shares > 0).sum(axis=1) <= 2).all()
    assert (shares >= 0).all()
    assert ((shares > 0).sum(axis=1) == 2).sum() > 25
    assert (mixed(50, 0.4) == shares).all()
    assert (mixed(50, 0.4, step=1) != shares).any()


def test_parts_of_a_batch_are_mixed_each_for_itself():
    n, one_hot = 40, np.eye(40, dtype=np.float32).reshape(40, 1, 1, 40)
    transformer = DataTransformer(TransformationParameter(), TRAIN, 0.4)
    shares = []
    for part in range(4):
        rows = slice(part * n, (part + 1) * n)
        of_part = RowDraws(RandomStream(3, "a").generator(), rows, 4 * n)
        shares.append(transformer(list(one_hot), of_part).reshape(n, n))
    for found in shares:
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
    # No two parts have the same partners or shares.
    assert len({(found > 0).tobytes() for found in shares}) == 4
    assert len(np.unique(np.concatenate([np.diag(found) for found in shares]))) > 150


def test_own_shares_have_the_mean_and_variance_of_the_beta_distribution():
    alpha = 0.5
    own = np.concatenate([np.diag(mixed(200, alpha, step)) for step in range(20)])
    own = own[own < 1]  # mixed with another image
    a, b = alpha + 1, alpha
    assert own.mean() == pytest.approx(a / (a + b), abs=0.01)
    assert own.var() == pytest.approx(a * b / ((a + b) ** 2 * (a + b + 1)), rel=0.1)


def test_the_mean_loss_is_that_of_mixed_labels():
    """Of pairs in both orders, for any losses of the two labels as functions of the share."""
    rng = np.random.default_rng(1)
    alpha, n = 0.3, 400_000
    share = rng.beta(alpha, alpha, n)

    def loss(own_share, k):
        return np.exp(own_share * (k + 1)) + k * own_share**2

    # Image 0 has the share `share`, image 1 the rest.
    pairs = share * loss(share, 0) + (1 - share) * loss(1 - share, 1)
    share = rng.beta(alpha + 1, alpha, n)
    ours = (loss(share, 0) + loss(share, 1)) / 2
    assert ours.mean() == pytest.approx(pairs.mean(), rel=0.005)


def test_mean_and_scale_come_before():
    param = TransformationParameter(scale=0.5, mean_value=[7], mirror=True)
    images = [np.full((1, 3, 4), value, np.uint8) for value in (7, 27)]
    found = DataTransformer(param, TRAIN, 1.0)(images, draws(2))
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 10


def net_of(phase, batch_size=3, more="mixup_alpha: 0.5", kind="ImageData"):
    text = (
        f'layer {{ name: "d" type: "{kind}" top: "x" top: "y" transform_param {{ {more} }} '
        f'image_data_param {{ source: "{IMAGES}/list.txt" root_folder: "{IMAGES}/" '
        f"batch_size: {batch_size} new_height: 9 new_width: 11 }} }}"
    )
    return Net(parse_net(text, "net.prototxt"), phase, seed=1)


def values(net):
    net.forward()
    return net.blobs["x"].data.get(), net.blobs["y"].data.get()


def test_training_nets_mix_and_keep_labels():
    plain, mixing, testing = net_of("TRAIN", more=""), net_of("TRAIN"), net_of("TEST")
    (x, y), (mixed_x, mixed_y), (test_x, _) = map(values, (plain, mixing, testing))
    np.testing.assert_array_equal(mixed_y, y)
    np.testing.assert_array_equal(test_x, x)
    assert (mixed_x != x).any()
    for net in (plain, mixing, testing):
        net.close()


def test_a_resumed_net_mixes_the_same():
    net, again = net_of("TRAIN"), net_of("TRAIN")
    values(net)
    again.restore(net.state())
    np.testing.assert_array_equal(values(again)[0], values(net)[0])
    net.close()
    again.close()


def test_a_batch_of_one_image_is_remarked(caplog_minicaffe):
    net_of("TRAIN", batch_size=1).close()
    assert any(
        "mixup_alpha has no effect with batch_size: 1" in m for m in caplog_minicaffe.messages
    )


def test_a_negative_alpha_is_an_error():
    with pytest.raises(NetError, match="mixup_alpha is -1; it must be at least 0"):
        net_of("TRAIN", more="mixup_alpha: -1")
