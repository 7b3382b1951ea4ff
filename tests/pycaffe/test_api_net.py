import inspect
import sys
import threading
from collections import OrderedDict

import numpy as np
import pytest

import caffe
from minicaffe.backends import get_backend
from minicaffe.blob import Blob as CoreBlob
from minicaffe.pycaffe import session


def test_structure(net):
    assert net.inputs == ["data", "label"]
    assert net.outputs == ["loss"]
    assert list(net.blobs) == ["data", "label", "conv", "ip", "loss"]
    assert list(net.params) == ["conv", "ip"]
    assert [b.shape for b in net.params["conv"]] == [(2, 3, 3, 3), (2,)]
    assert list(net._layer_names) == ["data", "conv", "ip", "loss"]
    assert net.top_names["data"] == ["data", "label"]
    assert net.bottom_names["loss"] == ["ip", "label"]
    assert list(net._top_ids(0)) == [0, 1]
    assert list(net._bottom_ids(3)) == [3, 1]
    assert [list(net._blob_names)[i] for i in net._inputs] == net.inputs
    assert [list(net._blob_names)[i] for i in net._outputs] == net.outputs
    assert len(net._blobs) == 5
    types = ["Input", "Convolution", "InnerProduct", "SoftmaxWithLoss"]
    assert [layer.type for layer in net.layers] == types
    assert net.layer_dict["conv"] is net.layers[1]
    assert len(net.layer_dict["conv"].blobs) == 2
    assert net.blob_loss_weights == OrderedDict(data=0, label=0, conv=0, ip=0, loss=1)
    assert net._blob_loss_weights == [0, 0, 0, 0, 1]


def test_layers_are_set_up_and_reshaped_again(deploy):
    deploy.blobs["data"].data[...] = np.arange(24).reshape(4, 6)
    expected = deploy.forward()["prob"].copy()  # with the ReLU fused into the kernel
    layer, top = deploy.layer_dict["ip"], caffe.Blob(CoreBlob(get_backend()))
    weights = [blob.data.copy() for blob in layer.blobs]
    layer.reshape([deploy.blobs["data"]], [top])
    assert top.shape == (4, 3)
    np.testing.assert_array_equal(deploy.forward()["prob"], expected)
    layer.setup([deploy.blobs["data"]], [deploy.blobs["ip"]])
    for blob, before in zip(layer.blobs, weights, strict=True):
        np.testing.assert_array_equal(blob.data, before)
    np.testing.assert_array_equal(deploy.forward()["prob"], expected)


def test_signatures():
    def names(function):
        return list(inspect.signature(function).parameters)

    assert names(caffe.Net) == ["network_file", "phase", "level", "stages", "weights"]
    assert names(caffe.Net.forward)[1:4] == ["blobs", "start", "end"]
    assert names(caffe.Net.backward)[1:4] == ["diffs", "start", "end"]
    assert names(caffe.Net.forward_all)[1] == "blobs"
    assert names(caffe.Net.forward_backward_all)[1:3] == ["blobs", "diffs"]


def test_blob_is_a_live_view(deploy):
    blob = deploy.blobs["data"]
    data = blob.data
    assert data.dtype == np.float32
    data[...] = 1
    deploy.params["ip"][0].data[...] = np.eye(3, 6)
    out = deploy.forward()["prob"]
    np.testing.assert_allclose(out, 1 / 3, rtol=1e-6)
    data[:, 0] = 100
    deploy.forward()
    np.testing.assert_allclose(out[:, 0], 1)  # the same view shows the values of the new pass
    with pytest.raises(AttributeError):
        blob.data = np.zeros(3)


def test_legacy_shape(net):
    blob = net.blobs["data"]
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (5, 3, 7, 9, 945)
    bias = net.params["conv"][1]
    assert (bias.num, bias.channels, bias.height, bias.width) == (2, 1, 1, 1)
    blob.reshape(1, 1, 1, 1, 1)
    with pytest.raises(RuntimeError, match=r'blob "data".*more than four axes.*Use shape'):
        _ = blob.num
    with pytest.raises(RuntimeError, match=r"cannot reshape to \(-1, 3\)"):
        blob.reshape(-1, 3)
    with pytest.raises(TypeError):
        blob.reshape(shape=(1, 2))
    for shape in ([1, 3, 7, 9], np.zeros((2, 3)).shape):
        with pytest.raises(
            TypeError, match=r'blob "data": reshape takes .* write reshape\(\*shape\)'
        ):
            blob.reshape(shape)


def test_blobs_are_reshaped_with_the_input(deploy):
    deploy.blobs["data"].reshape(2, 6)
    assert deploy.blobs["prob"].shape == (4, 3)
    assert deploy.forward()["prob"].shape == (2, 3)
    deploy.blobs["data"].reshape(9, 6)
    deploy.reshape()
    assert deploy.blobs["prob"].data.shape == (9, 3)


def test_forward_part_of_the_net(deploy):
    x = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    out = deploy.forward(data=x, blobs=["data", "ip"], end="ip")
    assert list(out) == ["ip", "data"]
    assert (out["ip"] < 0).any()
    out = deploy.forward(start="relu", end="relu")
    assert (out["ip"] >= 0).all()
    assert set(deploy.forward(start="prob")) == {"prob"}


def test_backward_part_of_the_net(deploy):
    x = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    deploy.forward(data=x)
    gradient = np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32)
    out = deploy.backward(prob=gradient, diffs=["prob"])
    assert set(out) == {"data", "prob"}
    assert out["data"].any()
    assert set(deploy.backward(end="prob")) == {"ip"}
    assert set(deploy.backward(start="ip", end="ip")) == {"data"}


@pytest.mark.parametrize(
    ("method", "argument", "message"),
    [
        ("forward", {"dta": (4, 6)}, "Input blob arguments do not match net inputs."),
        ("forward", {"data": (3, 6)}, "Input is not batch sized"),
        ("backward", {"ip": (4, 3)}, "Top diff arguments do not match net outputs."),
        ("backward", {"prob": (3, 3)}, "Diff is not batch sized"),
    ],
)
def test_errors_have_the_text_of_pycaffe(deploy, method, argument, message):
    arrays = {name: np.zeros(shape) for name, shape in argument.items()}
    with pytest.raises(RuntimeError) as error:
        getattr(deploy, method)(**arrays)
    assert str(error.value) == message
    assert error.value.__notes__


def test_unknown_names(deploy):
    with pytest.raises(ValueError, match=r'no layer "rlu" in net "deploy". Did you mean relu'):
        deploy.forward(start="rlu")
    with pytest.raises(KeyError, match='no blob "pro"'):
        deploy.forward(blobs=["pro"])


def test_missing_files(deploy_path, tmp_path):
    with pytest.raises(RuntimeError, match=r"(?m)^Could not open file .*nowhere.prototxt$"):
        caffe.Net(str(tmp_path / "nowhere.prototxt"), caffe.TEST)
    with pytest.raises(RuntimeError, match=r"(?m)^Could not open file .*nowhere.caffemodel$"):
        caffe.Net(deploy_path, caffe.TEST, weights=str(tmp_path / "nowhere.caffemodel"))
    with pytest.raises(RuntimeError, match=r'stages="x": .* list of names; write stages=\["x"\]'):
        caffe.Net(deploy_path, caffe.TEST, stages="x")
    with pytest.raises(RuntimeError, match=r"unknown phase 2; use caffe.TRAIN"):
        caffe.Net(deploy_path, 2)


def test_forward_all_pads_the_last_batch(deploy):
    x = np.random.default_rng(0).standard_normal((10, 6)).astype(np.float32)
    out = deploy.forward_all(data=x, blobs=["ip"])
    assert out["prob"].shape == (10, 3)
    assert out["ip"].shape == (10, 3)
    one = deploy.forward_all(data=x[7:8])
    np.testing.assert_allclose(one["prob"], out["prob"][7:8], rtol=1e-6)


def test_forward_backward_all(deploy):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 6)).astype(np.float32)
    gradient = rng.standard_normal((6, 3)).astype(np.float32)
    outputs, gradients = deploy.forward_backward_all(data=x, prob=gradient, diffs=["ip"])
    assert outputs["prob"].shape == (6, 3)
    assert set(gradients) == {"data", "ip"}
    assert gradients["data"].shape == (6, 6)
    deploy.forward(data=x[:4])
    np.testing.assert_allclose(deploy.backward(prob=gradient[:4])["data"], gradients["data"][:4])


def test_loss_of_a_part(net):
    loss = net._forward(0, 3)
    assert loss == pytest.approx(float(net.blobs["loss"].data))
    assert net._forward(0, 2) == 0


def test_parameter_gradients_accumulate_until_cleared(net):
    net.forward()
    net.backward()
    once = net.params["ip"][0].diff.copy()
    net.backward()
    np.testing.assert_allclose(net.params["ip"][0].diff, 2 * once, rtol=1e-5)
    net.clear_param_diffs()
    assert not net.params["ip"][0].diff.any()


def test_hooks(net):
    seen = []
    net.before_forward(lambda i: seen.append(("before", i)))
    net.after_forward(lambda i: seen.append(("after", i)))
    net.before_backward(lambda i: seen.append(("before", i)))
    net.after_backward(lambda i: seen.append(("after", i)))
    net.forward(start="conv", end="ip")
    assert seen == [("before", 1), ("after", 1), ("before", 2), ("after", 2)]
    seen.clear()
    net.backward(start="ip", end="conv")
    assert seen == [("before", 2), ("after", 2), ("before", 1), ("after", 1)]


@pytest.mark.parametrize("suffix", ["", ".h5"])
def test_save_and_load(net, net_path, tmp_path, suffix):
    path = str(tmp_path / f"net.caffemodel{suffix}")
    (net.save_hdf5 if suffix else net.save)(path)
    caffe.set_random_seed(9)
    other = caffe.Net(net_path, caffe.TRAIN)
    assert (other.params["ip"][0].data != net.params["ip"][0].data).any()
    (other.load_hdf5 if suffix else other.copy_from)(path)
    for name, blobs in net.params.items():
        for a, b in zip(blobs, other.params[name], strict=True):
            np.testing.assert_array_equal(a.data, b.data)
    third = caffe.Net(net_path, caffe.TEST, weights=path)
    np.testing.assert_array_equal(third.params["ip"][0].data, net.params["ip"][0].data)


def test_save_hdf5_ignores_the_file_name(net, tmp_path):
    net.save_hdf5(str(tmp_path / "weights"), write_diff=True)
    assert (tmp_path / "weights").read_bytes()[1:4] == b"HDF"


def test_legacy_constructor(net, net_path, tmp_path, caplog_minicaffe):
    path = str(tmp_path / "net.caffemodel")
    net.save(path)
    other = caffe.Net(net_path, path, caffe.TEST)
    np.testing.assert_array_equal(other.params["ip"][0].data, net.params["ip"][0].data)
    assert f"', caffe.TEST, weights='{path}')" in caplog_minicaffe.text
    assert "deprecated" in caplog_minicaffe.text


def test_share_with(net, net_path):
    other = caffe.Net(net_path, caffe.TEST)
    other.share_with(net)
    net.params["ip"][1].data[...] = 42
    assert (other.params["ip"][1].data == 42).all()


def test_level_and_stages(write):
    text = """
    layer { name: "a" type: "DummyData" top: "a" dummy_data_param { shape { dim: 2 } } }
    layer { name: "b" type: "ReLU" bottom: "a" top: "b" include { stage: "x" } }
    layer { name: "c" type: "ReLU" bottom: "a" top: "c" include { min_level: 3 } }
    """
    assert caffe.Net(write(text), caffe.TEST).outputs == ["a"]
    assert caffe.Net(write(text), caffe.TEST, stages=["x"]).outputs == ["b"]
    assert caffe.Net(write(text), caffe.TEST, level=3).outputs == ["c"]
    assert caffe.Net(write(text + 'state { stage: "x" }'), caffe.TEST).outputs == ["b"]


def test_set_input_arrays_needs_memory_data(net):
    with pytest.raises(RuntimeError, match=r"first layer is a MemoryData layer; here .data. "):
        net.set_input_arrays(np.zeros((5, 3, 7, 9), np.float32), np.zeros(5))


@pytest.mark.parametrize("shape", [(4,), (4, 1, 1, 1)])
def test_set_input_arrays(write, shape):
    text = """
    layer { name: "data" type: "MemoryData" top: "data" top: "label" memory_data_param {
      batch_size: 2 channels: 3 height: 1 width: 5 } }
    """
    net = caffe.Net(write(text), caffe.TEST)
    data = np.arange(60, dtype=np.float32).reshape(4, 3, 1, 5)
    net.set_input_arrays(data, np.arange(4, dtype=np.float32).reshape(shape))
    net.forward()
    net.forward()
    np.testing.assert_array_equal(net.blobs["data"].data, data[2:])
    np.testing.assert_array_equal(net.blobs["label"].data, np.reshape([2, 3], (2, 1, 1, 1)))
    net.set_input_arrays(data, np.array(7))
    net.forward()
    assert net.blobs["label"].data.shape == (2, 1, 1, 1)
    assert not net.blobs["label"].data.any()
    with pytest.raises(RuntimeError, match=r"the data are float64 .* C-contiguous float32"):
        net.set_input_arrays(data.astype(float), np.zeros(4))


def test_repr(net):
    assert repr(net).startswith("Net('small', TRAIN, 4 layers, 340 parameters, inputs: data 5 x 3")
    assert repr(net.blobs["conv"]) == "Blob('conv', shape=(5, 2, 5, 7))"
    assert repr(net.params["conv"]) == "BlobVec([(2, 3, 3, 3), (2,)])"
    assert "'conv', Convolution" in repr(net.layers[1])
    html = net._repr_html_()
    assert html.count("<tr>") == 5
    assert "2 x 3 x 3 x 3, 2" in html


def test_gpu_addresses_need_a_gpu(net):
    with pytest.raises(RuntimeError, match=r"is in main memory and has no GPU address"):
        _ = net.blobs["data"]._gpu_data_ptr


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_views_stay_live_through_passes(net_path, monkeypatch, backend):
    monkeypatch.setattr(session, "_session", session._Session())
    monkeypatch.setattr(session, "get_backend", lambda precision: get_backend(backend))
    net = caffe.Net(net_path, caffe.TRAIN)
    net.blobs["data"].data[...] = np.random.default_rng(0).standard_normal((5, 3, 7, 9))
    weights, bias = (blob.data for blob in net.params["conv"])
    conv = net.blobs["conv"].data
    net.forward()
    first = conv.copy()
    for factor in (2, 4):
        weights[...] *= 2
        bias[...] *= 2
        net.forward()
        np.testing.assert_allclose(conv, factor * first, rtol=1e-5)
    # What is written between the passes is what the later layers read.
    conv[...] = 0
    net.forward(start="ip")
    np.testing.assert_allclose(net.blobs["ip"].data, -3)
    gradient = net.params["conv"][0].diff
    net.backward()
    once = gradient.copy()
    net.backward()
    np.testing.assert_allclose(gradient, 2 * once, rtol=1e-5)


LARGE = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 8 dim: 16 dim: 96 dim: 96 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 32 kernel_size: 5 weight_filler { type: "xavier" } } }
"""


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_layers_release_the_gil(write, monkeypatch, backend):
    monkeypatch.setattr(session, "_session", session._Session())
    monkeypatch.setattr(session, "get_backend", lambda precision: get_backend(backend))
    net = caffe.Net(write(LARGE), caffe.TEST)
    net.forward()
    ticks, seen, done = [0], [], threading.Event()

    def tick():
        while not done.wait(1e-4):
            ticks[0] += 1

    net.before_forward(lambda _: seen.append(ticks[0]))
    net.after_forward(lambda _: seen.append(ticks[0]))
    other = threading.Thread(target=tick)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(
        600
    )  # no thread is forced to release the GIL, so that only voluntary releases are seen
    try:
        other.start()
        for _ in range(20):
            net.forward(start="conv")
    finally:
        sys.setswitchinterval(interval)
        done.set()
        other.join()
    assert any(after > before for before, after in zip(seen[::2], seen[1::2], strict=True))


def test_a_net_without_a_phase_is_an_error(net_path, tmp_path, net):
    weights = str(tmp_path / "w.caffemodel")
    net.save(weights)
    for arguments in ((net_path,), (net_path, weights)):
        with pytest.raises(TypeError, match="the phase is missing") as caught:
            caffe.Net(*arguments)
        written = ", ".join(map(repr, arguments))
        assert str(caught.value).endswith(f"Write caffe.Net({written}, caffe.TEST)")
    with pytest.raises(TypeError, match=r"level is .*, not a number\. Write weights="):
        caffe.Net(net_path, caffe.TEST, weights)


def test_gradients_that_no_layer_computes_are_named_once(net, caplog_minicaffe):
    net.forward()
    for _ in range(2):
        net.backward(diffs=["conv", "data", "loss"])
    warnings = [r.getMessage() for r in caplog_minicaffe.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert warnings[0].startswith('diffs: no layer computes the gradient of "data", because')
    assert "force_backward: true" in warnings[0]
