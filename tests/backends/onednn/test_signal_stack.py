"""Signals while oneDNN computes: they run on stacks of their own and change no value."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from minicaffe.backends.onednn.runtime import signal_stack

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only")

# Offset of sa_flags in glibc's struct sigaction on x86-64, and the flag.
SA_FLAGS, SA_ONSTACK = 136, 0x08000000

UNDER_SIGNALS = """
import signal, sys
import numpy as np
from minicaffe.backends import get_backend
from minicaffe.net import Net
from minicaffe.schema import NetState, read_net

handler_calls = []
signal.signal(signal.SIGALRM, lambda *_: handler_calls.append(1))
backend = get_backend("onednn", threads=int(sys.argv[1]))
net = Net(read_net("net.prototxt"), NetState(), backend=backend, seed=1)
net.inputs[0].data.set(np.random.default_rng(1).standard_normal(net.inputs[0].shape))
net.forward()
right = net.blobs["y"].data.get()
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
for _ in range(600):
    net.forward()
    assert np.array_equal(net.blobs["y"].data.get(), right)
signal.setitimer(signal.ITIMER_REAL, 0)
assert len(handler_calls) > 20, handler_calls
print("alive")
"""

MASKS = """
import os, signal, threading
import numpy  # its BLAS has threads, which no handler can harm
from pathlib import Path
from minicaffe.backends import get_backend

before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
threads_of_numpy = set(os.listdir("/proc/self/task"))
backend = get_backend("onednn", threads=3)
with backend.lock:
    pass
meeting = threading.Barrier(3)  # otherwise the pool may use one thread twice
backend.spread(lambda thread: meeting.wait(), 3)
assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before == set()
unblocked = []
tasks = set(os.listdir("/proc/self/task")) - threads_of_numpy
for task in (Path("/proc/self/task", name) for name in tasks):
    line = next(s for s in (task / "status").read_text().splitlines() if s.startswith("SigBlk"))
    mask = int(line.split()[1], 16)
    blocks = {n for n in (signal.SIGINT, signal.SIGHUP, signal.SIGALRM) if mask >> (n - 1) & 1}
    assert len(blocks) in (0, 3)
    if not blocks:
        unblocked.append(int(task.name))
    assert not mask >> (signal.SIGSEGV - 1) & 1
ours = {str(thread.native_id) for thread in threading.enumerate()}
assert len(tasks - ours) == 2, "OpenMP has no threads"
assert len(tasks) >= 4, "the pool has no threads"
assert not unblocked, (unblocked, tasks, ours)
print("alive")
"""


def run_program(program, *arguments):
    command = [sys.executable, "-c", program, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "alive\n"), ended.stderr


@pytest.mark.parametrize("threads", ["1", "2"])
def test_signals_change_no_value(onednn, tmp_path, monkeypatch, threads):
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(
        """
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 61 dim: 783 } } }
        layer { name: "y" type: "InnerProduct" bottom: "x" top: "y"
          inner_product_param { num_output: 97 weight_filler { type: "xavier" } } }
        """
    )
    run_program(UNDER_SIGNALS, threads)


def test_threads_without_python_code_block_signals(onednn):
    run_program(MASKS)


def test_python_handlers_use_the_alternate_stack():

    former = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        action = (ctypes.c_char * 152)()
        assert ctypes.CDLL(None).sigaction(signal.SIGALRM, None, action) == 0
        assert int.from_bytes(action[SA_FLAGS : SA_FLAGS + 4], "little") & SA_ONSTACK
    finally:
        signal.signal(signal.SIGALRM, former)


def size_of_stack():
    found = signal_stack._current_stack()
    return 0 if found.flags & signal_stack._SS_DISABLE else found.size


def in_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def test_a_thread_that_computes_has_a_stack_of_its_own(onednn):
    def compute():
        before = size_of_stack()
        with onednn.lock:
            return before, size_of_stack(), signal_stack._current_stack().sp

    before, size, address = in_thread(compute)
    assert before == 0
    assert size >= 64 << 10
    with onednn.lock:
        assert size_of_stack() >= 64 << 10
        assert signal_stack._current_stack().sp != address


def test_a_larger_stack_of_the_program_stays():
    def give():
        own = signal_stack._install_stack()
        signal_stack.give_signal_stack()
        kept = signal_stack._current_stack().sp == own + signal_stack._PROTECTED
        signal_stack._remove_stack(own, threading.get_native_id())
        return kept

    assert in_thread(give)


def test_stacks_of_ended_threads_are_freed():
    def mappings():
        in_thread(signal_stack.give_signal_stack)
        return len(Path("/proc/self/maps").read_text().splitlines())

    mappings()
    first = mappings()
    for _ in range(40):
        last = mappings()
    assert last <= first + 4
