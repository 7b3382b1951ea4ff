"""What the peers' programs share: answering `benchmarks` on standard input and output.

One JSON message a line, one answer each. The first message describes the net; ``{"run": n}`` makes
n iterations and is answered with the seconds that each took.
"""

from __future__ import annotations

import json
import sys
import time


def one_by_one(step):
    """Return a function that makes n iterations and says how long each took, in seconds."""

    def run(n):
        seconds = []
        for _ in range(n):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        return seconds

    return run


def together(step, finish):
    """Return a function that makes n iterations at once and says how long one took, in a list.

    Parameters
    ----------
    step : callable
        Begins an iteration, and may return before it is done.
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


def serve(make_run, version):
    """Answer until the input ends.

    Parameters
    ----------
    make_run : callable
        From the first message to what `one_by_one` or `together` returns.
    version : str
        Name and version of the peer.
    """
    run = make_run(json.loads(sys.stdin.readline()))
    print(json.dumps({"version": version}), flush=True)
    for line in sys.stdin:
        print(json.dumps({"seconds": run(json.loads(line)["run"])}), flush=True)
