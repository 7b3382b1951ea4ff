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
        self.net = cv2.dnn.readNetFromCaffe(message["prototxt"], message["weights"])
        rng = np.random.default_rng(0)
        self.data = rng.standard_normal(message["shape"]).astype(np.float32)

    def step(self):
        """Run one forward pass."""
        self.net.setInput(self.data)
        self.net.forward()


if __name__ == "__main__":
    serve(lambda message: one_by_one(Peer(message).step), f"OpenCV {cv2.__version__}")
