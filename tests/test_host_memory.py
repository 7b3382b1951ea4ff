"""The most memory that this process can have, read from files of the kernel."""

import resource

import pytest

from minicaffe import host_memory

GIB_KB = 1 << 20


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Return a function that writes files of /proc and /sys/fs/cgroup."""
    monkeypatch.setattr(host_memory, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(host_memory, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2)

    def write(**files):
        for name, text in files.items():
            path = tmp_path.joinpath(*name.split("__"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    write(
        proc__meminfo=f"MemAvailable: {8 * GIB_KB} kB\nSwapFree: {2 * GIB_KB} kB\n",
        proc__self__status=f"VmRSS:\t{GIB_KB} kB\n",
    )
    return write


def most_gib():
    return host_memory.most_bytes() / (1 << 30)


def test_machine(system):
    assert most_gib() == 11


def test_a_system_that_tells_nothing(system, monkeypatch, tmp_path):
    monkeypatch.setattr(host_memory, "_PROC", tmp_path / "none")
    assert most_gib() > 1 << 20


def test_limit_of_addresses(system, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (3 << 30, 3 << 30))
    assert most_gib() == 3


def test_second_version_of_cgroups(system):
    """The page cache of a group does not count, this process' own memory neither; swap does."""
    system(
        proc__self__cgroup="0::/a/b\n",
        cgroup__a__memory_max="",
    )
    group = host_memory._CGROUPS / "a"
    (group / "b").mkdir(parents=True)
    (group / "memory.max").write_text(f"{4 << 30}\n")
    (group / "memory.stat").write_text(f"anon {2 << 30}\nshmem {1 << 29}\nfile {3 << 30}\n")
    (group / "b" / "memory.max").write_text("max\n")
    assert most_gib() == 4 - 1 - 0.5 + 2


def test_first_version_of_cgroups_in_a_container(system):
    """The path is that outside of the container; its limit is in the root."""
    system(proc__self__cgroup="5:cpu:/x\n4:memory:/docker/abc\n", cgroup__memory__x="")
    root = host_memory._CGROUPS / "memory"
    (root / "memory.limit_in_bytes").write_text(f"{3 << 30}")
    (root / "memory.stat").write_text(f"total_rss {1 << 29}\n")
    assert most_gib() == 3 + 2


def test_this_machine():
    assert host_memory.most_bytes() > 64 << 20
