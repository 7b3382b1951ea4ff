"""The commands: one module each, found by `minicaffe.cli.main`."""
