"""Impossible sizes and nets larger than the memory are refused before anything is filled."""

from __future__ import annotations

import time

import pytest

from minicaffe import host_memory
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.errors import NetError, OutOfMemory, SizeError
from probe import net_from_text

MIB = 1 << 20
INPUT = 'input: "x" input_shape { dim: 2 dim: 3 dim: 8 dim: 8 }\n'
DUMMY = (
    'layer { name: "d" type: "DummyData" top: "x" top: "t" dummy_data_param {\n'
    " shape { dim: 40 dim: 3 dim: 99 dim: 99 } shape { dim: 40 }\n"
    ' data_filler { type: "constant" value: 1 } } }\n'
)
CHAIN = "".join(
    f'layer {{ name: "r{i}" type: "Sigmoid" bottom: "{f"y{i - 1}" if i else "x"}" top: "y{i}" }}\n'
    for i in range(20)
)
PRODUCT = (
    'layer { name: "i" type: "InnerProduct" bottom: "y19" top: "z"\n'
    ' inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }\n'
    'layer { name: "l" type: "SoftmaxWithLoss" bottom: "z" bottom: "t" top: "l" }\n'
)


def layer(layer_type, settings):
    return f'layer {{ name: "a" type: "{layer_type}" bottom: "x" top: "y" {settings} }}'


@pytest.fixture(params=["onednn", "reference"])
def backend(request):
    from minicaffe.backends import get_backend

    return get_backend(request.param)


@pytest.fixture
def most(monkeypatch):
    """Set how many MiB this process can have."""

    def set_most(mib: int) -> None:
        monkeypatch.setattr(host_memory, "most_bytes", lambda: mib * MIB)

    return set_most


@pytest.mark.parametrize(
    ("layer_type", "settings", "message"),
    [
        ("InnerProduct", "inner_product_param { num_output: 2147483647 }", "parameter 0 has shape"),
        (
            "Convolution",
            "convolution_param { num_output: 4 kernel_size: 3 pad: 2147483647 }",
            r'blob "y" has shape \(2, 4, 4294967300, 4294967300\), which is 14757395',
        ),
        (
            "Convolution",
            "convolution_param { num_output: 4 kernel_size: 4294967295 }",
            r"at most 2147483647 \(2\^31 - 1\) are possible\. Make the sizes",
        ),
        ("Tile", "tile_param { tiles: 2147483647 }", 'blob "y" has shape'),
        (
            "SPP",
            "spp_param { pyramid_height: 2147483647 }",
            "too small for pyramid_height: 2147483647; lower it to 4 or less",
        ),
        (
            "Embed",
            "embed_param { num_output: 4294967295 input_dim: 4294967295 }",
            "parameter 0 has shape",
        ),
    ],
)
def test_sizes_that_no_blob_has(layer_type, settings, message, backend):
    where = rf'net.prototxt:2, layer "a" \({layer_type}\): .*'
    with pytest.raises(NetError, match=where + message):
        net_from_text(INPUT + layer(layer_type, settings), backend=backend)


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        ("2 -1 3", r"shape \(2, -1, 3\); the sizes must not be negative"),
        ("2147483647 2147483647", "which is 4611686014132420609 values"),
        ("9223372036854775807 2", "at most 2147483647"),
        ("1 " * 33, "has 33 axes; at most 32"),
    ],
)
def test_shapes_of_inputs(dims, message, backend):
    text = f'input: "x" input_shape {{ {" ".join(f"dim: {d}" for d in dims.split())} }}'
    with pytest.raises(NetError, match=rf'net.prototxt:1, layer "input" .*{message}'):
        net_from_text(text, backend=backend)


def test_shape_that_a_program_sets(backend):
    net = net_from_text(INPUT + layer("ReLU", ""), backend=backend)
    with pytest.raises(SizeError, match='blob "x" has shape'):
        net.blobs["x"].reshape((1 << 20, 1 << 20))


def test_memory_error_of_a_layer_names_it(monkeypatch):
    net = net_from_text(INPUT + layer("ReLU", ""), backend=ReferenceBackend())

    def fail(bottom, top):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr(net.steps[1].layer, "forward", fail)
    with pytest.raises(OutOfMemory, match=r'layer "a" \(ReLU\): out of memory: Unable to'):
        net.forward()


def test_parameters_that_do_not_fit_together(most, backend):
    most(100)
    text = INPUT + "".join(
        f'layer {{ name: "i{k}" type: "InnerProduct" bottom: "x" top: "y{k}" '
        'inner_product_param { num_output: 100000 weight_filler { type: "xavier" } } }\n'
        for k in range(2)
    )
    with pytest.raises(OutOfMemory) as caught:
        net_from_text(text, backend=backend)
    assert str(caught.value) == (
        'net.prototxt: net "" needs at least 146 MiB of memory, and no more than 100 MiB can be '
        'had. 73 MiB are for net.prototxt:2, layer "i0" (InnerProduct). Make the layers smaller, '
        "or use a machine with more memory."
    )
    most(150)
    net_from_text(text, backend=backend)


def test_zero_parameters_take_no_memory_before_they_are_used(most, backend):
    most(1)
    settings = "inner_product_param { num_output: 100000 }"
    net = net_from_text(INPUT + layer("InnerProduct", settings), backend=backend)
    with pytest.raises(OutOfMemory, match=r"at least 7[45] MiB"):
        net.forward()


def test_activations_are_compared_with_the_memory_at_the_first_pass(most, backend):
    most(40)
    net = net_from_text(DUMMY + CHAIN + PRODUCT, backend=backend)
    with pytest.raises(OutOfMemory, match=r"The largest batch_size that fits is about \d+, inst"):
        net.forward()
    # 21 blobs of 4.5 MiB; gradients of 20 more for the backward pass of the layers that need one.
    most(100)
    net.forward()
    net.backward()


def test_advised_batch_fits(most):
    most(60)
    text = DUMMY + CHAIN + PRODUCT
    net = net_from_text(text, backend=ReferenceBackend())
    with pytest.raises(OutOfMemory) as caught:
        net.forward()
    advised = int(str(caught.value).split("about ")[1].split(",")[0])
    assert 20 <= advised < 40
    net_from_text(text.replace("dim: 40", f"dim: {advised}"), backend=ReferenceBackend()).forward()


def test_shared_memory_is_not_counted(most, backend):
    most(40)
    text = DUMMY + CHAIN + PRODUCT
    net = net_from_text(text, "TEST", backend=backend)
    net.optimize_memory()
    net.forward()


def test_gradients_count_in_a_backward_pass(most, backend):
    text = f"force_backward: true\n{INPUT.replace('dim: 2', 'dim: 9000')}" + CHAIN
    most(150)  # 20 blobs of 6.6 MiB
    net = net_from_text(text, backend=backend)
    net.forward()
    with pytest.raises(OutOfMemory):
        net.backward()
    most(300)
    net.backward()


def test_reshaped_net_is_compared_again(most, backend):
    most(150)
    net = net_from_text(INPUT + CHAIN, backend=backend)
    net.forward()
    net.blobs["x"].reshape((20000, 3, 8, 8))
    net.reshape()
    with pytest.raises(OutOfMemory, match="instead of 20000"):
        net.forward()


@pytest.mark.parametrize(
    "line",
    [
        'layer { name: "r" type: "ReLU" bottom: "z%d" top: "y%d" }\n',
        'layer { name: "r" type: "RelU%d" bottom: "x" top: "y%d" }\n',
        'layer { name: "c" type: "Convolution" bottom: "x" top: "y%d" }  # %d\n',
    ],
)
def test_time_of_refusing_many_layers(line):
    """Thousands of problems take seconds; in quadratic time they would take minutes."""
    n = 3000
    began = time.process_time()
    with pytest.raises(NetError) as caught:
        net_from_text(INPUT + "".join(line.replace("%d", str(i)) for i in range(n)))
    assert str(caught.value).count("\n") == n - 1
    assert time.process_time() - began < 20
