"""When each gradient of a net is complete in the backward pass."""

from __future__ import annotations

from typing import NamedTuple

from minicaffe.net import Net
from minicaffe.net.fusion import find_chains
from minicaffe.net.parameters import LearnableParameter
from minicaffe.net.step import Step


class CompletedGradient(NamedTuple):
    """A parameter, and the index of the backward task after which its gradient is complete."""

    task: int
    parameter: LearnableParameter


def find_completions(net: Net) -> list[CompletedGradient]:
    """Return the parameters whose gradients a net computes, in the order of their completion.

    The order is a function of the prototxt alone, so that all processes find the same. The gradient
    of a parameter that layers share is complete after the first of them, which runs backward last.
    """
    tasks = _last_tasks(net)
    found = []
    for parameter in net.parameters:
        users = [
            tasks[step]
            for step in net.backward_steps
            for blob, needs_diff in zip(step.layer.blobs, step.layer.param_needs_diff, strict=True)
            if needs_diff and blob.data_owner is parameter.blob.data_owner
        ]
        if users:
            found.append(CompletedGradient(max(users), parameter))
    # Stable: parameters of one layer stay in their order.
    return sorted(found, key=lambda completion: completion.task)


def _last_tasks(net: Net) -> dict[Step, int]:
    """Return the index of the last backward task that may compute gradients of each step.

    A kernel may compute the backward passes of steps that follow its own in place; whether it does
    depends on the backend, so it is assumed.
    """
    own = {step: index for index, step in enumerate(net.backward_steps)}
    last = dict(own)
    for chain in find_chains(net.steps):
        head = own.get(net.steps[chain.first], 0)
        for step in (net.steps[index] for index in chain.epilogue):
            if step in last:
                last[step] = max(last[step], head)
    return last
