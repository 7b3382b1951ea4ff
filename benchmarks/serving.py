"""What the peers' programs share: answering `benchmarks` on standard input and output.

One JSON message a line, one answer each. The first message describes the net; ``{"run": n}`` makes
n iterations and is answered with the seconds that each took.
"""

from __future__ import annotations

import json
import sys
import time


def serve(make_step, version):
    """Answer until the input ends.

    Parameters
    ----------
    make_step : callable
        From the first message to a function that makes one iteration.
    version : str
        Name and version of the peer.
    """
    step = make_step(json.loads(sys.stdin.readline()))
    print(json.dumps({"version": version}), flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(json.loads(line)["run"]):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        print(json.dumps({"seconds": seconds}), flush=True)
