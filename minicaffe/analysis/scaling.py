"""Prediction of data-parallel training on many nodes from measured times of one.

Gradients are summed in buckets while the backward pass continues. A reduction of S bytes over n
nodes takes, by Rabenseifner's algorithm (or a ring, whose latency is larger)::

    t(n, S) = 2 ceil(log2 n) alpha + 2 (n - 1) / n * S / beta

The additions are not counted; a measured beta contains them.
The reductions run one after another. Each begins when the last gradient of its bucket is complete
and the one before it has ended; the update begins when all have ended and the backward pass has.
The thread that sums waits actively, as MPI does, and so takes a core; the backward pass is slower
meanwhile if it uses all cores.

All nodes wait for the slowest. With independent, normally distributed iteration times of a node,
the slowest of n is later than the mean by the standard deviation times `expected_maximum`, the
expected largest of n standard normal numbers.

References
----------
Thakur, Rabenseifner and Gropp, "Optimization of collective communication operations in MPICH",
2005.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Link:
    """The network between nodes, as the alpha-beta model sees it.

    Parameters
    ----------
    alpha_s : float
        Time of a message without contents, seconds.
    bytes_per_s : float
        Rate at which a node sends, and receives at the same time.
    """

    alpha_s: float
    bytes_per_s: float

    def reduction_s(self, n: int, size_bytes: float) -> float:
        """Return the time in which `n` nodes sum arrays of a size; 0 for one node."""
        latency = 2 * math.ceil(math.log2(n)) * self.alpha_s
        return latency + 2 * (n - 1) / n * size_bytes / self.bytes_per_s


@dataclass(frozen=True)
class Bucket:
    """Gradients that are summed together.

    Parameters
    ----------
    ready_s : float
        When they are complete, seconds after the begin of the backward pass.
    size_bytes : float
    """

    ready_s: float
    size_bytes: float


@dataclass(frozen=True)
class IterationProfile:
    """One iteration of a node without others.

    Parameters
    ----------
    forward_s, backward_s, update_s : float
        Mean times of the parts, seconds.
    deviation_s : float
        Standard deviation of the time of an iteration.
    buckets : sequence of Bucket
        In the order in which they are complete.
    images : int
        Images of an iteration of one node.
    shared_speed : float
        Speed of the backward pass while gradients are summed, relative to that without.
    """

    forward_s: float
    backward_s: float
    update_s: float
    deviation_s: float
    buckets: Sequence[Bucket]
    images: int
    shared_speed: float = 1.0

    @property
    def iteration_s(self) -> float:
        """The mean time of an iteration."""
        return self.forward_s + self.backward_s + self.update_s

    def on_faster_nodes(self, factor: float) -> IterationProfile:
        """Return the profile of nodes that compute `factor` times as fast."""
        buckets = [replace(bucket, ready_s=bucket.ready_s / factor) for bucket in self.buckets]
        return replace(
            self,
            forward_s=self.forward_s / factor,
            backward_s=self.backward_s / factor,
            update_s=self.update_s / factor,
            deviation_s=self.deviation_s / factor,
            buckets=buckets,
        )

    def with_gradients_of(self, share: float) -> IterationProfile:
        """Return the profile if gradients are sent in a format of `share` times the bytes."""
        buckets = [replace(b, size_bytes=b.size_bytes * share) for b in self.buckets]
        return replace(self, buckets=buckets)


@dataclass(frozen=True)
class Prediction:
    """A training on `n` nodes.

    Attributes
    ----------
    n : int
        Number of nodes.
    iteration_s : float
    images_per_s : float
        Of all nodes together.
    communication_s : float
        Sum of the times of the reductions.
    exposed_s : float
        By how much it delays the end of the backward pass: what that does not hide, and what the
        thread that sums takes from it.
    stragglers_s : float
        The wait for the slowest node.
    efficiency : float
        Images per second, divided by those of n nodes that need not communicate.
    """

    n: int
    iteration_s: float
    images_per_s: float
    communication_s: float
    exposed_s: float
    stragglers_s: float
    efficiency: float

    @property
    def hidden_share(self) -> float:
        """The share of the communication that the backward pass hides; 1 if there is none."""
        return 1 - self.exposed_s / self.communication_s if self.communication_s else 1.0


def predict(profile: IterationProfile, link: Link, n: int) -> Prediction:
    """Return the prediction for `n` nodes, each with the batch of the profile."""
    durations_s = [link.reduction_s(n, bucket.size_bytes) for bucket in profile.buckets]
    communication_s = sum(durations_s)
    # At most all of it, which a rounded last time could exceed.
    exposed_s = min(_end_s(profile, durations_s) - profile.backward_s, communication_s)
    stragglers_s = profile.deviation_s * expected_maximum(n)
    iteration_s = profile.iteration_s + exposed_s + stragglers_s
    return Prediction(
        n,
        iteration_s,
        n * profile.images / iteration_s,
        communication_s,
        exposed_s,
        stragglers_s,
        profile.iteration_s / iteration_s,
    )


def _end_s(profile: IterationProfile, durations_s: Sequence[float]) -> float:
    """Return when the backward pass and all reductions have ended, after its begin.

    Parameters
    ----------
    profile : IterationProfile
    durations_s : sequence of float
        Of the reductions, by bucket.
    """
    now_s = computed_s = 0.0  # computed_s: what the pass has done, in seconds at full speed
    for bucket, duration_s in zip(profile.buckets, durations_s, strict=True):
        now_s += max(bucket.ready_s - computed_s, 0.0)
        computed_s = max(computed_s, bucket.ready_s)
        left_s = (profile.backward_s - computed_s) / profile.shared_speed
        computed_s += min(duration_s, left_s) * profile.shared_speed
        now_s += duration_s
    return now_s + max(profile.backward_s - computed_s, 0.0)


def expected_maximum(n: int) -> float:
    """Return the expected largest of `n` independent standard normal numbers.

    That is the integral of 1 - F(x)^n over x > 0 minus that of F(x)^n over x < 0, where F is the
    distribution function; about sqrt(2 ln n) for very large n.
    """
    if n == 1:
        return 0.0
    width, steps = 10.0, 5000
    total = 0.0
    for k in range(steps):
        x = (k + 0.5) * width / steps
        above, below = 0.5 * math.erfc(x / math.sqrt(2)), 0.5 * math.erfc(-x / math.sqrt(2))
        # 1 - F(x)^n without loss of digits where F is nearly 1.
        total += -math.expm1(n * math.log(below)) - above**n
    return total * width / steps
