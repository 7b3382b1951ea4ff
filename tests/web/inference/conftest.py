"""A service for all tests of the package, and a function that starts others."""

import pytest
from service_process import Service, write_models

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("python_multipart")


@pytest.fixture(scope="package")
def service(tmp_path_factory):
    """A service of several models, with a root."""
    folder = tmp_path_factory.mktemp("service")
    write_models(folder)
    started = Service(folder, "models.json", "--root=.", "--notice_s=0", "--body_mb=4")
    yield started
    assert started.end() == 0
    assert "Traceback" not in started.log()


@pytest.fixture
def start(tmp_path):
    """A function that starts a service with some flags, in a folder with models."""
    write_models(tmp_path)
    started = []

    def begin(*words):
        started.append(Service(tmp_path, *words))
        return started[-1]

    yield begin
    for one in started:
        one.end()
