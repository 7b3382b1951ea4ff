"""Functions in C: compiled at installation, once for each instruction set, called by ctypes."""
