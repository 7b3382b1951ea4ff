"""The words that the emulator shares with the cuda backend."""

try:
    from minicaffe.backends.cuda.device import Address, DeviceMemoryError
except ImportError:
    from minicaffe.errors import BackendUnavailable

    class Address(int):
        """Where something lies in device memory."""

        def __add__(self, size_bytes):
            return Address(int(self) + size_bytes)

    class DeviceMemoryError(BackendUnavailable):
        """There is not enough device memory."""


__all__ = ["Address", "DeviceMemoryError"]
