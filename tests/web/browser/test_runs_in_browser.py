"""The pages of runs in Chromium, while LeNet trains."""

import re
import zipfile

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from processes import served
from run_folders import write_run

RUNS = ("runs/first", "runs/second")
PAGES = {
    "runs": "/",
    "curves": "/run?run=runs/first",
    "two": "/run?run=runs/first&with=runs/second",
    "settings": "/run?run=runs/first&tab=settings",
    "files": "/run?run=runs/first&tab=files",
    "log": "/run?run=runs/first&tab=log",
    "compare": "/compare?run=runs/first&run=runs/second",
    "none": "/run?run=no",
}


@pytest.fixture(scope="module")
def trained(board):
    """A board with two finished runs."""
    second = board.train("--run=runs/second", "--max_iter=100", "--set", "base_lr=0.002")
    assert second.wait() == 0
    assert board.train("--run=runs/first", "--max_iter=100", "--keep_best=accuracy").wait() == 0
    return board


def reached(text):
    """Return the iteration in the legend of a chart."""
    return int(re.search(r"at ([\d,]+)", text)[1].replace(",", ""))


def test_a_curve_grows_while_lenet_trains(board, open_page):
    page = open_page(board.url)
    training = board.train("--run=runs/live", "--max_iter=3000")
    page.get_by_role("link", name="runs/live").click()  # it appears by itself
    legend = page.locator(".legend").first
    expect(legend).to_contain_text("training")
    seen = {reached(legend.inner_text())}
    while training.poll() is None:
        page.wait_for_timeout(300)
        seen.add(reached(legend.inner_text()))
    expect(page.locator(".state")).to_contain_text("finished")
    expect(legend).to_contain_text("at 2,990")
    assert len(seen) > 1
    expect(page.locator(".facts")).to_contain_text("3,000 / 3,000")
    assert page.locator(".chart h2").all_inner_texts()[:2] == ["loss", "accuracy"]
    best = page.locator(".legend .best").inner_text()
    assert best.startswith("○ best 0.")


def test_runs_are_compared_by_keyboard_alone(trained, open_page):
    page = open_page(trained.url)
    expect(page.locator("table.runs tbody tr").nth(1)).to_be_visible()
    for name in RUNS:
        focus(page, f"Select {name}")
        page.keyboard.press("Space")
    focus(page, "Compare 2 runs", backwards=True)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Comparison")).to_be_visible()
    differing = page.get_by_role("region", name="Settings that differ")
    assert differing.get_by_role("row", name="base_lr").inner_text().split() == [
        *("base_lr", "0.01", "0.002")
    ]
    expect(page.locator(".legend").first).to_contain_text("runs/second · test")
    page.go_back()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()


def focus(page, name, backwards=False):
    """Press Tab until the element of a name has the focus."""
    for _ in range(60):
        page.keyboard.press("Shift+Tab" if backwards else "Tab")
        label = page.evaluate(
            "[document.activeElement.ariaLabel, document.activeElement.textContent]"
        )
        if name in label:
            return
    raise AssertionError(f"{name} is not reached")


def test_a_chart_is_read_and_zoomed_by_keyboard(trained, open_page):
    page = open_page(f"{trained.url}/run?run=runs/first")
    page.locator(".area").first.focus()
    legend = page.locator(".legend").first
    page.keyboard.press("Home")
    expect(legend).to_contain_text("at 0")
    page.keyboard.press("End")
    reset = page.get_by_role("button", name="Reset zoom")
    expect(reset).to_be_disabled()
    page.keyboard.press("+")
    expect(reset).to_be_enabled()
    page.keyboard.press("0")
    expect(reset).to_be_disabled()
    page.get_by_text("Values").first.click()
    table = page.get_by_role("region", name="training").first
    expect(table.get_by_role("row")).to_have_count(11)  # each tenth of 100 iterations is displayed


def test_settings_of_the_charts_are_kept(trained, open_page):
    page = open_page(f"{trained.url}/run?run=runs/first")
    page.get_by_text("Epoch").click()
    page.get_by_label("Smoothing").fill("0.9")
    page.get_by_role("button", name="Log scale").first.click()
    page.reload()
    expect(page.get_by_label("Epoch")).to_be_checked()
    expect(page.get_by_label("Smoothing")).to_have_value("0.9")
    expect(page.get_by_role("button", name="Log scale").first).to_have_attribute(
        "aria-pressed", "true"
    )
    expect(page.locator(".legend").first).to_contain_text("at 0.576")  # 90 x 64 / 10,000


def test_a_chart_is_zoomed_by_mouse(trained, open_page):
    page = open_page(f"{trained.url}/run?run=runs/first")
    box = page.locator(".u-over").first.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 30, steps=4)
    page.mouse.up()
    reset = page.get_by_role("button", name="Reset zoom")
    expect(reset).to_be_enabled()
    page.locator(".u-over").first.dblclick()
    expect(reset).to_be_disabled()


def test_another_run_is_laid_over(trained, open_page):
    page = open_page(f"{trained.url}/run?run=runs/first")
    page.get_by_label("Add a run").select_option("runs/second")
    expect(page.locator(".legend").first).to_contain_text("runs/second · training")
    assert page.url.endswith("with=runs%2Fsecond")
    page.get_by_role("button", name="Remove runs/second").click()
    expect(page.locator(".legend").first).not_to_contain_text("runs/second")


def test_the_list_is_filtered_and_sorted(trained, open_page):
    page = open_page(trained.url)
    rows = page.locator("table.runs tbody th")
    page.get_by_role("button", name="Name").click()
    shown = rows.all_inner_texts()
    assert shown == sorted(shown)
    assert set(RUNS) <= set(shown)
    page.get_by_role("button", name="Name").click()
    assert rows.all_inner_texts() == shown[::-1]
    page.get_by_role("searchbox").fill("SECOND")
    expect(rows).to_have_text(["runs/second"])
    page.get_by_label("State").select_option("failed")
    expect(rows).to_have_count(0)


def test_the_archive_is_downloaded(trained, open_page):
    page = open_page(f"{trained.url}/run?run=runs/first&tab=files")
    with page.expect_download() as download:
        page.get_by_role("link", name="Archive with the best weights").click()
    assert download.value.suggested_filename == "first.zip"
    with zipfile.ZipFile(download.value.path()) as archive:
        assert sorted(archive.namelist()) == [
            *("best.caffemodel", "deploy.prototxt", "labels.txt", "train_val.prototxt")
        ]


def test_korean(trained, open_page):
    page = open_page(trained.url, locale="ko-KR")
    expect(page.get_by_role("heading", name="학습")).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "ko"
    expect(page.locator("table.runs .state").last).to_contain_text("완료")
    page.get_by_label("언어").select_option("en")
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()


def test_dark_is_chosen(trained, open_page):
    page = open_page(trained.url)
    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    page.get_by_label("Colours").select_option("dark")
    assert page.evaluate(colour) == "rgb(21, 25, 30)"
    page.reload()
    assert page.evaluate(colour) == "rgb(21, 25, 30)"


@pytest.mark.parametrize(
    ("width", "scheme", "locale"), [(360, "light", "ko"), (1920, "dark", "en")]
)
def test_pages_fit_and_are_accessible(trained, open_page, width, scheme, locale):
    problems = {}
    page = open_page(trained.url, width, scheme=scheme, locale=locale)
    for name, address in PAGES.items():
        page.goto(trained.url + address)
        page.wait_for_selector(".uplot" if name in ("curves", "two", "compare") else "h1")
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            problems[name] = "scrolls"
        found = Axe().run(page)
        if found.violations_count:
            problems[name] = found.generate_report()
    open_page.problems[:] = [one for one in open_page.problems if "/api/run?run=no" not in one]
    assert problems == {}


def test_a_folder_without_runs(tmp_path, open_page):
    with served("board", tmp_path) as (_, url):
        page = open_page(url)
        expect(page.get_by_text("minicaffe train SOLVER.prototxt")).to_be_visible()
        expect(page.get_by_role("searchbox")).not_to_be_visible()
        assert Axe().run(page).violations_count == 0
        write_run(tmp_path / "first")  # which appears by itself
        expect(page.get_by_role("link", name="first")).to_be_visible()
        expect(page.get_by_role("searchbox")).to_be_visible()
        page.close()


def test_the_page_goes_on_when_the_server_is_there_again(trained, open_page):
    with served("board", trained.folder) as (_, url):
        page = open_page(url)
        page.wait_for_selector("table.runs")
    expect(page.get_by_text("The server does not answer")).to_be_visible()
    with served("board", trained.folder, port=url.rpartition(":")[2]):
        expect(page.get_by_text("The server does not answer")).not_to_be_visible()
        page.close()
    open_page.problems.clear()
