"""The pages of runs in Chromium, while LeNet trains."""


def test_a_run_that_trains_is_listed(board, open_page):
    board.train("--run=runs/first").wait()
    page = open_page(board.url)
    assert page.get_by_role("link", name="runs/first").is_visible()
