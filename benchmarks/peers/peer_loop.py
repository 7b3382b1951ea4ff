"""Protocol of the peers: JSON requests on standard input, responses on standard output.

Each line is one message. The first request describes the net; the response names the peer and its
instruction set. The response to ``{"run": n}`` is the seconds of each of n iterations. The request
``{"save": path}`` writes the output of a forward pass as an .npy file.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np


def one_by_one(step):
    """Return a function that runs n iterations and returns the seconds of each."""

    def run(n):
        seconds = []
        for _ in range(n):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        return seconds

    return run


def together(step, finish):
    """Return a function that queues n iterations and returns the mean seconds of one, in a list.

    Parameters
    ----------
    step : callable
        Starts an iteration; may return before it has finished.
    finish : callable
        Waits for all of them.
    """

    def run(n):
        start = time.perf_counter()
        for _ in range(n):
            step()
        finish()
        return [(time.perf_counter() - start) / n]

    return run


def serve(make_peer, version):
    """Respond to requests until the input ends.

    Parameters
    ----------
    make_peer : callable
        Maps the first request to a peer. Its `run` comes from `one_by_one` or `together`, its
        `isa`, if it has one, is "AVX2" or "AVX-512"; its `output` returns the values of a forward
        pass.
    version : str
        Name and version of the peer.
    """
    peer = make_peer(json.loads(sys.stdin.readline()))
    print(json.dumps({"version": version, "isa": getattr(peer, "isa", "")}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "save" in request:
            np.save(request["save"], peer.output())
            response = {}
        else:
            response = {"seconds": peer.run(request["run"])}
        print(json.dumps(response), flush=True)
