"""Autotuning: by a fake clock, from the cache, and after failures."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import pytest

from minicaffe.backends.cuda.driver.device import CannotCapture
from minicaffe.backends.cuda.driver.plans import ConvolutionProblem, Role
from minicaffe.backends.cuda.driver.tuning import FILE, PlanCache, Tuner, cache_folder
from minicaffe.errors import BackendUnavailable, DeviceMemoryError, Unsupported

WHAT = ConvolutionProblem("data", (2, 3, 5, 7), (4, 3, 1, 1), (2, 4, 5, 7), (1, 1), (0, 0), (1, 1))


class FakePlan:
    def __init__(
        self, name, times=(1.0,), workspace_bytes=0, prepares=True, runs=True, captures=True
    ):
        self.name, self.times, self.workspace_bytes = name, list(times), workspace_bytes
        self.prepares, self.runs, self.captures = prepares, runs, captures
        self.n_prepared = self.n_runs = 0
        self.addresses = None

    def prepare(self):
        self.n_prepared += 1
        if not self.prepares:
            raise Unsupported(f"{self.name} cannot be built")

    def __call__(self, addresses, workspace):
        if not self.runs:
            raise BackendUnavailable(f"{self.name} fails")
        if FakeBench.is_capturing and not self.captures:
            raise CannotCapture(f"{self.name} allocates")
        self.addresses = dict(addresses)
        FakeBench.running += self.times[min(self.n_runs, len(self.times) - 1)]
        self.n_runs += 1


class FakeDnn:
    version = "fake 1"

    def __init__(self, *plans, version="fake 1"):
        self._plans, self.version, self.n_asked = plans, version, 0

    def plans(self, what):
        self.n_asked += 1
        if not self._plans:
            raise Unsupported(f"{self.version} has no plan")
        return self._plans


class FakeBench:
    """Has a clock that runs while plans do, and while Python launches them one by one."""

    running = 0.0
    refuses = is_capturing = False

    def __init__(self, free_bytes=1 << 20, launching=0.0):
        self.free_bytes, self.sizes = free_bytes, []
        self.launching = launching

    def allocate(self, size_bytes):
        if sum(self.sizes) + size_bytes > self.free_bytes:
            raise DeviceMemoryError("out of memory")
        self.sizes.append(size_bytes)
        return SimpleNamespace(address=1000 * len(self.sizes))

    def milliseconds(self, work):
        FakeBench.running = 0.0
        work()
        return max(FakeBench.running, getattr(work, "launching", self.launching))

    def capture(self, work):
        if self.refuses:
            raise CannotCapture("no")
        FakeBench.is_capturing = True
        try:
            work()
        finally:
            FakeBench.is_capturing = False

        def replay():
            work()

        replay.launching = 0.0
        return replay


def tuner(*dnns, folder=None, bench=None, device="card"):
    return Tuner(dnns, device, PlanCache(folder), bench)


def test_the_fastest_is_chosen_and_the_first_run_does_not_count():
    slow = FakePlan("slow", [2.0])
    late = FakePlan("late", [9.0, 1.5, 1.0])
    early = FakePlan("early", [0.1, 1.5])
    bench = FakeBench()
    assert tuner(FakeDnn(slow, late, early), bench=bench).plan(WHAT) is late
    # Three launches, a capture, three replays.
    assert [plan.n_runs for plan in (slow, late, early)] == [7, 7, 7]
    assert late.addresses == {Role.DY: 1000, Role.W: 2000, Role.DX: 3000}
    assert bench.sizes == [2 * 4 * 5 * 7 * 4, 4 * 3 * 4, 2 * 3 * 5 * 7 * 4, 1]


def test_short_plans_are_compared_by_the_devices_time():
    slow, fast = FakePlan("slow", [0.03]), FakePlan("fast", [0.02])
    assert tuner(FakeDnn(slow, fast), bench=FakeBench(launching=0.1)).plan(WHAT) is fast


@pytest.mark.parametrize("ms", [0.02, 0.45, 0.55, 8.0])
def test_a_launch_by_python_is_no_part_of_the_time(ms):
    # With a launch of 0.1 ms, times above 0.5 ms once included it and smaller ones did not.
    slow, fast = FakePlan("slow", [ms * 1.1]), FakePlan("fast", [ms])
    assert tuner(FakeDnn(slow, fast), bench=FakeBench(launching=ms + 0.1)).plan(WHAT) is fast


@pytest.mark.parametrize("ms", [0.01, 2.0])
def test_plans_that_cannot_be_captured_are_passed_over(ms, caplog_minicaffe, caplog):
    caplog.set_level(logging.INFO)
    eager = FakePlan("eager", [ms], captures=False)
    good = FakePlan("good", [10 * ms])
    assert tuner(FakeDnn(eager, good), bench=FakeBench()).plan(WHAT) is good
    assert any("eager is skipped: eager allocates" in line for line in caplog.messages)


def test_where_nothing_can_be_captured_launched_plans_are_compared():
    slow, fast, bench = FakePlan("slow", [0.03]), FakePlan("fast", [0.02]), FakeBench()
    bench.refuses = True
    assert tuner(FakeDnn(slow, fast), bench=bench).plan(WHAT) is fast


def test_of_equally_fast_plans_the_more_promising_is_chosen():
    first, second = FakePlan("first"), FakePlan("second")
    assert tuner(FakeDnn(first, second), bench=FakeBench()).plan(WHAT) is first


def test_at_most_twelve_candidates_that_can_be_built():
    broken = FakePlan("broken", [0.0], prepares=False)
    plans = [FakePlan(str(i), [20.0 - i]) for i in range(20)]
    assert tuner(FakeDnn(broken, *plans), bench=FakeBench()).plan(WHAT) is plans[11]
    assert plans[12].n_prepared == 0


def test_without_a_bench_the_first_that_can_be_built(tmp_path):
    broken, first, second = FakePlan("a", prepares=False), FakePlan("b"), FakePlan("c", [0.1])
    assert tuner(FakeDnn(broken, first, second), folder=tmp_path).plan(WHAT) is first
    assert first.n_runs == second.n_prepared == 0
    assert not (tmp_path / FILE).exists()


def test_equal_descriptions_share_a_plan():
    dnn = FakeDnn(FakePlan("a"))
    chosen = tuner(dnn)
    line = ConvolutionProblem("forward", (2, 3, 9), (4, 3, 3), (2, 4, 7), (1,), (0,), (1,))
    assert chosen.plan(line) is chosen.plan(line.canonical)
    assert dnn.n_asked == 1


def test_the_next_process_remembers(tmp_path):
    def plans():
        return FakePlan("slow", [2.0]), FakePlan("fast", [1.0])

    tuner(FakeDnn(*plans()), folder=tmp_path, bench=FakeBench()).plan(WHAT)
    slow, fast = plans()
    assert tuner(FakeDnn(slow, fast), folder=tmp_path, bench=FakeBench()).plan(WHAT) is fast
    assert fast.n_prepared == 1
    assert slow.n_prepared == slow.n_runs == fast.n_runs == 0
    (key,) = json.loads((tmp_path / FILE).read_text())["plans"]
    assert key == f"card | fake 1 | {WHAT}"


@pytest.mark.parametrize("change", [{"device": "another"}, {"version": "fake 2"}])
def test_other_cards_and_versions_choose_anew(tmp_path, change):
    tuner(FakeDnn(FakePlan("a")), folder=tmp_path, bench=FakeBench()).plan(WHAT)
    plan = FakePlan("a")
    dnn = FakeDnn(plan, version=change.get("version", "fake 1"))
    device = change.get("device", "card")
    tuner(dnn, folder=tmp_path, bench=FakeBench(), device=device).plan(WHAT)
    assert plan.n_runs
    assert len(json.loads((tmp_path / FILE).read_text())["plans"]) == 2


def test_a_remembered_plan_that_is_gone_is_replaced(tmp_path):
    tuner(FakeDnn(FakePlan("old")), folder=tmp_path, bench=FakeBench()).plan(WHAT)
    tuner(FakeDnn(FakePlan("new")), folder=tmp_path, bench=FakeBench()).plan(WHAT)
    assert list(json.loads((tmp_path / FILE).read_text())["plans"].values()) == ["new"]


def test_the_next_library_serves_where_the_first_cannot():
    none, broken = FakeDnn(version="none"), FakeDnn(FakePlan("broken", prepares=False))
    good = FakePlan("good")
    assert tuner(none, broken, FakeDnn(good)).plan(WHAT) is good
    with pytest.raises(Unsupported, match="none has no plan; broken cannot be built"):
        tuner(none, broken).plan(WHAT)
    with pytest.raises(Unsupported, match=r"convolution data x 2x3x5x7 .* cuDNN is not installed"):
        tuner().plan(WHAT)


def test_a_plan_that_fails_while_timed_is_passed_over(caplog_minicaffe, caplog):
    caplog.set_level(logging.INFO)
    failing, good = FakePlan("failing", [0.1], runs=False), FakePlan("good")
    assert tuner(FakeDnn(failing, good), bench=FakeBench()).plan(WHAT) is good
    assert any("failing is skipped: failing fails" in line for line in caplog.messages)
    with pytest.raises(Unsupported, match="failing fails"):
        tuner(FakeDnn(failing), bench=FakeBench()).plan(WHAT)


def test_where_memory_is_short_the_smallest_plan_serves():
    large, small = FakePlan("large", [0.1], 4096), FakePlan("small", [9.0], 64)
    bench = FakeBench(free_bytes=2048)
    assert tuner(FakeDnn(large, small), bench=bench).plan(WHAT) is small
    assert small.n_runs == 0


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 1}', '{"version": 1, "plans": [1]}', "\udcff"]
)
def test_a_file_that_makes_no_sense_is_ignored_with_a_line(
    tmp_path, text, caplog_minicaffe, caplog
):
    file = tmp_path / FILE
    file.write_bytes(text.encode(errors="surrogateescape"))
    cache = PlanCache(tmp_path)
    assert cache.get("key") is None
    assert len(caplog.messages) == 1
    assert f"{file} is ignored and will be replaced" in caplog.messages[0]
    cache.put("key", "name")
    assert PlanCache(tmp_path).get("key") == "name"


def test_another_format_is_replaced_in_silence(tmp_path, caplog_minicaffe, caplog):
    (tmp_path / FILE).write_text('{"version": 0, "plans": {"key": "old"}}')
    assert PlanCache(tmp_path).get("key") is None
    assert not caplog.messages


def test_processes_do_not_forget_each_others_choices(tmp_path):
    one, two = PlanCache(tmp_path), PlanCache(tmp_path)
    one.put("a", "1")
    two.put("b", "2")
    merged = PlanCache(tmp_path)
    assert (merged.get("a"), merged.get("b")) == ("1", "2")
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def test_a_folder_that_cannot_be_written_costs_one_line(tmp_path, caplog_minicaffe, caplog):
    (tmp_path / "file").write_text("")
    cache = PlanCache(tmp_path / "file")
    cache.put("a", "1")
    cache.put("b", "2")
    assert (cache.get("a"), cache.get("b")) == ("1", "2")
    (line,) = caplog.messages
    assert "cuDNN plans will be selected again in the next run" in line


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MINICAFFE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("MINICAFFE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "minicaffe"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "minicaffe"
