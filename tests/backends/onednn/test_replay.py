"""Repeated native calls give the bits that the layers give, whatever a user does between passes.

Every test compares a net with its twin, whose forward passes run layer by layer in Python.
"""

from __future__ import annotations

import gc
import itertools
import threading
import weakref

import numpy as np
import pytest

from minicaffe.backends.onednn import OneDnnBackend
from minicaffe.backends.onednn.replay import runner, segment
from minicaffe.backends.onednn.runtime import core_watch
from minicaffe.backends.onednn.runtime.library import DataType
from minicaffe.errors import BackendUnavailable, Unsupported
from probe import net_from_text

SIDE = 28
START = """force_backward: true
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 1 dim: 28 dim: 28 } } }
"""
# Kernels in C and of the library, checks of values, a layer that computes with NumPy (power),
# layers without work, fused layers and a blob with several readers.
MIDDLE = """
layer { name: "small" type: "Convolution" bottom: "data" top: "small"
  convolution_param { num_output: 20 kernel_size: 5 weight_filler { type: "xavier" }
    bias_filler { value: 0.1 } } }
layer { name: "pairs" type: "Pooling" bottom: "small" top: "pairs"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "conv" type: "Convolution" bottom: "pairs" top: "conv"
  convolution_param { num_output: 32 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "left" type: "Convolution" bottom: "conv" top: "left"
  convolution_param { num_output: 32 kernel_size: 3 pad: 1 weight_filler { type: "xavier" }
    bias_filler { value: 0.2 } } }
layer { name: "right" type: "Pooling" bottom: "conv" top: "right"
  pooling_param { pool: MAX kernel_size: 3 stride: 1 pad: 1 } }
layer { name: "both" type: "Concat" bottom: "left" bottom: "right" top: "both" }
layer { name: "lrn" type: "LRN" bottom: "both" top: "lrn" lrn_param { local_size: 5 } }
layer { name: "deep" type: "Convolution" bottom: "lrn" top: "deep"
  convolution_param { num_output: 64 group: 64 kernel_size: 3 pad: 1
    weight_filler { type: "xavier" } } }
%s
layer { name: "sum" type: "Eltwise" bottom: "deep" bottom: "both" top: "sum" }
layer { name: "rectify" type: "ReLU" bottom: "sum" top: "sum" }
"""
POWER = 'layer { name: "power" type: "TanH" bottom: "deep" top: "deep" }'
HOST = """layer { name: "square" type: "Power" bottom: "deep" top: "square"
  power_param { power: 2.5 shift: 9 } }
layer { name: "back" type: "Sigmoid" bottom: "square" top: "square" }
layer { name: "join" type: "Eltwise" bottom: "square" bottom: "deep" top: "deep2" }
layer { name: "silence" type: "Silence" bottom: "deep2" }"""
END = """
layer { name: "drop" type: "Dropout" bottom: "sum" top: "sum" }
layer { name: "flat" type: "Flatten" bottom: "sum" top: "flat" }
layer { name: "ip" type: "InnerProduct" bottom: "flat" top: "ip"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""
NETS = {
    "one segment": START + MIDDLE % "" + END,
    "in place": START + MIDDLE % POWER + END,
    "with NumPy": START + MIDDLE % HOST + END,
}
WARM = runner.RUNS_BEFORE + 1


@pytest.fixture(autouse=True)
def _idle_cores(monkeypatch):
    monkeypatch.setattr(core_watch.CoreWatch, "is_pausing", False)
    monkeypatch.setattr(runner, "LONGEST_PASS_S", np.inf)


@pytest.fixture
def replays(monkeypatch):
    """The list of the tasks with which each repetition of calls ended."""
    ends, run = [], segment.Segment.run

    def counted(self):
        ends.append(run(self))
        return ends[-1]

    monkeypatch.setattr(segment.Segment, "run", counted)
    return ends


class Twins:
    """A net that repeats calls and one that does not, with the same values."""

    def __init__(self, text, backend, phase="TEST"):
        self.nets = [net_from_text(text, phase, backend=backend) for _ in range(2)]
        for net, other in zip(*[n.parameters for n in self.nets], strict=True):
            other.blob.data.set(net.blob.data.get())
        plain = self.nets[1]
        plain._forward_pass = plain.programs.create(plain.forward_tasks)

    def each(self, action, *args):
        for net in self.nets:
            action(net, *args)

    def set(self, seed, batch=2):
        self.each(set_input, seed, batch)

    def forward(self, seed=None):
        if seed is not None:
            self.set(seed)
        self.each(lambda net: net.forward())
        self.compare(["prob"])

    def compare(self, names=None):
        first, second = self.nets
        for name in names or first.blobs:
            ours, theirs = (net.blobs[name].data.get() for net in self.nets)
            np.testing.assert_array_equal(ours, theirs, err_msg=name)
        if names is None:
            for ours, theirs in zip(first.parameters, second.parameters, strict=True):
                np.testing.assert_array_equal(ours.blob.diff.get(), theirs.blob.diff.get())

    def warm_up(self):
        for seed in range(WARM):
            self.forward(seed)


def set_input(net, seed, batch=2):
    net.blobs["data"].reshape((batch, 1, SIDE, SIDE))
    values = np.random.default_rng(seed).standard_normal((batch, 1, SIDE, SIDE))
    net.blobs["data"].data.set(values)


def pin_input(net, seed):
    view = net.blobs["data"].data.host()
    view[...] = np.random.default_rng(seed).standard_normal(view.shape)


def pin(net, seed):
    names = sorted(net.blobs)
    net.blobs[names[seed % len(names)]].data.host()


def read_between(net, seed):
    names = sorted(net.blobs)
    net.blobs[names[seed % len(names)]].data.read()


def assign_between(net, seed):
    index = net.layer_index("both" if seed % 2 else "conv")
    blob = net.steps[index].bottom[0]
    blob.data.set(np.random.default_rng(seed).standard_normal(blob.shape))
    net.forward(start=index)


def stop_between(net, seed):
    net.forward(end=net.layer_index("lrn" if seed % 2 else "right"))


def change_weights(net, seed):
    blob = net.parameters[seed % len(net.parameters)].blob
    blob.data.set(0.1 * np.random.default_rng(seed).standard_normal(blob.shape))


def update_weights(net, seed):
    """Change all weights as a solver does, in the layout of a kernel."""
    for parameter in net.parameters:
        w = parameter.blob.data
        packed = [layout for layout in w._packed if layout.data_type is DataType.F32]
        w.values_to_update([*packed, w.flat_layout][0])[...] *= np.float32(1.25)


def change_pinned_weights(net, seed):
    net.parameters[seed % len(net.parameters)].blob.data.host()[...] *= -0.75


def clear_weights(net, seed):
    net.parameters[2 * (seed % (len(net.parameters) // 2)) + 1].blob.data.clear()


def not_a_number(net, seed):
    net.blobs["data"].data.update().reshape(-1)[seed % SIDE] = np.nan if seed % 2 else np.inf


def reshape(net, seed):
    set_input(net, seed, batch=1 + seed % 3)


def back_and_forth(net, seed):
    set_input(net, seed, batch=3)
    set_input(net, seed, batch=2)


def propagate_shapes(net, seed):
    net.reshape()


def run_backward(net, seed):
    blob = net.blobs["prob"]
    blob.diff.set(np.random.default_rng(seed).standard_normal(blob.shape))
    net.clear_param_diffs()
    net.backward()


def run_hooks(net, seed):
    net.after_forward.append(lambda index: net.blobs["conv"].data.get())
    net.forward()
    net.after_forward.clear()


def do_nothing(net, seed):
    pass


ACTIONS = (
    *(pin_input, read_between, assign_between, stop_between, change_weights, update_weights),
    *(clear_weights, not_a_number, reshape, back_and_forth, propagate_shapes, run_hooks),
    *(do_nothing, run_backward, pin, change_pinned_weights),
)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.__name__)
def test_any_action_between_passes(backend, replays, name, action):
    twins = Twins(NETS[name], backend)
    twins.warm_up()
    twins.forward(5)
    assert replays
    for seed in range(6):
        twins.set(seed)
        twins.each(action, seed)
        twins.each(lambda net: net.forward())
        twins.compare()
        for more in range(WARM):
            twins.forward(seed + 100 * more)
    twins.compare()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("seed", range(8))
def test_random_actions(onednn, replays, precision, seed):
    backend = OneDnnBackend(threads=2, precision=precision)
    if backend.native is None:
        pytest.skip("the C kernels are not compiled")
    rng = np.random.default_rng(seed)
    names = list(NETS)
    twins = Twins(NETS[names[seed % len(names)]], backend)
    # Most actions that pin tensors, or end a training pass, would end most of the others' effects.
    actions = ACTIONS[: -1 - seed % 4]
    for _ in range(25):
        action, number = actions[rng.integers(len(actions))], int(rng.integers(1000))
        twins.set(number)
        twins.each(action, number)
        for _ in range(int(rng.integers(1, 2 * WARM))):
            twins.each(lambda net: net.forward())
            twins.compare()
    assert replays


@pytest.mark.parametrize("name", NETS)
def test_shared_memory(backend, replays, name):
    twins = Twins(NETS[name], backend)
    twins.each(lambda net: net.optimize_memory())
    rng = np.random.default_rng(7)
    for step in range(30):
        if step % 4:
            twins.set(step, batch=2 if step < 20 else 1)
        if step % 7 == 6:
            twins.each(change_weights, int(rng.integers(100)))
        if step % 11 == 9:
            twins.each(not_a_number, step)
        twins.each(lambda net: net.forward())
        twins.compare(["prob"])
    assert replays


def test_a_check_that_fails_ends_the_repetition_at_its_task(backend, replays):
    twins = Twins(NETS["one segment"], backend)
    twins.warm_up()
    twins.forward(5)
    replays.clear()
    twins.set(6)
    twins.each(not_a_number, 1)
    twins.each(lambda net: net.forward())
    twins.compare()
    net = twins.nets[0]
    assert replays == [net.layer_index("right")]
    twins.forward(7)
    twins.compare()


def test_two_nets_that_share_weights(backend, replays):
    twins = Twins(NETS["one segment"], backend)
    others = Twins(NETS["one segment"], backend)
    for other, net in zip(others.nets, twins.nets, strict=True):
        other.share_parameters_with(net)
    others.each(set_input, 0, 3)
    for step in range(20):
        twins.set(step)
        others.set(step, 3)
        if step % 8 == 7:
            twins.each(update_weights, step)
        if step % 8 == 3:
            others.each(change_weights, step)
        twins.each(lambda net: net.forward())
        others.each(lambda net: net.forward())
        twins.compare()
        others.compare()
    assert len(replays) > 10


def test_two_threads(backend, replays):
    """Nets with the same weights, each in a thread of its own."""
    first = Twins(NETS["one segment"], backend)
    pairs = [first, Twins(NETS["one segment"], backend)]
    for other, net in zip(pairs[1].nets, first.nets, strict=True):
        other.share_parameters_with(net)
    failures = []

    def run(twins, seed):
        try:
            for step in range(40):
                twins.forward(seed + step)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(t, 50 * i)) for i, t in enumerate(pairs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert replays


def test_memory_that_moves(backend, replays):
    """A tensor of shared memory that grows takes another's buffer along."""
    twins = Twins(NETS["one segment"], backend)
    twins.warm_up()
    replays.clear()
    net = twins.nets[0]
    for buffer in net.blobs["conv"].data._packed.values():
        buffer.reserve(2 * buffer.size_bytes)
    twins.forward(8)
    assert replays == [0]
    for seed in range(WARM + 1):
        twins.forward(seed)
    assert replays[-1] > 0


def test_scratch_memory_of_a_larger_net(backend, replays):
    twins = Twins(NETS["one segment"], backend)
    twins.warm_up()
    backend.scratch(1 << 24)
    replays.clear()
    twins.forward(8)
    assert replays == [len(twins.nets[0].steps)]


def test_a_failing_primitive_raises_its_error(backend, replays):
    twins = Twins(NETS["one segment"], backend)
    twins.warm_up()
    twins.forward(3)
    (compiled,) = twins.nets[0]._forward_pass._compiled.values()
    (piece,) = compiled._repetitions[False].pieces
    at = next(i for i, call in enumerate(piece._calls) if call.function == "execute_primitive")
    first = (int(piece._table["arguments"][at]) - piece._slots.ctypes.data) // 8
    slots = piece._slots.copy()
    slots[first + 1] = 0  # no primitive
    piece._table["arguments"][at] = slots.ctypes.data + 8 * first
    with pytest.raises(Unsupported, match="oneDNN: execution returned: invalid arguments"):
        twins.nets[0].forward()
    for seed in range(2 * WARM):
        twins.forward(seed)
    assert replays


def test_an_interruption_in_a_pass(backend):
    twins = Twins(NETS["one segment"], backend)
    twins.warm_up()
    twins.forward(3)
    (compiled,) = twins.nets[0]._forward_pass._compiled.values()
    (piece,) = compiled._repetitions[False].pieces
    run_calls = piece._run_calls

    def interrupted(*given):
        run_calls(*given)
        raise KeyboardInterrupt

    piece._run_calls = interrupted
    twins.set(4)
    with pytest.raises(KeyboardInterrupt):
        twins.nets[0].forward()
    for seed in range(2 * WARM):
        twins.forward(seed)


def test_layers_with_other_effects_run_in_every_pass(backend, tmp_path, monkeypatch, replays):
    (tmp_path / "counting.py").write_text(
        "import caffe\nCALLS = []\n"
        "class Counting(caffe.Layer):\n"
        "    def setup(self, bottom, top): pass\n"
        "    def reshape(self, bottom, top): top[0].reshape(*bottom[0].data.shape)\n"
        "    def forward(self, bottom, top):\n"
        "        CALLS.append(1)\n"
        "        top[0].data[...] = bottom[0].data + len(CALLS)\n"
        "    def backward(self, top, propagate_down, bottom): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    layer = """layer { name: "count" type: "Python" bottom: "deep" top: "deep"
      python_param { module: "counting" layer: "Counting" } }"""
    net = net_from_text(START + MIDDLE % layer + END, "TEST", backend=backend)
    import counting

    outputs = []
    for _ in range(WARM + 3):
        set_input(net, 0)
        net.forward()
        outputs.append(net.blobs["deep"].data.get())
    assert len(counting.CALLS) == WARM + 3
    assert replays
    for one, next_one in itertools.pairwise(outputs):
        assert not np.array_equal(one, next_one)


@pytest.fixture
def brief(monkeypatch):
    """A net with a recording of short calls on several threads, and the recording."""
    monkeypatch.setenv("MINICAFFE_THREADS", "2")
    try:
        backend = OneDnnBackend()
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
    if backend.native is None:
        pytest.skip("the C kernels are not compiled")
    twins = Twins(NETS["one segment"], backend)
    with monkeypatch.context() as patch:
        patch.setattr(core_watch.CoreWatch, "count_wait", lambda *_: None)
        for seed in range(WARM):
            twins.set(seed, batch=32)  # so that calls on several threads are worth while
            twins.forward()
    (compiled,) = twins.nets[0]._forward_pass._compiled.values()
    (piece,) = compiled._repetitions[False].pieces
    return twins.nets[0], piece


def threads_of(piece):
    """Return the numbers of threads of the watched C kernels in a recording."""
    watched = [call for call in piece._calls if call.limit_s > 0]
    return {c.arguments[-1] for c in watched if c.function != "execute_primitive"}


def test_passes_in_a_pause_have_a_recording_of_their_own(brief, monkeypatch, replays):
    net, piece = brief
    watch = net.backend.engine.watch
    (compiled,) = net._forward_pass._compiled.values()

    def forward():
        net.forward()
        return net.outputs[0].data.get()

    expected = forward()
    assert threads_of(piece) == {2}
    counted = []
    monkeypatch.setattr(
        core_watch.CoreWatch, "count_call_in_pause", lambda self, *times: counted.append(times)
    )
    monkeypatch.setattr(watch, "ends_s", np.inf)
    monkeypatch.setattr(core_watch.CoreWatch, "is_pausing", True)
    for _ in range(WARM):
        assert np.array_equal(forward(), expected)
    replays.clear()
    counted.clear()
    assert np.array_equal(forward(), expected)
    (alone,) = compiled._repetitions[True].pieces
    assert replays == [alone.end]
    assert threads_of(alone) == {1}
    ((took_s, alone_s, _),) = counted  # of the whole recording
    assert took_s > 0
    assert alone_s == pytest.approx(alone._table["alone"].sum())
    monkeypatch.setattr(core_watch.CoreWatch, "is_pausing", False)
    monkeypatch.setattr(watch, "ends_s", 0.0)
    replays.clear()
    assert np.array_equal(forward(), expected)
    assert replays == [piece.end]
    assert compiled._repetitions[False].pieces == [piece]


def test_delays_of_short_calls_are_counted(brief, monkeypatch):
    net, piece = brief
    counted = []
    for name in ("count_call", "count_wait"):
        monkeypatch.setattr(
            core_watch.CoreWatch,
            name,
            lambda self, took_s, alone_s, now_s=0, name=name: counted.append((name, alone_s)),
        )
    watched = piece._table["limit"] > 0
    alone_s = piece._table["alone"][watched].sum()
    assert alone_s > 0
    piece._table["limit"][watched] = 1e-12
    net.forward()
    piece._table["limit"][watched] = 1e6
    net.forward()
    assert counted == [
        ("count_wait", pytest.approx(alone_s)),
        ("count_call", pytest.approx(alone_s)),
    ]


def test_delays_begin_a_pause(brief, monkeypatch):
    net, piece = brief
    watch = net.backend.engine.watch
    watch.__init__()  # forgets delays of the first passes
    table = piece._table
    watched = table["limit"] > 0
    table["limit"][watched] = table["alone"][watched] = 1e-12
    monkeypatch.setattr(core_watch, "LEAST_WAIT_S", np.inf)
    piece.run()
    assert watch.ends_s == 0
    monkeypatch.setattr(core_watch, "LEAST_WAIT_S", 0.0)
    piece.run()
    assert watch.ends_s > 0


def test_long_passes_are_not_recorded(backend, monkeypatch, replays):
    monkeypatch.setattr(runner, "LONGEST_PASS_S", 0.0)
    twins = Twins(NETS["one segment"], backend)
    twins.warm_up()
    twins.forward(3)
    assert not replays


def test_trainings_record_nothing(backend, replays):
    twins = Twins(NETS["one segment"], backend, "TRAIN")
    for seed in range(WARM + 2):
        twins.set(seed)
        twins.each(lambda net: net.forward())
    assert not replays


def test_without_c_kernels_layers_run(backend, monkeypatch, replays):
    monkeypatch.setattr(backend, "native", None)
    twins = Twins(NETS["one segment"], backend)
    twins.warm_up()
    twins.forward(3)
    assert not replays


def test_values_that_never_repeat_end_the_attempts(backend, replays):
    twins = Twins(NETS["one segment"], backend)
    for _ in range(runner.MAX_FAILURES):
        twins.warm_up()
        twins.each(propagate_shapes, 0)
    replays.clear()
    twins.warm_up()
    twins.forward(2)
    assert not replays


def test_a_net_with_a_recording_is_freed(backend):
    twins = Twins(NETS["one segment"], backend)
    twins.warm_up()
    twins.forward(2)
    weights = twins.nets[0].parameters[0].blob.data
    tensor = weakref.ref(twins.nets[0].blobs["conv"].data)
    assert weights._observers
    gc.collect()
    gc.disable()
    try:
        del twins
        assert tensor() is None
        assert not weights._observers
    finally:
        gc.enable()
