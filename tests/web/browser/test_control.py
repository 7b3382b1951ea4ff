"""Trainings that are started, stopped and resumed in Chromium; the queue and the forms."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from job_board import end_jobs, request, until, write_training
from PIL import Image
from processes import served

from minicaffe.runs.record import read_record


@pytest.fixture
def control(tmp_path):
    """A board of a folder with an endless training in project/ and images of two classes."""
    folder = tmp_path / "folder"
    write_training(folder / "project")
    rng = np.random.default_rng(2)
    for name, level in (("cat", 40), ("dog", 200)):
        (folder / "images" / name).mkdir(parents=True)
        for k in range(10):
            values = rng.integers(level - 30, level + 30, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(values).save(folder / "images" / name / f"{k}.png")
    with served("board", folder) as (_, url):
        yield SimpleNamespace(url=url, folder=folder)
    end_jobs(folder)


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def test_a_training_is_started_stopped_and_resumed(control, open_page):
    page = open_page(f"{control.url}/new")
    assert page.get_by_label("Solver").input_value() == "project/solver.prototxt"
    assert page.get_by_text("Runs in project").is_visible()
    page.get_by_label("Learning rate").fill("0.02")
    button(page, "Train").click()
    page.get_by_role("heading", name="Jobs").wait_for()
    page.get_by_role("link", name="project/runs/solver-1").click()
    page.get_by_role("heading", name="project/runs/solver-1").wait_for()
    run = control.folder / "project" / "runs" / "solver-1"
    until(lambda: read_record(run).iteration > 2, "iterations")
    button(page, "Snapshot").click()
    page.get_by_text("project/runs/solver-1 writes a snapshot.").wait_for()
    until(lambda: list((control.folder / "project").glob("*.solverstate")), "a snapshot")
    button(page, "Stop").press("Enter")
    button(page, "Resume").wait_for()
    record = read_record(run)
    assert record.state == "stopped"
    state = record.snapshot["state"]
    assert page.locator(".controls code").inner_text().endswith(f" --snapshot={state}")
    button(page, "Resume").click()
    page.get_by_role("link", name="Jobs").click()
    page.get_by_role("link", name="project/runs/solver-2").wait_for()
    resumed = control.folder / "project" / "runs" / "solver-2"
    assert read_record(resumed).first_iteration == record.iteration
    assert "base_lr: 0.02" in (resumed / "solver.prototxt").read_text()
    button(page, "Stop: job 2").click()
    page.get_by_role("row").nth(1).get_by_text("stopped").wait_for()


def test_a_run_is_stopped_in_the_list(control, open_page):
    values = {"solver_file": "project/solver.prototxt"}
    request(f"{control.url}/api/jobs", "POST", {"command": "train", "values": values})
    page = open_page(control.url)
    row = page.get_by_role("row", name="project/runs/solver-1")
    row.get_by_role("button", name="Stop: project/runs/solver-1").click()
    row.get_by_role("button", name="Resume: project/runs/solver-1").wait_for()
    assert read_record(control.folder / "project" / "runs" / "solver-1").state == "stopped"
    assert row.get_by_role("button").count() == 1


def test_a_project_is_made_and_trained(control, open_page):
    page = open_page(f"{control.url}/new?form=new")
    page.get_by_label(re.compile("^Images")).fill("images")
    page.get_by_label(re.compile("^Folder of the project")).fill("pets")
    page.get_by_label("Size of the input").fill("16")
    button(page, "Make the project").click()
    page.get_by_role("link", name="Train pets").click()
    page.get_by_role("heading", name="Train").wait_for()
    assert page.get_by_label("Solver").input_value() == "pets/solver.prototxt"
    page.get_by_label("Iterations").fill("5")
    button(page, "Check first").click()
    page.get_by_text("pets/solver.prototxt: ").or_(page.get_by_text("solver.prototxt: ")).wait_for()
    button(page, "Train").click()
    page.get_by_role("link", name="pets/runs/solver-1").wait_for()
    page.get_by_role("row", name=re.compile("finished.*solver-1")).wait_for()


def test_findings_and_errors_are_shown(control, open_page):
    page = open_page(f"{control.url}/new")
    page.get_by_label("Further settings").fill("base_lrr=3")
    button(page, "Check first").click()
    page.get_by_text('has no field "base_lrr"').wait_for()
    page.get_by_label("Solver").fill("../solver.prototxt")
    button(page, "Train").click()
    page.get_by_role("alert").get_by_text("not below the folder of this board").wait_for()
    assert page.get_by_label("Further settings").input_value() == "base_lrr=3"
    page.get_by_label("Solver").fill("project/solver.prototxt")
    button(page, "Train").click()
    page.get_by_role("row", name=re.compile("failed, exit code 2")).wait_for()
    page.get_by_role("link", name="Log of job 1").click()
    page.locator("pre.log").get_by_text("'minicaffe train --help' shows the flags.").wait_for()
    (refusal,) = open_page.problems
    assert "404" in refusal  # Chromium logs the answer that the form has shown
    open_page.problems.clear()


def test_the_queue_is_ordered_by_keys(control, open_page):
    for seed in (1, 2, 3):
        values = {"solver_file": "project/solver.prototxt", "seed": seed}
        request(f"{control.url}/api/jobs", "POST", {"command": "train", "values": values})
    page = open_page(f"{control.url}/jobs")
    page.get_by_role("row", name="3 waiting (2/2)").wait_for()
    earlier = button(page, "Earlier: job 3")
    earlier.focus()
    page.keyboard.press("Enter")
    page.get_by_role("row", name="3 waiting (1/2)").wait_for()
    assert button(page, "Earlier: job 3").is_disabled()
    button(page, "Cancel: job 2").click()
    page.get_by_role("row", name=re.compile("^2 stopped")).wait_for()
    button(page, "Start again: job 2").click()
    page.get_by_role("row", name=re.compile(r"^4 waiting")).wait_for()
    button(page, "Remove: job 2").click()
    page.get_by_role("row", name=re.compile("^2 stopped")).wait_for(state="detached")


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (2560, "light")])
def test_pages_fit_speak_korean_and_are_accessible(control, open_page, width, scheme):
    for values in ({"seed": 1}, {"seed": 2}, {"settings": ["base_lrr=1"]}):
        body = {"command": "train", "values": {"solver_file": "project/solver.prototxt", **values}}
        number = request(f"{control.url}/api/jobs", "POST", body)[1]["id"]
    request(f"{control.url}/api/jobs/order", "POST", {"ids": [number]})
    request(f"{control.url}/api/jobs?id=2", "DELETE")
    for path in ("/jobs?job=1", "/new", "/new?form=new", "/"):
        page = open_page(f"{control.url}{path}", width=width, scheme=scheme, locale="ko")
        page.locator("section, form, table").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        if path.startswith("/new"):
            for more in page.locator("details summary").all():
                more.click()
            text = page.locator("main").inner_text()
            assert not re.search(r"[A-Za-z]{3,} [a-z]{2,} [a-z]{2,}", text), text
        page.close()


def test_a_board_that_only_shows(control, open_page):
    with served("board", control.folder, "--no_control") as (_, url):
        page = open_page(f"{url}/new")
        page.get_by_text("This board only shows: it was started with --no_control.").wait_for()
        assert page.get_by_role("button").count() == 0
        page = open_page(f"{url}/jobs")
        page.get_by_text("This board only shows").wait_for()
        folder = control.folder / "project" / "runs" / "a-1"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"state": "stopped", "max_iter": 4}))
        page = open_page(f"{url}/run?run=project/runs/a-1")
        page.get_by_text("Cannot be resumed from here: this board only shows").wait_for()
        assert page.locator(".controls button").count() == 0
        page.close()  # its stream would miss the server
