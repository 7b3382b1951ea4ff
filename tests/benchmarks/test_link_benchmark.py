"""What benchmarks.links derives from measured times."""

import pytest

from benchmarks.links import MESSAGE_BYTES, SIZES_MB, link_of_messages, table


def test_alpha_and_beta_follow_from_two_messages():
    # 20 us for an empty message, 1 GB/s.
    times = [20e-6, 20e-6 + (MESSAGE_BYTES[1] - MESSAGE_BYTES[0]) / 1e9]
    link = link_of_messages(times)
    assert link.alpha_s == 20e-6
    assert link.bytes_per_s == pytest.approx(1e9)


def test_the_table_compares_sums_with_the_model():
    times = [20e-6, 20e-6 + (MESSAGE_BYTES[1] - MESSAGE_BYTES[0]) / 1e9]
    # Over two nodes each byte is sent once: 100 MB take 100 ms and two messages.
    text = table("8gbit", {"messages": times, "sums": [0.2] * len(SIZES_MB)})
    assert "Link of 8gbit: alpha 20 us, beta 1 GB/s" in text
    assert "| 100 MB | 200.0 ms | 100.0 ms | -50 % |" in text
    # 25 MB in 200 ms less two messages.
    assert "the size of a bucket: --link=20,0.125\n" in text
    assert text.count("MB |") == len(SIZES_MB)
