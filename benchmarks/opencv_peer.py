"""OpenCV's side of `benchmarks`: runs in an environment of its own, without minicaffe.

The protocol is that of torch_peer.py; the net comes as a prototxt and a caffemodel.
"""

from __future__ import annotations

import json
import sys
import time

import cv2
import numpy as np


class Peer:
    """A net and its input."""

    def __init__(self, message):
        cv2.setNumThreads(message["threads"])
        self.net = cv2.dnn.readNetFromCaffe(message["prototxt"], message["weights"])
        rng = np.random.default_rng(0)
        self.data = rng.standard_normal(message["shape"]).astype(np.float32)

    def run(self, n):
        """Return the seconds that each of n forward passes took."""
        seconds = []
        for _ in range(n):
            start = time.perf_counter()
            self.net.setInput(self.data)
            self.net.forward()
            seconds.append(time.perf_counter() - start)
        return seconds


def main():
    peer = None
    for line in sys.stdin:
        message = json.loads(line)
        if "prototxt" in message:
            peer = Peer(message)
            answer = {"version": f"OpenCV {cv2.__version__}"}
        else:
            answer = {"seconds": peer.run(message["run"])}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
