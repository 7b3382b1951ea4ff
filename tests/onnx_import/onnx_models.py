"""Small ONNX models for tests, and the topologies of the package onnx with random weights."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def model(nodes, shape, constants=None, opset=17, outputs=("y",)):
    """A model with one input x; constants become initializers."""
    initializers = [
        numpy_helper.from_array(np.asarray(values), name)
        for name, values in (constants or {}).items()
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        initializers,
    )
    for output in graph.output:
        output.type.tensor_type.elem_type = TensorProto.FLOAT
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = 8
    return made


def light_model(name):
    """One of the topologies that the package onnx contains, with random weights.

    Without a last Softmax: with random weights one class has all, whatever the values before it.
    """
    loaded = onnx.load(LIGHT / f"light_{name}.onnx")
    graph, rng = loaded.graph, np.random.default_rng(0)
    shapes = {x.name: tuple(numpy_helper.to_array(x)) for x in graph.initializer}
    readers = {name: (x.op_type, k) for x in graph.node for k, name in enumerate(x.input)}
    for node in [x for x in graph.node if x.op_type == "ConstantOfShape"]:
        shape, output = shapes[node.input[0]], node.output[0]
        if len(shape) > 1:
            values = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif readers[output] in (("BatchNormalization", 1), ("BatchNormalization", 4)):
            values = rng.uniform(0.5, 1.5, shape)
        else:
            values = rng.standard_normal(shape) * 0.1
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), output))
        graph.node.remove(node)
    if graph.node[-1].op_type == "Softmax":
        graph.output[0].name = graph.node.pop().input[0]
    return loaded
