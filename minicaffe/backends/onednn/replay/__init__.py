"""Repetition of the native calls of a pass without Python between them."""
