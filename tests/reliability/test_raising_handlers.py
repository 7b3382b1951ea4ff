"""Signal handlers that raise, as Ctrl-C in a notebook does: they leave no lock behind."""

import subprocess
import sys

import pytest

HARNESS = """
import random, signal, sys, threading
import numpy as np
from minicaffe import log
from minicaffe.data.batch_source import Batch
from minicaffe.data.prefetch import Prefetcher

class Interrupt(BaseException):
    pass

def interrupt(*_):
    raise Interrupt

def interrupted(work, n):
    chance = random.Random(1)
    signal.signal(signal.SIGALRM, interrupt)
    for _ in range(n):
        try:
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0002, 0.002))
            while True:
                work()
        except Interrupt:
            pass
    signal.setitimer(signal.ITIMER_REAL, 0)
"""

LOG = """
log.to_stderr()
interrupted(lambda: log.logger.info("here"), 500)
other = threading.Thread(target=log.logger.info, args=("there",), daemon=True)
other.start()
other.join(30)
print("stuck" if other.is_alive() else "alive")
"""

BATCHES = """
class Source:
    shapes, assembler, n = [(1,)], None, 0
    def next(self):
        self.n += 1
        return Batch((np.full(1, self.n),), (), self.position())
    def position(self):
        return {"n": self.n}
    def restore(self, position):
        self.n = position["n"]

source, seen = Prefetcher(Source(), depth=2), []
interrupted(lambda: seen.append(int(source.next().tops[0][0])), 500)
for _ in range(10):  # as many as can wait, and more
    seen.append(int(source.next().tops[0][0]))
assert seen == sorted(set(seen)) and seen[-10:] == list(range(seen[-10], seen[-1] + 1))
assert len(seen) > 0.9 * seen[-1], "more than the batches that were being taken are lost"
print("alive")
"""


@pytest.mark.parametrize("program", [LOG, BATCHES], ids=["log", "batches"])
def test_other_threads_do_not_wait_for_ever(program):
    ended = subprocess.run(
        [sys.executable, "-c", HARNESS + program], capture_output=True, text=True, timeout=60
    )
    assert ended.stdout == "alive\n", ended.stderr[-2000:]
