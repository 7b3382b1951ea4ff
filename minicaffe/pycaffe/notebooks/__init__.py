"""Representations and progress in notebooks."""
