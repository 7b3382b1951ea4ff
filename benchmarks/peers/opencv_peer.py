"""OpenCV peer of the benchmarks, for an environment without minicaffe.

It receives a net as a prototxt and a caffemodel, in the protocol of `peer_loop`.
"""

from __future__ import annotations

import cv2
import numpy as np
from peer_loop import one_by_one, serve


class Peer:
    """A net and its input."""

    def __init__(self, message):
        cv2.setNumThreads(message["threads"])
        self.net = cv2.dnn.readNetFromCaffe(message["prototxt"], message["caffemodel"])
        self.data = np.load(message["input"])
        # OpenCV marks what it uses with "*", and what OPENCV_CPU_DISABLE forbids with "?".
        uses_avx512 = "*AVX512-SKX" in cv2.getCPUFeaturesLine().split()
        self.isa = "AVX-512" if uses_avx512 else "AVX2"
        self.run = one_by_one(self.output)

    def output(self):
        """Return the values of a forward pass."""
        self.net.setInput(self.data)
        return self.net.forward()


if __name__ == "__main__":
    serve(Peer, f"OpenCV {cv2.__version__}")
