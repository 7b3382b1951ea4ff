"""Programs: compiled once for each set of arguments, and again after invalidation."""

from __future__ import annotations

import pytest

from lifetimes import no_garbage
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.net.program import Programs


class Owner:
    """Makes tasks that append to a list; counts how often it does."""

    def __init__(self, programs):
        self.ran, self.made = [], 0
        self.program = programs.create(self.tasks)

    def tasks(self, name, times):
        self.made += 1
        return [lambda ran=self.ran, k=k: ran.append(f"{name}{k}") for k in range(times)]


@pytest.fixture
def programs():
    return Programs(ReferenceBackend())


def test_tasks_are_made_once_for_each_set_of_arguments(programs):
    owner = Owner(programs)
    for _ in range(3):
        owner.program("a", 2)
        owner.program("b", 1)
    assert owner.ran == ["a0", "a1", "b0"] * 3
    assert owner.made == 2


def test_invalidation_makes_the_tasks_of_all_programs_again(programs):
    owners = [Owner(programs), Owner(programs)]
    for _ in range(2):
        for owner in owners:
            owner.program("a", 1)
        programs.invalidate()
    assert [owner.made for owner in owners] == [2, 2]


def test_a_program_does_not_keep_its_owner_alive(programs):
    with no_garbage():
        owner = Owner(programs)
        owner.program("a", 1)
        program = owner.program
        del owner
        program("a", 1)
        with pytest.raises(RuntimeError, match="no longer exists"):
            program("b", 1)


def test_an_error_ends_a_run_and_the_next_run_starts_anew(programs):
    ran = []

    class Failing:
        def tasks(self):
            return [lambda: ran.append(1), lambda: ran.append(1 / (len(ran) - 1))]

    owner = Failing()
    program = programs.create(owner.tasks)
    with pytest.raises(ZeroDivisionError):
        program()
    program()
    assert ran == [1, 1, 1.0]
