"""gpu_check: its parts on an emulated GPU; parts that pass, fail and hang."""

import json
from pathlib import Path

import pytest

import no_card
from benchmarks import gpu, gpu_basics, gpu_check, gpu_parts
from benchmarks.gpu_check import Part
from emulator.dnn import EmulatedDnn
from minicaffe.errors import Unsupported

JUNIT = """<testsuites><testsuite tests="3" failures="1" errors="0" skipped="1">
<testcase classname="a" name="one"/>
<testcase classname="a" name="two"><failure message="1 is not 2">...</failure></testcase>
<testcase classname="a" name="three"><skipped/></testcase></testsuite></testsuites>"""


@pytest.fixture
def card(monkeypatch, emulated_device):
    no_card.install(monkeypatch, [emulated_device])
    for name, value in {"ITERATIONS": 4, "TRAINING": 2, "BATCHES": 1}.items():
        monkeypatch.setattr(gpu_parts, name, value)
    monkeypatch.setattr(gpu, "WARM_UP", 1)
    monkeypatch.setattr(gpu, "CHUNKS", 1)
    return emulated_device


@pytest.fixture
def few_images(monkeypatch):
    """Databases of 50 images instead of 12,000."""
    from minicaffe.cli.commands import convert_mnist_data

    read = convert_mnist_data.read_set
    monkeypatch.setattr(
        convert_mnist_data, "read_set", lambda *paths: tuple(a[:50] for a in read(*paths))
    )


def test_device(card):
    found = gpu_parts.device()
    assert found["query"][0].startswith("Device id:")
    assert found["backend"] == "the cuda backend: an emulated GPU, tf32"


def test_basics(card, monkeypatch):
    for name, value in {"ROUNDS": 3, "SIZE": 1 << 10, "BATCH": 1}.items():
        monkeypatch.setattr(gpu_basics, name, value)
    card.dnns = (EmulatedDnn(card),)
    assert set(gpu_parts.basics().values()) == {"passed"}
    monkeypatch.setitem(gpu_basics.CHECKS, "formats", lambda backend: 1 / 0)
    with pytest.raises(AssertionError, match='"formats": "ZeroDivisionError: division by zero"'):
        gpu_parts.basics()


def test_a_plan_that_the_legacy_api_lacks_is_a_note(card, monkeypatch):
    for name, value in {"ROUNDS": 3, "SIZE": 1 << 10, "BATCH": 1}.items():
        monkeypatch.setattr(gpu_basics, name, value)

    class Without(EmulatedDnn):
        def plans(self, what):
            raise Unsupported("no plan with the channels last")

    card.dnns = (EmulatedDnn(card), Without(card))
    with pytest.raises(AssertionError, match='"plans": "AssertionError: no plan with the channels'):
        gpu_parts.basics()
    monkeypatch.setattr(gpu_basics, "Legacy", Without)
    assert gpu_parts.basics()["plans"].startswith("passed, but no plan with the channels last")


def test_graphs(card):
    found = gpu_parts.graphs(batch=2)
    assert found["largest difference"] == {"fp32": 0, "tf32": 0, "bf16": 0}
    assert card.counts["replay"]


def test_graphs_that_compute_something_else(card, monkeypatch):
    capture = card.capture
    monkeypatch.setattr(card, "capture", lambda work: (capture(work), lambda: None)[1])
    with pytest.raises(AssertionError, match="weights differ after 4 iterations"):
        gpu_parts.graphs(batch=2)


def test_orders(card):
    found = gpu_parts.orders("lenet", 2, 0)
    assert set(found["ms"]) == {"channels last", "channels first"}


def test_training_and_resuming(card, few_images):
    assert gpu_parts.resume() == {"iterations": 4, "largest difference": 0}
    assert set(gpu_parts.lenet()["accuracy"]) == {"CPU", "GPU"}


def test_worse_than_the_cpu(card, few_images, monkeypatch):
    shares = iter([0.9, 0.5])
    monkeypatch.setattr(gpu_parts, "_accuracy", lambda folder, backend: next(shares))
    with pytest.raises(AssertionError, match="the GPU's accuracy is lower"):
        gpu_parts.lenet()


def part(code, name="one", limit_s=30, result="last line"):
    return Part(name, ("-c", code, "{out}"), limit_s, result)


def test_parts_that_pass():
    entry = gpu_check.run_part(part("print('words'); print('{\"a\": 1}'); print('late')"), 30)
    assert (entry["state"], entry["found"]) == ("passed", {"a": 1})
    write = f"import sys, pathlib; pathlib.Path(sys.argv[1]).write_text({JUNIT!r})"
    entry = gpu_check.run_part(part(write, result="junit"), 30)
    assert entry["found"] == {
        "tests": 3,
        "failures": 1,
        "errors": 0,
        "skipped": 1,
        "failed": {"a::two": "1 is not 2"},
    }


@pytest.mark.parametrize(
    ("code", "result", "message"),
    [
        ("raise AssertionError('0.5 apart')", "last line", "AssertionError: 0.5 apart"),
        ("print('no JSON')", "last line", "no JSON"),
        ("pass", "junit", ""),
        ("pass", "json", ""),
    ],
)
def test_parts_that_fail(code, result, message):
    entry = gpu_check.run_part(part(code, result=result), 30)
    assert entry["state"] == "failed"
    assert entry["message"].endswith(message)


def test_a_part_that_hangs_leaves_what_it_wrote():
    write = "import sys, time; open(sys.argv[1], 'w').write('{\"rows\": [1]}'); time.sleep(60)"
    entry = gpu_check.run_part(part(write, limit_s=2, result="json"), 30)
    assert (entry["state"], entry["found"]) == ("failed", {"rows": [1]})
    assert entry["message"].startswith("ended after 2")


@pytest.mark.slow
def test_tests_that_hang_leave_those_that_have_run(tmp_path):
    (tmp_path / "test_two.py").write_text(
        "import time\ndef test_one(): assert 0\ndef test_two(): time.sleep(60)\n"
    )
    # With a folder of its own: names begin with what lies between that and the test.
    command = ("-m", "pytest", "-q", f"--rootdir={tmp_path}", str(tmp_path), "--junitxml={out}")
    entry = gpu_check.run_part(Part("tests", command, 8, "junit"), 30)
    assert (entry["state"], entry["found"]["failures"]) == ("failed", 1)
    assert list(entry["found"]["failed"]) == ["test_two::test_one"]
    assert "KeyboardInterrupt" in entry["message"]


def test_a_part_that_does_not_stop_when_it_is_asked_to(monkeypatch):
    monkeypatch.setattr(gpu_check, "GRACE_S", 0.1)
    code = "import signal, time; signal.signal(2, signal.SIG_IGN); print('on', flush=True)"
    entry = gpu_check.run_part(part(f"{code}; time.sleep(60)", limit_s=2), 30)
    assert (entry["state"], entry["message"].splitlines()[1:]) == ("failed", ["on"])


def test_check_goes_on_after_failures(tmp_path, capsys):
    path = tmp_path / "result.json"
    parts = [part("print('{}')"), part("1 / 0", "two"), part("print('{}')", "three")]
    entries = gpu_check.check(parts, "", 60, path, {})
    assert [entry["state"] for entry in entries.values()] == ["passed", "failed", "passed"]
    assert json.loads(path.read_text())["parts"] == entries
    assert "two: failed" in capsys.readouterr().out
    entries = gpu_check.check(parts, "", 0, path, {})
    assert {entry["state"] for entry in entries.values()} == {"not run"}


def test_without_gpu(tmp_path, monkeypatch, capsys):
    path = tmp_path / "result.json"
    message = (
        "no GPU can be used: CuPy is not installed. If the machine has an NVIDIA GPU: pip install "
        "'minicaffe[gpu]'"
    )
    needed = Part("one", ("-c", f"import sys; sys.exit({message!r})"), 30, is_needed=True)
    parts = (needed, part("print('{}')", "two"))
    monkeypatch.setattr(gpu_check, "PARTS", parts)
    monkeypatch.setattr(gpu_check, "install", lambda extra, wheels: {})
    assert gpu_check.main([str(path)]) == 1
    assert capsys.readouterr().err == message + "\n"
    states = {name: e["state"] for name, e in json.loads(path.read_text())["parts"].items()}
    assert states == {"one": "failed", "two": "not run"}


def test_parts_have_plan_caches_of_their_own(monkeypatch):
    monkeypatch.setenv("MINICAFFE_CACHE", "shared")
    code = "import json, os; print(json.dumps({'cache': os.environ['MINICAFFE_CACHE']}))"
    caches = {gpu_check.run_part(part(code), 30)["found"]["cache"] for _ in range(2)}
    assert len(caches) == 2
    assert "shared" not in caches
    assert not any(Path(cache).exists() for cache in caches)


def test_parts_are_selected(tmp_path, monkeypatch, capsys):
    parts = tuple(part("print('{}')", name) for name in ("one", "two", "three"))
    monkeypatch.setattr(gpu_check, "PARTS", parts)
    monkeypatch.setattr(gpu_check, "install", lambda extra, wheels: {})
    path = tmp_path / "result.json"

    def run(*flags):
        assert gpu_check.main([*flags, str(path)]) == 0
        return list(json.loads(path.read_text())["parts"])

    assert run() == ["one", "two", "three"]
    assert run("--only", "three", "--only", "one") == ["one", "three"]
    assert run("--skip", "two") == ["one", "three"]
    assert run("--only", "two", "--only", "one", "--skip", "one") == ["two"]
    for flags, message in (
        (("--only", "four"), "argument --only: invalid choice: 'four' (choose from"),
        (("--only", "one", "--skip", "one"), "no part is left; the parts are one, two, three"),
    ):
        with pytest.raises(SystemExit) as exit_:
            gpu_check.main([*flags, str(path)])
        assert exit_.value.code == 2
        assert message in capsys.readouterr().err


def test_the_longest_parts_are_small_enough_for_the_time_limit():
    arguments = {part.name: part.arguments for part in gpu_check.PARTS}
    assert {"-p", "xdist", "-n"} <= set(arguments["tests"])
    # PyTorch's processes take most of the time of a net.
    flags = gpu.command_line().parse_args(arguments["benchmarks"][2:])
    assert (flags.nets, flags.from_lmdb) == (["lenet", "resnet50", "alexnet"], "")


def test_what_is_missing():
    needed = ["numpy>=1.26", "cupy-of-tomorrow>=14,<15", "h5py; platform_system == 'Linux'"]
    assert gpu_check.missing(needed) == ["cupy-of-tomorrow>=14,<15"]


def test_installing_goes_on_after_failures(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu_check, "missing", lambda needed: ["of-tomorrow==1", "of-today==2"])
    entry = gpu_check.install("gpu", str(tmp_path))
    assert entry["state"] == "failed"
    assert set(entry["found"]) == {"of-tomorrow==1", "of-today==2"}
    assert "No matching distribution found for of-today==2" in entry["found"]["of-today==2"]


def test_a_system_python_is_recognised_by_pips_message():
    printed = "error: externally-managed-environment\n\nx This environment ...\nhint: See PEP 668"
    assert "python3 -m venv --system-site-packages" in gpu_check._reason(printed)
    assert gpu_check._reason("WARNING: a\nERROR: b\n\n") == "ERROR: b"
    assert gpu_check._reason("") == ""


@pytest.fixture
def fresh_environment():
    gpu_check.environment.cache_clear()
    yield
    gpu_check.environment.cache_clear()


def test_parts_see_what_was_installed_beside_the_python(monkeypatch, tmp_path, fresh_environment):
    (tmp_path / "of_tomorrow.py").write_text("found = 3")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code = "import of_tomorrow, benchmarks; print('{\"found\": %d}' % of_tomorrow.found)"
    assert gpu_check.run_part(part(code), 30)["found"] == {"found": 3}


def test_a_home_that_cannot_be_written_is_exchanged(monkeypatch, tmp_path, fresh_environment):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert gpu_check.environment()["HOME"] == str(tmp_path)
    gpu_check.environment.cache_clear()
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    home = gpu_check.environment()["HOME"]
    assert list(Path(home).iterdir()) == []
    assert gpu_check.environment()["HOME"] == home


def test_wheels_that_come_in_parts(monkeypatch, tmp_path):
    for name, content in {"b": b"2", "a": b"1", "c": b"3"}.items():
        (tmp_path / f"made-1-py3-none-any.whl.part{name}").write_bytes(content)
    monkeypatch.setattr(gpu_check, "missing", lambda needed: [])
    gpu_check.install("gpu", str(tmp_path))
    gpu_check.install("gpu", str(tmp_path))
    assert (tmp_path / "made-1-py3-none-any.whl").read_bytes() == b"123"


def test_an_unwritable_report_is_an_error_before_anything_runs(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        gpu_check.main([str(tmp_path / "nowhere" / "report.json")])
    assert exit_.value.code == 2
    assert "report.json cannot be written: No such file or directory" in capsys.readouterr().err


def test_ctrl_c_ends_the_part_that_runs_and_keeps_the_report(tmp_path, monkeypatch, capsys):
    killed = []
    monkeypatch.setattr(gpu_check.os, "killpg", lambda process, _: killed.append(process))
    monkeypatch.setattr(gpu_check, "install", lambda *_: {})

    def stopped(self, timeout=None):
        self.kill()
        self.wait()
        self.stdout.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu_check.subprocess.Popen, "communicate", stopped)
    path = tmp_path / "report.json"
    assert gpu_check.main([str(path)]) == 130
    assert len(killed) == 1
    assert f"stopped by Ctrl-C; {path} has the finished parts" in capsys.readouterr().err
