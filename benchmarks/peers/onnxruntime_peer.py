"""onnxruntime peer of the benchmarks, for an environment without minicaffe.

It receives a net as an ONNX file, in the protocol of `peer_loop`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from peer_loop import one_by_one, serve


class Peer:
    """A session and its input: all optimisations, one operator after the other."""

    def __init__(self, message):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = message["threads"]
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3  # errors
        self.session = onnxruntime.InferenceSession(
            message["onnx"], options, providers=["CPUExecutionProvider"]
        )
        self.feeds = {self.session.get_inputs()[0].name: np.load(message["input"])}
        # It has no setting for this: its kernels are chosen by what the CPU has.
        has_avx512 = "avx512f" in Path("/proc/cpuinfo").read_text().split()
        self.isa = "AVX-512" if has_avx512 else "AVX2"
        self.run = one_by_one(self.output)

    def output(self):
        """Return the values of a forward pass."""
        return self.session.run(None, self.feeds)[0]


if __name__ == "__main__":
    serve(Peer, f"onnxruntime {onnxruntime.__version__}")
