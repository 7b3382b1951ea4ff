"""The nets of this folder; `python -m models.generate` writes the repetitive ones."""
