"""What `minicaffe time` measures on a backend that computes while Python goes on."""

import pytest

from minicaffe.backends.reference import ReferenceBackend
from minicaffe.cli.commands import time as command
from probe import net_from_text

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "relu" type: "ReLU" bottom: "x" top: "y" }
"""


@pytest.mark.parametrize("forward", [True, False])
def test_the_device_is_waited_for_before_the_clock_is_read(monkeypatch, forward):
    events = []

    def clock():
        events.append("clock")
        return float(len(events))

    backend = ReferenceBackend()
    monkeypatch.setattr(backend, "synchronize", lambda: events.append("wait"))
    monkeypatch.setattr(command.time, "perf_counter", clock)
    net = net_from_text(NET, backend=backend)
    command._Benchmark(net, 1)._pass([0.0, 0.0], forward=forward)
    layer = ["clock", "wait", "clock"]
    assert events == ["wait", "clock", *layer, *layer, "clock"]
