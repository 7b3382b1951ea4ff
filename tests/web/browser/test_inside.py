"""The net of a run, its weights, tests, images to try and data in Chromium."""

import base64
import re
import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from lenet import CLASSES
from PIL import Image
from playwright.sync_api import expect
from run_folders import write_run

from image_nets import picture, write_image_nets
from minicaffe.data.databases.stored_record import parse_record
from minicaffe.data.db import open_any_database

RUN = "/run?run=runs/first&tab="
SLOW_MS = 60_000

# Lets go of a file over an element, as a reader does who drags it from a folder.
DROP = """(zone, [name, content]) => {
  const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
  const dragged = new DataTransfer();
  dragged.items.add(new File([bytes], name, { type: "image/png" }));
  for (const kind of ["dragenter", "dragover", "drop"])
    zone.dispatchEvent(new DragEvent(kind,
      { dataTransfer: dragged, bubbles: true, cancelable: true }));
}"""


@pytest.fixture(scope="module")
def trained(board, tmp_path_factory):
    """A board with a finished run of LeNet, and runs of nets for objects and for pixels."""
    assert board.train("--run=runs/first", "--max_iter=300", "--keep_best=accuracy").wait() == 0
    folder = tmp_path_factory.mktemp("nets")
    write_image_nets(folder)
    for name in ("objects", "pixels"):
        run = write_run(board.folder / "runs" / name)
        shutil.copy(folder / f"{name}.prototxt", run / "train.prototxt")
        shutil.copy(folder / f"{name}.caffemodel", run / "last.caffemodel")
    return board


@pytest.fixture(scope="module")
def trouser(trained, tmp_path_factory):
    """An image of the test data that LeNet knows well, as a file."""
    path = tmp_path_factory.mktemp("images") / "trouser.png"
    with open_any_database(str(trained.folder / "data" / "test_lmdb")) as database:
        for key, value in database.items():
            record = parse_record(key, value, "test")
            if record.label == CLASSES.index("trouser"):
                Image.fromarray(record.image.decode(None, "test")[0].copy()).save(path)
                return path
    raise AssertionError("no trouser")


def drop(page, path):
    content = base64.b64encode(path.read_bytes()).decode()
    page.locator(".drop").evaluate(DROP, [path.name, content])


def test_a_dropped_image_is_classified(trained, trouser, open_page):
    page = open_page(f"{trained.url}{RUN}try")
    drop(page, trouser)
    rows = page.get_by_role("region", name="Classes").locator("tbody tr")
    expect(rows.first).to_contain_text("trouser", timeout=SLOW_MS)
    assert rows.count() == 5
    scores = [float(text) for text in rows.locator("td").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.5
    expect(page.locator("figcaption")).to_contain_text("trouser.png, 28 \u00d7 28")
    activations = page.get_by_alt_text("Activations of conv1")
    expect(activations).to_be_visible()
    page.get_by_label("Blob").select_option("pool2")
    expect(page.get_by_alt_text("Activations of pool2")).not_to_have_js_property("naturalWidth", 0)
    page.get_by_label("Weights").select_option(index=2)  # an earlier snapshot answers too
    expect(page.locator("figcaption")).to_contain_text("trouser.png, 28 \u00d7 28")


def test_a_file_that_is_no_image_gets_a_reason(trained, open_page, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no image")
    page = open_page(f"{trained.url}{RUN}try")
    page.locator("input[type=file]").set_input_files(text)
    expect(page.locator(".result .error")).to_contain_text("notes.txt")
    open_page.problems.clear()  # the browser logs each answer with status 400


def test_objects_and_masks_are_drawn(trained, open_page, tmp_path):
    image = tmp_path / "noise.png"
    image.write_bytes(picture())
    page = open_page(f"{trained.url}/run?run=runs/objects&tab=try")
    page.locator("input[type=file]").set_input_files(image)
    page.get_by_label("Least score").fill("0.05")
    expect(page.locator("rect.box").first).to_be_visible()
    n_rows = page.get_by_role("region", name="Objects").locator("tbody tr").count()
    assert page.locator("rect.box").count() == n_rows > 0
    page.goto(f"{trained.url}/run?run=runs/pixels&tab=try")
    page.locator("input[type=file]").set_input_files(image)
    expect(page.get_by_alt_text("Mask")).to_be_visible()
    expect(page.get_by_role("region", name="Classes").locator("tbody tr").first).to_be_visible()


def test_a_layer_of_the_net_is_shown_by_mouse_and_by_keyboard(trained, open_page):
    page = open_page(f"{trained.url}{RUN}net")
    layer = page.locator("section.layer")
    expect(layer).to_contain_text("Data")
    page.get_by_role("button", name="conv1", exact=True).click()
    expect(layer.get_by_role("heading", name="conv1")).to_be_visible()
    expect(layer).to_contain_text("64 \u00d7 20 \u00d7 24 \u00d7 24")
    expect(layer).to_contain_text("num_output: 20")
    expect(layer.locator(".ridges").first).to_be_visible()
    expect(layer).to_contain_text("3 of 3 snapshots")
    filters = layer.get_by_alt_text("Filters of conv1")
    expect(filters).to_be_visible()
    before = filters.get_attribute("src")
    layer.get_by_label("Snapshot").fill("0")
    assert filters.get_attribute("src") != before
    page.get_by_role("button", name="conv1", exact=True).press("ArrowDown")
    page.keyboard.press("Enter")
    expect(layer.get_by_role("heading", name="pool1")).to_be_visible()
    page.get_by_label("Layer", exact=True).first.select_option("relu1")
    expect(layer.get_by_role("heading", name="relu1")).to_be_visible()


def test_the_drawing_is_zoomed_and_moved(trained, open_page):
    page = open_page(f"{trained.url}{RUN}net")
    drawing = page.locator("svg.net")

    def view():
        return [float(one) for one in drawing.get_attribute("viewBox").split()]

    first = view()
    page.get_by_role("button", name="Zoom in").click()
    near = view()
    assert near[2] < first[2]
    box = page.locator(".frame").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 100, steps=4)
    page.mouse.up()
    assert view()[1] > near[1]
    page.get_by_role("button", name="mnist").focus()
    page.keyboard.press("0")
    assert view() == first
    page.get_by_role("button", name="Whole net").click()
    height = page.evaluate(
        "Math.max(...[...document.querySelectorAll('g rect')].map("
        "(one) => one.y.baseVal.value + one.height.baseVal.value))"
    )
    assert view()[1] + view()[3] > height > first[1] + first[3]


def test_a_snapshot_is_tested_and_its_mistakes_are_shown(trained, open_page):
    page = open_page(f"{trained.url}{RUN}tests")
    expect(page.get_by_text("There is no confusion matrix yet")).to_be_visible()
    page.get_by_label("Batches").fill("2")
    page.get_by_role("button", name="Test", exact=True).click()
    matrix = page.locator("table.matrix")
    expect(matrix).to_be_visible(timeout=2 * SLOW_MS)
    expect(page.locator(".total")).to_contain_text("of 200 right")
    counts = matrix.locator("tbody td").all_inner_texts()
    assert sum(int(text or 0) for text in counts) == 200
    cell = matrix.locator("button").first
    title = cell.get_attribute("title")
    cell.click()
    expect(page.get_by_role("heading", name=title)).to_be_focused()
    tile = page.locator(".tile").first
    expect(tile).to_contain_text("taken for")
    tile.click()
    expect(page.get_by_role("dialog")).to_contain_text("1 \u00d7 28 \u00d7 28")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="All mistakes").click()
    expect(page.get_by_role("heading", name=re.compile("^Mistakes, the most"))).to_be_visible()


def test_a_test_is_cancelled(trained, open_page):
    page = open_page(f"{trained.url}{RUN}tests")
    page.get_by_label("Batches").fill("100000")
    page.get_by_role("button", name="Test", exact=True).click()
    cancel = page.get_by_role("button", name="Cancel")
    cancel.click()
    expect(cancel).to_have_count(0, timeout=SLOW_MS)
    expect(page.locator(".panel .error")).to_have_count(0)
    results = trained.folder / "runs" / "first"
    assert {path.name for path in results.glob("confusion-*")} <= {"confusion-300"}


def test_data_are_shown_by_class_and_key(trained, open_page):
    page = open_page(f"{trained.url}{RUN}data")
    expect(page.get_by_text("10,000 records", exact=True)).to_be_visible(timeout=SLOW_MS)
    page.get_by_role("button", name="bag", exact=True).click()
    expect(page.get_by_role("heading", name="bag")).to_be_visible()
    expect(page.get_by_role("button", name="bag", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )
    labels = page.locator(".tile > span:first-of-type").all_inner_texts()
    assert set(labels) == {"bag"}
    first = page.locator(".tile .key").first.inner_text()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("page 2 of")).to_be_visible()
    assert page.locator(".tile .key").first.inner_text() != first
    page.get_by_label("Key").fill("00000004")
    page.get_by_role("button", name="Show the record").click()
    expect(page.get_by_role("dialog")).to_contain_text("00000004")
    page.get_by_role("button", name="Close").click()
    page.get_by_label("Key").fill("none")
    page.get_by_role("button", name="Show the record").click()
    expect(page.get_by_text("no record with this key")).to_be_visible()
    open_page.problems.clear()  # the browser logs the answer with status 404
    page.go_back()
    expect(page.get_by_text("page 1 of")).to_be_visible()


@pytest.mark.parametrize(
    ("width", "scheme", "locale"), [(360, "dark", "ko"), (1920, "light", "en")]
)
def test_tabs_fit_and_are_accessible(trained, trouser, open_page, width, scheme, locale):
    problems = {}
    page = open_page(trained.url, width, scheme=scheme, locale=locale)
    marks = {"net": ".ridges", "tests": "form", "try": ".drop", "data": ".tile"}
    for tab, mark in marks.items():
        page.goto(f"{trained.url}{RUN}{tab}")
        if tab == "net":
            page.locator("label select").last.select_option("conv1")
        if tab == "try":
            drop(page, trouser)
            page.wait_for_selector(".answer")
        page.wait_for_selector(mark, timeout=SLOW_MS)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            problems[tab] = "scrolls"
        found = Axe().run(page)
        if found.violations_count:
            problems[tab] = found.generate_report()
    assert problems == {}
