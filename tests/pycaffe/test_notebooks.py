"""Complete programs in the style of pycaffe's notebooks of 2015."""

import numpy as np
import pytest
from PIL import Image

import caffe
from caffe import layers as L
from caffe import params as P


def test_learning_step_by_step(tmp_path, monkeypatch):
    """Define a net and a solver, check shapes, train, and record losses and predictions."""
    monkeypatch.chdir(tmp_path)

    def lenet(batch_size):
        n = caffe.NetSpec()
        n.data, n.label = L.DummyData(
            ntop=2,
            shape=[dict(dim=[batch_size, 1, 12, 12]), dict(dim=[batch_size])],
            data_filler=[dict(type="gaussian", std=1), dict(type="constant")],
        )
        n.conv1 = L.Convolution(
            n.data, kernel_size=5, num_output=6, weight_filler=dict(type="xavier")
        )
        n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
        n.fc1 = L.InnerProduct(n.pool1, num_output=20, weight_filler=dict(type="xavier"))
        n.relu1 = L.ReLU(n.fc1, in_place=True)
        n.score = L.InnerProduct(n.relu1, num_output=10, weight_filler=dict(type="xavier"))
        n.loss = L.SoftmaxWithLoss(n.score, n.label)
        return n.to_proto()

    for phase, batch_size in (("train", 8), ("test", 5)):
        with open(f"lenet_auto_{phase}.prototxt", "w") as f:  # noqa: PTH123 - as in the notebooks
            f.write(str(lenet(batch_size)))
    with open("solver.prototxt", "w") as f:  # noqa: PTH123
        f.write(
            'train_net: "lenet_auto_train.prototxt" test_net: "lenet_auto_test.prototxt" '
            'test_iter: 2 test_interval: 500 base_lr: 0.05 momentum: 0.9 lr_policy: "inv" '
            'gamma: 0.0001 power: 0.75 max_iter: 30 snapshot: 0 snapshot_prefix: "lenet"'
        )
    caffe.set_mode_cpu()
    caffe.set_random_seed(0)
    solver = caffe.SGDSolver("solver.prototxt")
    shapes = [(k, v.data.shape) for k, v in solver.net.blobs.items()]
    assert shapes[2:4] == [("conv1", (8, 6, 8, 8)), ("pool1", (8, 6, 4, 4))]
    shapes = [(k, v[0].data.shape) for k, v in solver.net.params.items()]
    assert ("conv1", (6, 1, 5, 5)) in shapes
    solver.net.forward()
    solver.test_nets[0].forward()
    solver.step(1)
    assert solver.net.params["conv1"][0].diff[:, 0].reshape(2, 3, 5, 5).any()
    train_loss = np.zeros(20)
    output = np.zeros((20, 5, 10))
    for it in range(20):
        solver.step(1)
        train_loss[it] = solver.net.blobs["loss"].data
        solver.test_nets[0].forward(start="conv1")
        output[it] = solver.test_nets[0].blobs["score"].data[:5]
    assert train_loss[-1] < train_loss[0] / 2
    assert (output[-1].argmax(1) == solver.test_nets[0].blobs["label"].data).all()


CLASSIFY = """
input: "data" input_dim: {n} input_dim: 3 input_dim: {size} input_dim: {size}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 4 kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}
{classifier}
layer {{ name: "prob" type: "Softmax" bottom: "fc" top: "prob" }}
"""
DENSE = (
    'layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param '
    '{ num_output: 5 weight_filler { type: "xavier" } bias_filler { type: "uniform" } } }'
)
SLIDING = (
    'layer { name: "fc-conv" type: "Convolution" bottom: "conv" top: "fc" convolution_param '
    "{ num_output: 5 kernel_size: 6 } }"
)


@pytest.fixture
def model(write, tmp_path):
    path = write(CLASSIFY.format(n=10, size=8, classifier=DENSE))
    caffe.set_random_seed(2)
    caffe.Net(path, caffe.TEST).save(str(tmp_path / "model.caffemodel"))
    return path, str(tmp_path / "model.caffemodel")


def test_classifying_an_image(model, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)).save(
        tmp_path / "cat.png"
    )
    np.save(tmp_path / "mean.npy", np.arange(3 * 16 * 16.0).reshape(3, 16, 16) / 3)
    net = caffe.Net(*model, caffe.TEST)
    mu = np.load(tmp_path / "mean.npy").mean(1).mean(1)
    transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_mean("data", mu)
    transformer.set_raw_scale("data", 255)
    transformer.set_channel_swap("data", (2, 1, 0))
    net.blobs["data"].reshape(50, 3, 8, 8)
    image = caffe.io.load_image(str(tmp_path / "cat.png"))
    net.blobs["data"].data[...] = transformer.preprocess("data", image)
    output = net.forward()
    output_prob = output["prob"][0]
    top_inds = output_prob.argsort()[::-1][:5]
    assert sorted(top_inds) == [0, 1, 2, 3, 4]
    assert output["prob"].shape == (50, 5)
    np.testing.assert_allclose(output["prob"].sum(axis=1), 1, rtol=1e-5)
    back = transformer.deprocess("data", net.blobs["data"].data[0])
    np.testing.assert_allclose(back, caffe.io.resize_image(image, (8, 8)), atol=1e-5)


def test_net_surgery_to_a_fully_convolutional_net(model, write):
    """Convert an InnerProduct to a convolution, which classifies at each position."""
    net = caffe.Net(*model, caffe.TEST)
    full = caffe.Net(write(CLASSIFY.format(n=1, size=11, classifier=SLIDING)), model[1], caffe.TEST)
    params = {pr: (net.params[pr][0].data, net.params[pr][1].data) for pr in ["fc"]}
    conv_params = {pr: (full.params[pr][0].data, full.params[pr][1].data) for pr in ["fc-conv"]}
    conv_params["fc-conv"][0].flat = params["fc"][0].flat
    conv_params["fc-conv"][1][...] = params["fc"][1]
    image = np.random.default_rng(0).standard_normal((3, 11, 11)).astype(np.float32)
    out = full.forward_all(data=np.asarray([image]))
    assert out["prob"].shape == (1, 5, 4, 4)
    for row, column in ((0, 0), (1, 3), (3, 2)):
        crop = image[:, row : row + 8, column : column + 8]
        want = net.forward_all(data=np.asarray([crop]))["prob"][0]
        np.testing.assert_allclose(out["prob"][0, :, row, column], want, rtol=1e-4)
