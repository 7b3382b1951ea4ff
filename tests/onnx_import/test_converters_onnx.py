"""Every converter: a small model gives the same values in minicaffe and in onnxruntime."""

import itertools

import numpy as np
import onnx
import pytest
from onnx import helper

from minicaffe.atomic_file import write_atomically
from minicaffe.errors import NetError
from minicaffe.onnx_import.check import compare_with_onnxruntime
from minicaffe.onnx_import.convert import import_onnx
from minicaffe.onnx_import.converters import CONVERTERS
from minicaffe.onnx_import.dialects import DIALECTS
from minicaffe.schema import format_prototxt
from minicaffe.weights.files import write_weights_file
from onnx_import.onnx_models import model

IMAGE = (2, 6, 9, 7)
RNG = np.random.default_rng(11)


def floats(*shape):
    return RNG.uniform(0.2, 1.2, shape).astype(np.float32)


def node(op, *inputs, output="y", **attributes):
    return helper.make_node(op, ["x", *inputs], [output], name=f"a_{op}", **attributes)


def one(op, constants=None, shape=IMAGE, opset=17, **attributes):
    """A model of one node, whose further inputs are constants."""
    return model([node(op, *(constants or {}), **attributes)], shape, constants, opset)


CASES = {
    "conv": one(
        "Conv", {"w": floats(4, 6, 3, 2), "b": floats(4)}, strides=[2, 1], pads=[1, 0, 1, 0]
    ),
    "conv without bias": one("Conv", {"w": floats(6, 1, 3, 3)}, group=6, dilations=[2, 2]),
    "conv unequal pads": one("Conv", {"w": floats(4, 6, 3, 3)}, pads=[0, 2, 1, 1], strides=[2, 2]),
    "conv same upper": one(
        "Conv", {"w": floats(4, 6, 3, 3)}, auto_pad="SAME_UPPER", strides=[2, 2]
    ),
    "conv same lower": one("Conv", {"w": floats(4, 6, 2, 2)}, auto_pad="SAME_LOWER"),
    "conv 1d": one("Conv", {"w": floats(4, 6, 3)}, shape=(2, 6, 9), pads=[1, 1]),
    "conv transpose": one(
        "ConvTranspose",
        {"w": floats(6, 4, 3, 3), "b": floats(4)},
        strides=[2, 2],
        pads=[1, 1, 1, 1],
    ),
    "conv transpose output_padding": one(
        "ConvTranspose",
        {"w": floats(6, 2, 3, 4)},
        group=2,
        strides=[2, 3],
        pads=[1, 1, 1, 1],
        output_padding=[1, 0],
    ),
    "gemm": one("Gemm", {"w": floats(5, 4), "b": floats(4)}, shape=(3, 5), alpha=2.0, beta=0.5),
    "gemm transB": one("Gemm", {"w": floats(4, 5)}, shape=(3, 5), transB=1),
    "matmul": one("MatMul", {"w": floats(7, 4)}),
    "matmul add": model(
        [node("MatMul", "w", output="m"), helper.make_node("Add", ["m", "b"], ["y"])],
        (3, 5),
        {"w": floats(5, 4), "b": floats(4)},
    ),
    "batch norm": one(
        "BatchNormalization",
        {"s": floats(6), "b": floats(6), "m": floats(6), "v": floats(6)},
        epsilon=1e-3,
    ),
    "lrn": one("LRN", size=3, alpha=0.2, beta=0.6, bias=1.5),
    **{
        op: one(op)
        for op in ("Relu", "Sigmoid", "Tanh", "Abs", "Exp", "Softplus", "Neg", "HardSwish")
    },
    **{
        op: model([node("Exp", output="e"), helper.make_node(op, ["e"], ["y"])], IMAGE)
        for op in ("Log", "Sqrt", "Reciprocal")
    },
    "pow": one("Pow", {"p": np.float32(2)}),
    "leaky relu": one("LeakyRelu", alpha=0.2),
    "elu": one("Elu", alpha=0.7),
    "prelu": one("PRelu", {"s": floats(6, 1, 1)}),
    "prelu shared": one("PRelu", {"s": floats(1)}),
    "relu6": one("Clip", {"a": np.float32(0), "b": np.float32(0.6)}),
    "clip": one("Clip", {"a": np.float32(-0.5), "b": np.float32(0.6)}),
    "clip low": one("Clip", {"a": np.float32(-0.5)}),
    "clip opset 6": one("Clip", opset=6, max=0.25),
    "clip nothing": one("Clip"),
    "hard sigmoid": one("HardSigmoid", alpha=0.3, beta=0.4),
    "softmax": one("Softmax", axis=1),
    "softmax last": one("Softmax"),
    "softmax opset 11": one("Softmax", opset=11),
    "log softmax": one("LogSoftmax", axis=1),
    "identity": one("Identity"),
    "dropout": model([node("Dropout", output="d"), helper.make_node("Relu", ["d"], ["y"])], IMAGE),
    "cast": one("Cast", to=1),
    "global average": one("GlobalAveragePool"),
    "global max": one("GlobalMaxPool"),
    "reduce mean": one("ReduceMean", axes=[2, 3], keepdims=0),
    "reduce mean opset 18": one("ReduceMean", {"axes": np.array([-1, -2])}, opset=18),
    "reduce max": one("ReduceMax", axes=[2, 3]),
    "max pool floor": one("MaxPool", shape=(2, 6, 8, 8), kernel_shape=[3, 3], strides=[2, 2]),
    "max pool resnet": one(
        "MaxPool", shape=(2, 6, 8, 8), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
    ),
    "max pool ceil": one("MaxPool", kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1),
    "max pool end pads": one(
        "MaxPool", shape=(2, 6, 8, 8), kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]
    ),
    "average pool": one("AveragePool", kernel_shape=[3, 2], strides=[2, 1]),
    "average pool pads": one("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "average pool counted": one(
        "AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1
    ),
    "average pool end pads": one(
        "AveragePool", shape=(2, 6, 8, 8), kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]
    ),
    "average pool larger": one("AveragePool", kernel_shape=[10, 3], pads=[0, 0, 1, 0]),
    "average pool larger counted": one(
        "AveragePool", kernel_shape=[11, 9], pads=[1, 1, 1, 1], count_include_pad=1
    ),
    **{f"{op} number": one(op, {"c": np.float32(0.3)}) for op in ("Add", "Sub", "Mul", "Div")},
    **{f"{op} channels": one(op, {"c": floats(6, 1, 1)}) for op in ("Add", "Sub", "Mul", "Div")},
    **{
        f"number {op}": model(
            [node("Exp", output="e"), helper.make_node(op, ["c", "e"], ["y"])],
            IMAGE,
            {"c": floats(1, 6, 1, 7)},
        )
        for op in ("Sub", "Div")
    },
    **{
        f"{op} tensors": model(
            [node("Exp", output="e"), helper.make_node(op, ["x", "e"], ["y"])], IMAGE
        )
        for op in ("Add", "Sub", "Mul", "Div", "Sum", "Max")
    },
    **{
        f"{op} gate": model(
            [node("GlobalAveragePool", output="g"), helper.make_node(op, ["g", "x"], ["y"])], IMAGE
        )
        for op in ("Mul", "Add")
    },
    "sum of one": one("Sum"),
    "max number": one("Max", {"c": np.float32(0.1)}),
    "min number": one("Min", {"c": np.float32(0.1)}),
    "concat": model(
        [node("Exp", output="e"), helper.make_node("Concat", ["x", "e"], ["y"], axis=-1)], IMAGE
    ),
    "split": model(
        [
            helper.make_node("Split", ["x", "sizes"], ["a", "b", "c"], axis=1),
            helper.make_node("Concat", ["c", "a", "b"], ["y"], axis=1),
        ],
        IMAGE,
        {"sizes": np.array([1, 2, 3])},
    ),
    "slice": one(
        "Slice",
        {"s": np.array([1, -5]), "e": np.array([4, 2**31]), "a": np.array([1, 2])},
    ),
    "slice nothing off": one("Slice", {"s": np.array([0]), "e": np.array([9]), "a": np.array([2])}),
    "flatten": one("Flatten"),
    "reshape": one("Reshape", {"shape": np.array([0, 3, 2, -1])}),
    "reshape same": one("Reshape", {"shape": np.array(IMAGE)}),
    "squeeze": one("Squeeze", {"axes": np.array([2])}, shape=(2, 3, 1, 4)),
    "unsqueeze": one("Unsqueeze", {"axes": np.array([2])}, shape=(2, 3, 4)),
    "transpose": one("Transpose", perm=[0, 3, 1, 2], shape=(2, 5, 4, 3)),
    "transpose ones": one("Transpose", perm=[0, 2, 3, 1], shape=(2, 6, 1, 1)),
    "shuffle": model(
        [
            node("Reshape", "five", output="r"),
            helper.make_node("Transpose", ["r"], ["t"], perm=[0, 2, 1, 3, 4]),
            helper.make_node("Reshape", ["t", "four"], ["y"]),
        ],
        IMAGE,
        {"five": np.array([0, 2, 3, 9, 7]), "four": np.array(IMAGE)},
    ),
    "pad conv": model(
        [
            node("Pad", "p", output="padded"),
            helper.make_node("Conv", ["padded", "w"], ["y"], pads=[1, 0, 0, 0]),
        ],
        IMAGE,
        {"p": np.array([0, 0, 1, 0, 0, 0, 1, 2]), "w": floats(4, 6, 3, 3)},
    ),
    "pad average": model(
        [
            node("Pad", "p", output="padded"),
            helper.make_node("AveragePool", ["padded"], ["y"], kernel_shape=[3, 3]),
        ],
        IMAGE,
        {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
    ),
    "pad nothing": one("Pad", {"p": np.zeros(8, np.int64)}),
    "resize nearest": one(
        "Resize",
        {"roi": np.zeros(0, np.float32), "scales": np.array([1, 1, 2, 3], np.float32)},
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    ),
    **{
        f"resize linear {factor}": one(
            "Resize",
            {"roi": np.zeros(0, np.float32), "scales": np.array([1, 1, *factor], np.float32)},
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )
        for factor in ((2, 2), (3, 4))
    },
    "upsample": one("Upsample", {"scales": np.array([1, 1, 2, 2], np.float32)}, opset=9),
    "shape arithmetic": model(
        [
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Gather", ["shape", "zero"], ["n"]),
            helper.make_node("Unsqueeze", ["n", "zeros"], ["n1"]),
            helper.make_node("Constant", [], ["rest"], value_ints=[-1]),
            helper.make_node("Concat", ["n1", "rest"], ["target"], axis=0),
            helper.make_node("Reshape", ["x", "target"], ["y"]),
        ],
        IMAGE,
        {"zero": np.array(0), "zeros": np.array([0])},
    ),
}


def compare(made, dialect, folder):
    onnx.save(made, folder / "m.onnx")
    imported = import_onnx(folder / "m.onnx", dialect)
    with write_atomically(folder / "n.prototxt") as file:
        file.write(format_prototxt(imported.param).encode())
    write_weights_file(folder / "n.caffemodel", imported.layers)
    files = folder / "m.onnx", imported.graph, folder / "n.prototxt", folder / "n.caffemodel"
    return imported, compare_with_onnxruntime(*files)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_onnxruntime(tmp_path, name, dialect):
    _, (difference,) = compare(CASES[name], dialect, tmp_path)
    assert difference.name == "y"
    assert difference.relative < 1e-5


def test_every_converter_is_tested():
    tested = {x.op_type for made in CASES.values() for x in made.graph.node}
    assert set(CONVERTERS) - tested == set()


def types(imported):
    return [layer.type for layer in imported.param.layer[1:]]


@pytest.mark.parametrize(
    ("name", "dialect", "expected"),
    [
        ("matmul add", "bvlc", ["InnerProduct"]),
        ("batch norm", "bvlc", ["BatchNorm", "Scale"]),
        ("clip", "bvlc", ["Clip"]),
        ("transpose", "ssd", ["Permute"]),
        ("dropout", "bvlc", ["ReLU"]),
        ("max pool ceil", "nnie", ["Pooling"]),
        ("max pool floor", "bvlc", ["Pooling"]),
        ("max pool floor", "nnie", ["Pooling", "Slice", "Silence", "Slice", "Silence"]),
        ("average pool pads", "bvlc", ["Pooling", "Scale"]),
        ("shape arithmetic", "bvlc", ["Flatten"]),
        ("resize nearest", "bvlc", ["Deconvolution"]),
    ],
)
def test_layers(tmp_path, name, dialect, expected):
    assert types(compare(CASES[name], dialect, tmp_path)[0]) == expected


@pytest.mark.parametrize(
    ("dialect", "setting"), [("bvlc", "round_mode: FLOOR"), ("ssd", "ceil_mode: false")]
)
def test_rounding_down(tmp_path, dialect, setting):
    imported, _ = compare(CASES["max pool floor"], dialect, tmp_path)
    assert setting in str(imported.param)


def test_names_are_kept(tmp_path):
    nodes = [
        helper.make_node("Relu", ["x"], ["features/relu"], name="/features/Relu"),
        helper.make_node("Tanh", ["features/relu"], ["y"]),
    ]
    imported, _ = compare(model(nodes, IMAGE), "bvlc", tmp_path)
    assert [layer.name for layer in imported.param.layer] == ["x", "/features/Relu", "y"]
    assert [layer.top[0] for layer in imported.param.layer] == ["x", "features/relu", "y"]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (one("Erf"), r'm.onnx: no layer of Caffe computes Erf \(node "a_Erf"\)'),
        (one("Conv", shape=("n", 6, "h", 7), constants={"w": floats(1, 6, 1, 1)}), "fixed sizes"),
        (one("Transpose", shape=(2, 17, 18, 19)), "needs the layer Permute, which --dialect bvlc"),
        (one("Pad", {"p": np.ones(8, np.int64)}, mode="reflect"), "mode: reflect has no layer"),
        (
            model(
                [node("Pad", "p", output="e"), helper.make_node("Relu", ["e"], ["y"])],
                IMAGE,
                {"p": np.ones(8, np.int64)},
            ),
            r'"y" \(Relu\): its input "e" is padded; only convolutions and pooling have pads',
        ),
        (one("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]), "pooling has no dilations"),
        (
            one("MaxPool", kernel_shape=[9, 3], pads=[0, 0, 4, 0]),
            "no window of Caffe gives the size",
        ),
        (
            one("MaxPool", shape=(2, 6, 9, 7, 5), kernel_shape=[3, 3, 2]),
            r"kernel \[3, 3, 2\]: only images may have unequal sizes",
        ),
        (one("LRN", size=2), "an even size"),
        (one("ReduceMean", axes=[1]), "not all spatial axes"),
        (
            one("Resize", {"r": floats(0), "s": np.array([1, 1, 1.5, 2], np.float32)}),
            "by whole factors",
        ),
        (one("Conv", {"w": floats(4, 6, 2, 2)}, pads=[1, 0, 0, 0], dilations=[2, 2]), "dilation 2"),
        (
            model([node("Exp", output="e"), helper.make_node("Gemm", ["x", "e"], ["y"])], (3, 3)),
            r'input 1 \("e"\) is computed; a layer of Caffe needs a constant there',
        ),
    ],
)
def test_refusals_name_the_node(tmp_path, made, message):
    onnx.save(made, tmp_path / "m.onnx")
    with pytest.raises(NetError, match=message):
        import_onnx(tmp_path / "m.onnx")


def test_all_refusals_are_listed(tmp_path):
    nodes = [node("Erf", output="e"), helper.make_node("Det", ["e"], ["y"])]
    onnx.save(model(nodes, IMAGE), tmp_path / "m.onnx")
    with pytest.raises(NetError, match=r'computes Erf \(node "a_Erf"\), Det \(node "y"\)\. '):
        import_onnx(tmp_path / "m.onnx")


def test_many_refused_nodes_are_counted(tmp_path):
    names = ["x", *(f"t{k}" for k in range(12)), "y"]
    pairs = itertools.pairwise(names)
    nodes = [helper.make_node("Transpose", [a], [b], perm=[0, 3, 2, 1]) for a, b in pairs]
    nodes += [helper.make_node("Erf", ["x"], [f"e{k}"]) for k in range(3)]
    onnx.save(model(nodes, ("n", 17, 18, 19)), tmp_path / "m.onnx")
    with pytest.raises(NetError) as error:
        import_onnx(tmp_path / "m.onnx")
    first, *others, last = str(error.value).splitlines()
    assert 'no layer of Caffe computes Erf (node "e0" and 2 more)' in first
    assert len(others) == 10
    assert "(Transpose)" in others[0]
    assert last.endswith("3 more nodes are refused")
