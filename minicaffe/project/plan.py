"""Numbers of a project's training: sizes of batches, iterations, tests."""

from __future__ import annotations

from dataclasses import dataclass

_LEAST_ITERATIONS = 500
_EPOCHS, _EPOCHS_OF_LARGE, _LARGE = 30, 10, 50_000
_TESTS = 10


@dataclass(frozen=True)
class TrainingPlan:
    """Numbers of a training.

    Parameters
    ----------
    n_training, n_validation : int
        Images.
    batch : int
        Images of an iteration.
    most_test : int
        Most images of a batch of validation.
    """

    n_training: int
    n_validation: int
    batch: int
    most_test: int = 100

    @classmethod
    def of(cls, n_training: int, n_validation: int) -> TrainingPlan:
        """Return the plan for numbers of images."""
        batch = 16 if n_training < 100 else 32 if n_training < 5000 else 64
        return cls(n_training, n_validation, min(batch, n_training))

    @property
    def test_interval(self) -> int:
        """Iterations between two tests: a tenth of the training, at least one epoch."""
        epochs = _EPOCHS if self.n_training < _LARGE else _EPOCHS_OF_LARGE
        wanted = max(_LEAST_ITERATIONS, epochs * self.n_training // self.batch)
        return _round(wanted // _TESTS)

    @property
    def max_iter(self) -> int:
        """Iterations of the training."""
        return self.test_interval * _TESTS

    @property
    def epochs(self) -> float:
        """How often the training sees each image."""
        return self.max_iter * self.batch / self.n_training

    @property
    def drops(self) -> tuple[int, int]:
        """Iterations at which the learning rate falls."""
        return _round(self.max_iter * 6 // 10), _round(self.max_iter * 85 // 100)

    @property
    def test_batch(self) -> int:
        """Images of a batch of validation: the number at which all are read, few of them twice."""
        most = min(self.n_validation, self.most_test)
        sizes = range(most, max(most // 4, 1) - 1, -1)
        return min(sizes, key=self._read_twice)

    def _read_twice(self, test_batch: int) -> int:
        return -self.n_validation % test_batch

    @property
    def test_iter(self) -> int:
        """Batches of a test."""
        return -(-self.n_validation // self.test_batch)


def _round(number: int) -> int:
    """Return a number with two leading digits."""
    step = int(10 ** max(len(str(number)) - 2, 0))
    return max(number // step * step, 1)
