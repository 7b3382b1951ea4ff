"""Runs of commands in an empty folder."""

from types import SimpleNamespace

import pytest

from minicaffe.cli.main import main


@pytest.fixture
def command(tmp_path, monkeypatch, capfd):
    """Run commands in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run_command_line(*words):
        capfd.readouterr()
        code = main([str(word) for word in words])
        return SimpleNamespace(code=code, **capfd.readouterr()._asdict())

    return run_command_line
