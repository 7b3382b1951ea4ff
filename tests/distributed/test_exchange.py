"""Ranks that exchange gradients reach the parameters of one process with the whole batch."""

import threading

import numpy as np
import pytest
from parallel_training import (
    assert_close,
    make_backend,
    make_solver,
    train_alone,
    train_by_ranks,
)
from test_exchange_on_device import FED_NET
from twin_communicator import TwinCommunicator

from minicaffe.solver.parallel.settings import DataParallel

TYPES = {
    "SGD": "momentum: 0.9 weight_decay: 0.01",
    "Nesterov": "momentum: 0.9",
    "AdaGrad": "",
    "RMSProp": "rms_decay: 0.9",
    "AdaDelta": "momentum: 0.9 delta: 1e-3",
    "Adam": "momentum: 0.9 delta: 1e-3",
    "AdamW": "momentum: 0.9 delta: 1e-3 weight_decay: 0.01",
}
BACKENDS = ("reference", "onednn")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("kind", TYPES)
def test_ranks_train_as_one_process(kind, size, backend):
    settings = f'type: "{kind}" {TYPES[kind]}'
    alone = train_alone(settings, backend)
    assert_close(train_by_ranks(size, settings, backend)[0], alone)


SETTINGS = {
    "iter_size": "iter_size: 3",
    "clip_gradients": "clip_gradients: 0.05 momentum: 0.9",
    "larc": "larc: true momentum: 0.9",
    "plateau": 'lr_policy: "plateau" plateau_winsize: 1 gamma: 0.5',
    "debug_info": "debug_info: true display: 1",
    "iter_size, clip_gradients": "iter_size: 2 clip_gradients: 0.05",
}


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_read_gradients_see_their_mean(name, size):
    batch = 4 * size
    alone = train_alone(SETTINGS[name], batch=batch)
    assert_close(train_by_ranks(size, SETTINGS[name], batch=batch)[0], alone)


def test_one_process_has_no_task_of_the_exchange():
    solver = make_solver("iter_size: 2", DataParallel(), make_backend("reference"))
    forward, backward = solver.net.forward_tasks(), solver.net.backward_tasks()
    # Twice the passes, the first loss, clearing the gradients, and the update.
    wanted = 2 * (len(forward) + len(backward)) + 3
    assert len(solver._iteration._tasks(2, True)) == wanted


def test_only_the_last_of_iter_size_batches_is_exchanged():
    communicator = TwinCommunicator()
    parallel = DataParallel(communicator)
    solver = make_solver("iter_size: 3", parallel, make_backend("reference"), net=FED_NET)
    before = len(communicator.reduced)
    solver.step(2)
    # All parameters of this net are in one bucket.
    assert len(communicator.reduced) - before == 2


@pytest.mark.parametrize("bucket_bytes", [40, 1 << 20])
def test_buckets_are_summed_by_a_thread_if_there_are_several(bucket_bytes, monkeypatch):
    monkeypatch.setattr("minicaffe.distributed.buckets.BUCKET_BYTES", bucket_bytes)
    found = set()

    class Noting(TwinCommunicator):
        def allreduce(self, values):
            super().allreduce(values)
            if values.dtype == np.float32:
                found.add(threading.current_thread().name)

    solver = make_solver("", DataParallel(Noting()), make_backend("reference"), net=FED_NET)
    solver.step(1)
    assert found == {"MainThread" if bucket_bytes > 40 else "minicaffe-reduction"}
