"""A fixed order of summation: the same bits for every number of ranks."""

import numpy as np
import pytest
from parallel_training import (
    assert_close,
    make_backend,
    make_solver,
    train_alone,
    train_by_ranks,
    trained,
)
from test_batch_size import OneOf
from test_exchange import BACKENDS, TYPES
from thread_communicator import run_ranks

from minicaffe.distributed.communicator import ALONE
from minicaffe.errors import SolverError, UsageError
from minicaffe.solver.parallel.partial_sums import PartialSums
from minicaffe.solver.parallel.settings import DataParallel


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", TYPES)
def test_four_parts_give_the_same_bits_for_1_2_and_4_ranks(kind, backend):
    settings = f'type: "{kind}" {TYPES[kind]}'
    parallel = DataParallel(ALONE, summation_parts=4)
    alone = trained(make_solver(settings, parallel, make_backend(backend)))
    for size in (2, 4):
        ranks = train_by_ranks(size, settings, backend, summation_parts=4)
        for name, values in alone.parameters.items():
            np.testing.assert_array_equal(ranks[0].parameters[name], values, err_msg=name)
        assert np.mean([rank.loss for rank in ranks]) == pytest.approx(alone.loss, rel=1e-12)
    assert_close(alone, train_alone(settings, backend))


@pytest.mark.parametrize("settings", ["clip_gradients: 0.05", "debug_info: true display: 1"])
def test_settings_that_read_gradients_see_the_same_bits(settings):
    alone = trained(
        make_solver(settings, DataParallel(summation_parts=4), make_backend("reference"))
    )
    ranks = train_by_ranks(2, settings, summation_parts=4)
    for name, values in alone.parameters.items():
        np.testing.assert_array_equal(ranks[0].parameters[name], values, err_msg=name)
    assert_close(alone, train_alone(settings))


def test_parts_are_added_in_pairs():
    # The sum depends on the order: 2^24 + 1 is 2^24 in float32.
    backend = make_backend("reference")
    gradient = backend.tensor((1,))
    sums = PartialSums([gradient], 8)
    values = [2.0**24, 1, 1, 1, 1, 1, 1, 2.0**-3]
    for part, value in enumerate(values[:-1]):
        gradient.set([value])
        sums.keep_part(part)
    last = np.array(values[-1:], np.float32)
    sums.add_kept(0, last)
    a, b, c, d, e, f, g, h = np.array(values, np.float32)
    assert last[0] == ((a + b) + (c + d)) + ((e + f) + (g + h))
    assert last[0] != np.float32(((((((a + b) + c) + d) + e) + f) + g) + h)
    assert sums.n_sets == 3


def refused_flags(size=1, **parallel):
    """Return the error of flags that contradict each other."""
    with pytest.raises(UsageError) as caught:
        DataParallel(OneOf(size), **parallel)
    return str(caught.value)


def refused(settings="", size=1, **parallel):
    """Return the error of a solver with these settings, the same on all ranks."""

    def work(communicator):
        with pytest.raises(SolverError) as caught:
            make_solver(settings, DataParallel(communicator, **parallel), make_backend("reference"))
        # The files of the ranks are in folders of their own.
        return str(caught.value).partition("solver.prototxt")[2]

    (text,) = set(run_ranks(size, work))
    return text


def test_a_number_of_parts_that_is_no_power_of_two_is_refused():
    text = refused_flags(summation_parts=6)
    assert text.startswith("--summation_parts=6: must be a power of two, because gradients are ")
    assert text.endswith("added in pairs. The nearest are 4 and 8")
    assert refused_flags(summation_parts=-2).endswith("The nearest are 2 and 4")


def test_processes_that_do_not_divide_the_parts_are_refused():
    assert refused_flags(3, summation_parts=4) == (
        "--summation_parts=4: 3 processes cannot divide the parts equally. Start one of these "
        "numbers of processes: 1, 2, 4"
    )
    text = refused_flags(4, summation_parts=2)
    assert text.endswith("processes: 1, 2, or give --summation_parts=4")


def test_parts_with_iter_size_or_another_type_are_refused():
    text = refused("iter_size: 2", summation_parts=4)
    assert text.startswith(":1: iter_size: 2 and --summation_parts=4: both divide a batch")
    assert text.endswith("a batch_size 2 times as large, with --summation_parts=8")
    text = refused("iter_size: 3", summation_parts=4)
    assert text.endswith("a batch_size 3 times as large, with a larger --summation_parts")
    text = refused_flags(summation_parts=4, gradient_type="bfloat16")
    assert "--gradient_type=bfloat16 and --summation_parts=4: rounded sums depend on" in text
