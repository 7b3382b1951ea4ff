"""Every case of every layer type: onnxruntime agrees with the reference."""

from functools import partial

import numpy as np
import pytest

from cases import CASES
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.errors import NetError
from minicaffe.net import Net
from minicaffe.net.deployment.inference_net import inference_net
from minicaffe.schema import TEST, NetState, parse_net
from onnx_export.exporting import drawn, export_text, fill_case, net_of, run

EVERY = [(kind, case) for kind, cases in sorted(CASES.items()) for case in cases]
# Types of which some cases round bottoms and tops to minifloats, which no operator does.
REFUSED = {"ConvolutionRistretto", "FcRistretto", "LRNRistretto"}


@pytest.mark.parametrize("opset", [13, 11, 22])
@pytest.mark.parametrize(("kind", "case"), EVERY, ids=[f"{k}-{c.name}" for k, c in EVERY])
def test_case(kind, case, opset, tmp_path):
    text, path = net_of(kind, case), tmp_path / "net.onnx"
    fill = partial(fill_case, kind, case)
    state = NetState(phase=TEST)
    source = parse_net(text, "net.prototxt")
    try:
        deployed = inference_net(source, NetState(phase=TEST))
        net = Net(deployed, state, backend=ReferenceBackend(), seed=1)
    except NetError as error:
        pytest.skip(f"not for inference: {error}")
    fill(net)
    inputs = {name: drawn(kind, case, name, values) for name, values in case.bottoms.items()}
    for name, values in inputs.items():
        if name in net.blobs:
            net.blobs[name].data.set(values)
    net.forward()
    try:
        _, graph = export_text(text, path, fill, opset=opset)
    except NetError as error:
        if "nothing is left" not in str(error) and kind not in REFUSED:
            raise
        pytest.skip(str(error))
    found = run(path, inputs)
    for name in graph.outputs:
        expected = net.blobs[name].data.get()
        assert found[name].shape == expected.shape
        np.testing.assert_allclose(
            found[name], expected, atol=2e-5 * max(1, np.abs(expected).max(initial=0)), rtol=1e-4
        )
