"""An inbox of the emulated device finds out what a GPU would do wrong without a word."""

import numpy as np
import pytest

from emulator import DeviceFault
from minicaffe.backends.cuda.driver.device import CannotRecord


@pytest.fixture
def inbox(device):
    return device.inbox(64)


def fill(inbox, value):
    inbox.wait()
    inbox.host[:] = value


def content(device, inbox):
    values = np.empty(64, np.uint8)
    device.download(inbox.address, values)
    return set(values.tolist())


def test_what_was_sent_is_there_from_receive_to_release(device, inbox):
    for value in (1, 2, 3):
        fill(inbox, value)
        inbox.send()
        assert content(device, inbox) == {0xA7}
        inbox.receive()
        assert content(device, inbox) == {value}
        inbox.release()
        assert content(device, inbox) == {0xA7}


def test_it_may_be_filled_once_the_upload_has_arrived(device, inbox):
    fill(inbox, 1)
    inbox.send()
    fill(inbox, 2)
    inbox.receive()
    assert content(device, inbox) == {1}


def test_what_was_not_received_may_be_sent_over(device, inbox):
    for value in (1, 2):
        fill(inbox, value)
        inbox.send()
    inbox.receive()
    assert content(device, inbox) == {2}


def test_filling_while_it_is_uploaded(inbox):
    fill(inbox, 1)
    inbox.send()
    inbox.host[7] = 2
    with pytest.raises(DeviceFault, match="changed on the host while it was uploaded"):
        inbox.receive()


def test_sending_before_the_release(inbox):
    inbox.send()
    inbox.receive()
    with pytest.raises(DeviceFault, match="sent that was not released"):
        inbox.send()


def test_sending_twice(inbox):
    inbox.send()
    with pytest.raises(DeviceFault, match="sent twice without a wait"):
        inbox.send()


def test_receiving_and_releasing_out_of_turn(inbox):
    with pytest.raises(DeviceFault, match="received that was not sent"):
        inbox.receive()
    with pytest.raises(DeviceFault, match="released that was not received"):
        inbox.release()


def test_kernels_and_copies_read_only_what_was_received(device, inbox):
    other = device.allocate(64)
    inbox.send()
    with pytest.raises(DeviceFault, match="copy: an inbox is read that was not received"):
        device.copy(inbox.address + 16, other.address, 32)
    inbox.receive()
    device.copy(inbox.address + 16, other.address, 32)


def test_it_is_filled_and_sent_while_work_is_recorded_but_not_received(device, inbox):
    def work():
        fill(inbox, 5)
        inbox.send()
        for refused in (inbox.receive, inbox.release):
            with pytest.raises(CannotRecord):
                refused()

    device.record(work)
    inbox.receive()
    assert content(device, inbox) == {5}
