"""Checks of a training that has not begun: its data, its first iterations."""
