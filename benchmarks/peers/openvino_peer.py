"""OpenVINO peer of the benchmarks, for an environment without minicaffe.

It receives a net as an ONNX file, in the protocol of `peer_loop`.
"""

from __future__ import annotations

import numpy as np
import openvino
from openvino import properties
from peer_loop import one_by_one, serve


class Peer:
    """A compiled model and its input.

    The hint is that of the shortest time of one request, which uses all threads. The precision is
    float32, because OpenVINO otherwise computes in bfloat16 on a CPU that has it.
    """

    def __init__(self, message):
        settings = {
            properties.inference_num_threads: message["threads"],
            properties.hint.performance_mode: properties.hint.PerformanceMode.LATENCY,
            properties.hint.inference_precision: openvino.Type.f32,
        }
        compiled = openvino.Core().compile_model(message["onnx"], "CPU", settings)
        self.isa = "AVX-512" if _uses_avx512(compiled) else "AVX2"
        self.request = compiled.create_infer_request()
        self.data = np.load(message["input"])
        self.run = one_by_one(self.step)

    def step(self):
        """Run a forward pass on values in the memory of the caller."""
        self.request.infer([self.data], share_inputs=True, share_outputs=True)

    def output(self):
        """Return the values of a forward pass."""
        self.step()
        return self.request.get_output_tensor(0).data


def _uses_avx512(compiled):
    """Return whether a node of a compiled model runs AVX-512 code."""
    nodes = compiled.get_runtime_model().get_ops()
    kinds = [node.get_rt_info()["primitiveType"].astype(str) for node in nodes]
    return any("avx512" in kind for kind in kinds)


if __name__ == "__main__":
    serve(Peer, f"OpenVINO {openvino.__version__.split('-')[0]}")
