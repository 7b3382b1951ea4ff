"""Protocol of the peers: JSON requests on standard input, responses on standard output.

Each line is one message. The first request describes the net; the response to ``{"run": n}`` is the
seconds of each of n iterations.
"""

from __future__ import annotations

import json
import sys
import time


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


def serve(make_run, version):
    """Respond to requests until the input ends.

    Parameters
    ----------
    make_run : callable
        Maps the first request to a function from `one_by_one` or `together`.
    version : str
        Name and version of the peer.
    """
    run = make_run(json.loads(sys.stdin.readline()))
    print(json.dumps({"version": version}), flush=True)
    for line in sys.stdin:
        print(json.dumps({"seconds": run(json.loads(line)["run"])}), flush=True)
