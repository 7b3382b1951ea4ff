import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

import caffe
from caffe import layers as L
from caffe import params as P
from minicaffe.net.spec import assign_proto, param_name_dict

LENET = """
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 7 dim: 1 dim: 28 dim: 28 } shape { dim: 7 dim: 1 dim: 1 dim: 1 }
    data_filler { type: "gaussian" std: 2 } data_filler { type: "constant" } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 20 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool1" top: "ip1"
  param { lr_mult: 1 } param { lr_mult: 2 }
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "loss"
  loss_weight: 2 }
"""


def lenet():
    n = caffe.NetSpec()
    n.data, n.label = L.DummyData(
        shape=[dict(dim=[7, 1, 28, 28]), dict(dim=[7, 1, 1, 1])],
        data_filler=[dict(type="gaussian", std=2), dict(type="constant")],
        ntop=2,
    )
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=dict(type="xavier"))
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.ip1 = L.InnerProduct(
        n.pool1,
        param=[dict(lr_mult=1), dict(lr_mult=2)],
        num_output=10,
        weight_filler=dict(type="xavier"),
    )
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n.loss = L.SoftmaxWithLoss(n.ip1, n.label, loss_weight=2)
    return n.to_proto()


def test_a_spec_equals_the_prototxt():
    assert lenet() == text_format.Parse(LENET, caffe_pb2.NetParameter())


def test_a_spec_runs(write):
    net = caffe.Net(write(str(lenet())), caffe.TRAIN)
    assert net.outputs == ["loss"]
    assert net.forward()["loss"] > 0


def names(proto):
    return [(layer.name, list(layer.bottom), list(layer.top)) for layer in proto.layer]


def test_automatic_names():
    data = L.Input(shape=dict(dim=[1, 2]))
    a = L.InnerProduct(data, num_output=2)
    b = L.InnerProduct(a, num_output=2)
    both = L.Eltwise(a, b)
    assert names(caffe.to_proto(both)) == [
        ("Input1", [], ["Input1"]),
        ("InnerProduct1", ["Input1"], ["InnerProduct1"]),
        ("InnerProduct2", ["InnerProduct1"], ["InnerProduct2"]),
        ("Eltwise1", ["InnerProduct1", "InnerProduct2"], ["Eltwise1"]),
    ]
    assert both.to_proto() == caffe.to_proto(both)


def test_names_of_tops_that_are_not_assigned():
    n = caffe.NetSpec()
    first, n.second = L.Slice(L.Input(shape=dict(dim=[2, 2])), ntop=2)
    n.sum = L.Eltwise(first, n.second)
    # The layer has the name of its first top; without one, that is its type and a number.
    assert names(n.to_proto()) == [
        ("Input1", [], ["Input1"]),
        ("Slice1", ["Input1"], ["Slice1", "second"]),
        ("sum", ["Slice1", "second"], ["sum"]),
    ]


def test_layers_without_tops():
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1]))
    n.quiet = L.Silence(n.data, ntop=0)
    loud = L.Silence(n.data, ntop=0)
    assert names(n.to_proto())[-1] == ("quiet", ["data"], [])
    assert names(caffe.to_proto(loud))[-1] == ("Silence1", ["Input1"], [])


def test_a_name_setting_overrides_the_name_of_the_top():
    n = caffe.NetSpec()
    n.top = L.ReLU(L.Input(shape=dict(dim=[1])), name="other")
    assert names(n.to_proto())[-1] == ("other", ["Input1"], ["top"])


def test_items_and_deletion():
    n = caffe.NetSpec()
    n["a/b"] = L.Input(shape=dict(dim=[1]))
    n.c = L.ReLU(n["a/b"])
    n.d = L.ReLU(n.c)
    del n.d
    n.e = n.c
    del n["e"]
    assert [name for name, *_ in names(n.to_proto())] == ["a/b", "c"]
    assert repr(n) == "NetSpec(a/b, c)"
    with pytest.raises(AttributeError, match=r'no top "d" in this NetSpec; it has a/b, c'):
        _ = n.d


def test_settings_in_their_own_block_and_rules():
    n = caffe.NetSpec()
    n.data = L.Data(
        data_param=dict(source="db", backend=P.Data.LMDB, batch_size=64),
        transform_param=dict(scale=0.5, mean_value=[1, 2]),
        include=dict(phase=caffe.TRAIN),
    )
    (layer,) = n.to_proto().layer
    assert (layer.data_param.source, layer.data_param.backend) == ("db", P.Data.LMDB)
    assert list(layer.transform_param.mean_value) == [1, 2]
    assert layer.include[0].phase == caffe.TRAIN


def test_invalid_settings_are_refused():
    with pytest.raises(TypeError, match=r"ReLU input 0 is not a Top \(type is <class 'str'>\)$"):
        L.ReLU("data")
    data = L.DummyData(ntop=2)
    with pytest.raises(TypeError, match=r"^Silence input 0 .* \(type is <class 'tuple'>\)$"):
        L.Silence(data, ntop=0)
    wrong = L.Convolution(L.Input(), num_outputs=3)
    message = (
        r'"Convolution1" \(Convolution\) has no setting "num_outputs". Did you mean num_output'
    )
    with pytest.raises(AttributeError, match=message):
        caffe.to_proto(wrong)
    message = (
        r'"Convolutoin1": unknown layer type "Convolutoin", so that "kernel_size" is no setting of '
        r"it. Did you mean Convolution or Deconvolution"
    )
    with pytest.raises(AttributeError, match=message):
        caffe.to_proto(L.Convolutoin(L.Input(), kernel_size=3))
    with pytest.raises(RuntimeError, match=r'FillerParameter has no field "typ". Did you mean typ'):
        caffe.to_proto(L.Convolution(L.Input(), weight_filler=dict(typ="xavier")))
    text = r"^layer \"Convolution1\" \(Convolution\): num_output='8': "
    with pytest.raises(TypeError, match=text):
        caffe.to_proto(L.Convolution(L.Input(), num_output="8"))
    with pytest.raises(
        ValueError, match=r'^layer "Pooling1" \(Pooling\): pool=\'MIN\': unknown enum'
    ):
        caffe.to_proto(L.Pooling(L.Input(), pool="MIN"))
    with pytest.raises(AttributeError, match="NoSuchParameter"):
        _ = P.NoSuch
    with pytest.raises(AttributeError):
        _ = P.Pooling.MIN


def test_assign_proto():
    layer = caffe_pb2.LayerParameter()
    assign_proto(layer, "bottom", "x")
    assign_proto(layer, "bottom", ("y", "z"))
    assign_proto(layer, "param", dict(lr_mult=3))
    assign_proto(layer, "input_param", {})
    assign_proto(layer, "relu_param", caffe_pb2.ReLUParameter(negative_slope=0.5))
    assert list(layer.bottom) == ["x", "y", "z"]
    assert layer.param[0].lr_mult == 3
    assert layer.HasField("input_param")
    assert layer.relu_param.negative_slope == 0.5


def test_param_name_dict():
    table = param_name_dict()
    assert table["Convolution"] == "convolution"
    assert table["InnerProduct"] == "inner_product"
    assert table["HDF5Data"] == "hdf5_data"
    assert caffe.net_spec.param_name_dict is param_name_dict


def test_layers_of_forks():
    net = caffe.NetSpec()
    net.x = L.Input(input_param={"shape": {"dim": [1, 3, 8, 8]}})
    net.priors = L.PriorBox(net.x, net.x, min_size=[3.0])
    net.found = L.DetectionOutput(
        *(net.x, net.x, net.priors),
        num_classes=2,
        code_type=P.PriorBox.CENTER_SIZE,
        nms_param={"nms_threshold": 0.5},
        save_output_param={"output_format": "VOC"},
    )
    net.y = L.Permute(net.x, order=[0, 2, 3, 1], transform_param={"scale": 2})
    param = net.to_proto().layer
    found = param[2].detection_output_param
    assert (found.num_classes, found.nms_param.nms_threshold) == (2, 0.5)
    assert found.code_type == P.PriorBox.CENTER_SIZE
    assert found.save_output_param.output_format == "VOC"
    assert list(param[3].permute_param.order) == [0, 2, 3, 1]
    assert param[3].transform_param.scale == 2
