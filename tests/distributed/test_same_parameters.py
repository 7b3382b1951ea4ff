"""Parameters are those of rank 0 at the start, and compared during the training."""

import numpy as np
import pytest
from parallel_training import make_backend, make_solver, trained
from test_exchange_on_device import FED_NET
from thread_communicator import assert_same_on_all_ranks, run_ranks

from minicaffe.errors import SolverError
from minicaffe.net import Net
from minicaffe.solver.parallel.completion import find_completions
from minicaffe.solver.parallel.settings import DataParallel
from probe import net_from_text


def test_all_ranks_start_with_the_parameters_of_rank_0():
    def work(communicator):
        seed = f"random_seed: {communicator.rank}"
        solver = make_solver(seed, DataParallel(communicator), make_backend("onednn"))
        return [p.blob.data.get() for p in solver.net.parameters]

    for values in zip(*run_ranks(3, work), strict=True):
        assert_same_on_all_ranks(values)


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_all_ranks_go_on_with_the_snapshot_of_rank_0(tmp_path, kind):
    settings = f'type: "{kind}" momentum: 0.9'

    def work(communicator):
        folder = tmp_path / str(communicator.rank)
        folder.mkdir()
        solver = make_solver(
            f'{settings} snapshot_prefix: "{folder}/s"',
            DataParallel(communicator),
            make_backend("reference"),
        )
        solver.step(2)
        if communicator.rank:  # whose folder stays empty
            for tensor in (*(p.blob.data for p in solver.net.parameters), *solver.history):
                tensor.set(np.ones(tensor.shape))
        solver.snapshot()
        solver.restore(folder / "s_iter_2.solverstate")
        return list(trained(solver, 1).parameters.values())

    for values in zip(*run_ranks(2, work), strict=True):
        assert_same_on_all_ranks(values)


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (
            'name: "wide"',
            'name: "other"',
            'rank 0 has parameter 0 of layer "wide" with shape (6, 45) where rank 1 has parameter '
            '0 of layer "other" with shape (6, 45)',
        ),
        (
            "num_output: 4",
            "num_output: 5",
            'rank 0 has parameter 0 of layer "classes" with shape (4, 6) where rank 1 has '
            'parameter 0 of layer "classes" with shape (5, 6)',
        ),
        (
            'name: "b" }\n  inner_product_param {',
            'name: "b" }\n  inner_product_param { bias_term: true',
            "",
        ),
        (
            "param { lr_mult: 0 } param { lr_mult: 0 }",
            "param { lr_mult: 0 }",
            'rank 0 has parameter 1 of layer "fixed" with shape (6,) and lr_mult: 0 where rank 1 '
            'has parameter 1 of layer "fixed" with shape (6,). Give all machines',
        ),
        (
            "num_output: 4",
            "num_output: 4 bias_term: false",
            'rank 0 has parameter 1 of layer "classes" with shape (4,) where rank 1 has no '
            "parameter",
        ),
    ],
)
def test_different_nets_are_refused_on_all_ranks(before, after, wanted):
    def work(communicator):
        net = FED_NET.replace(before, after) if communicator.rank == 1 else FED_NET
        assert before in FED_NET
        try:
            make_solver("", DataParallel(communicator), make_backend("reference"), net=net)
        except SolverError as error:
            return str(error)
        return ""

    texts = run_ranks(3, work)
    assert [wanted in text and bool(text) == bool(wanted) for text in texts] == [True] * 3


def change_in_iteration(solver, name, iteration, index=0):
    """Add to a parameter of a solver before an iteration."""

    def change():
        if solver.iter == iteration:
            blob = solver.net.layers[solver.net.layer_index(name)].blobs[index]
            blob.data.set(blob.data.get() + 1)

    solver.on_start.append(change)


def error_of(change, size=3, interval=2):
    """Return the error of a training in which `change` has changed a solver, on all ranks."""

    def work(communicator):
        parallel = DataParallel(communicator, check_interval=interval)
        solver = make_solver("", parallel, make_backend("reference"))
        change(solver, communicator.rank)
        with pytest.raises(SolverError) as caught:
            solver.step(5)
        # The files of the ranks are in folders of their own.
        return str(caught.value).partition("solver.prototxt")[2], solver.iter

    ((text, iteration),) = set(run_ranks(size, work))
    return text, iteration


def test_the_first_parameter_that_differs_is_named_with_the_ranks():
    def change(solver, rank):
        if rank == 1:
            change_in_iteration(solver, "second", 2)
            change_in_iteration(solver, "classes", 2, 1)

    text, iteration = error_of(change)
    assert iteration == 4
    assert 'after iteration 4, parameter "w" of layer "first" differs' in text
    assert "between the processes: rank 1 from rank 0" in text

    def change_all(solver, rank):
        change_in_iteration(solver, "classes", 0, 1) if rank else None

    text, iteration = error_of(change_all, interval=1)
    assert iteration == 1
    assert 'parameter 1 of layer "classes" differs between the processes: ranks 1, 2 from' in text


def test_parameters_that_are_not_trained_may_differ():
    def work(communicator):
        parallel = DataParallel(communicator, check_interval=1)
        solver = make_solver("", parallel, make_backend("reference"))
        if communicator.rank:
            change_in_iteration(solver, "fixed", 0)
        solver.step(1)
        return solver.iter

    # Other parameters get other gradients, but the same sums.
    assert run_ranks(2, work) == [1, 1]


def completions(net: Net):
    """Return the layer of each completed gradient with the layer after which it is complete."""
    steps = net.backward_steps
    return [
        (f"{c.parameter.layer.name}.{c.parameter.index}", steps[c.task].layer.name)
        for c in find_completions(net)
    ]


def test_gradients_are_complete_after_their_first_layer():
    assert completions(net_from_text(FED_NET)) == [
        ("classes.0", "classes"),
        ("classes.1", "classes"),
        # Shared with the layer "second", which comes later.
        ("first.0", "first"),
        ("first.1", "first"),
        ("wide.0", "wide"),
        ("wide.1", "wide"),
        # No kernel computes this one with another layer.
        ("relu.0", "relu"),
        # In place, so that the kernel of "conv" may compute their gradients.
        ("conv.0", "conv"),
        ("conv.1", "conv"),
        ("scale.0", "conv"),
        ("scale.1", "conv"),
    ]


def test_gradients_of_layers_that_do_not_learn_are_sent_only_if_they_are_computed():
    forced = completions(net_from_text("force_backward: true " + FED_NET))
    assert ("fixed.0", "fixed") in forced
