"""Layers that read videos."""
