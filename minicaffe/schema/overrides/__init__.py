"""Settings of a command line that replace those of a solver and of its nets."""

from minicaffe.schema.overrides.override import Override, Overrides

__all__ = ["Override", "Overrides"]
