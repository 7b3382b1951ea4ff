"""Durations as text."""

from __future__ import annotations


def duration_text(seconds: float) -> str:
    """Return a time as minutes and seconds, or hours, minutes and seconds: ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
