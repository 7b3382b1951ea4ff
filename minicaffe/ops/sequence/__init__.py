"""Contracts of ops on sequences of labels (OCR, speech)."""
