"""The bandwidths of batch normalisation, on an emulated GPU."""

import pytest

import no_card
from benchmarks import gpu_bandwidth


def test_every_kernel_is_measured(monkeypatch, emulated_device, capsys):
    no_card.install(monkeypatch, [emulated_device])
    monkeypatch.setattr(gpu_bandwidth, "BLOBS", ((1000, 8), (40, 7)))
    monkeypatch.setattr(gpu_bandwidth, "RUNS", 2)
    assert gpu_bandwidth.main() == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    names = [" ".join(words[3:-4]) for words in lines if words[:2] == ["bfloat16", "8"]]
    fixed, varying = (
        [f"{way} {variant}" for way in ("forward", "backward")] for variant in ("fixed", "varying")
    )
    assert names == ["copy", *fixed, *varying]
    # Packs of seven channels do not begin with the same one.
    assert [" ".join(words[3:-4]) for words in lines if words[1] == "7"] == 2 * ["copy", *varying]
    # The emulated time is 1 ms: three passes over 8,000 values.
    assert float(lines[1][-2]) == pytest.approx(3 * 8000 * 4 / 1e6, abs=1)


def test_without_gpu(monkeypatch, capsys):
    no_card.install(monkeypatch, [])
    assert gpu_bandwidth.main() == 1
    assert capsys.readouterr().out == "no GPU can be used: no driver.\n"
