"""The pages in a headless browser; skipped if there is none."""

from pathlib import Path

import pytest

from coarse2fine.report.comparison_page import write_comparison
from coarse2fine.report.page import write_report
from coarse2fine.report.run_summary import read_run_summary


@pytest.fixture
def pages(draw_run, tmp_path) -> dict[str, Path]:
    """The report of a run and the comparison with another run."""
    runs = [draw_run({"cat": [f"cat/{n}" for n in range(12)], "dog": ["dog/0"]}, folder=name) for name in ("run", "b")]
    files = {name: tmp_path / f"{name}.html" for name in ("report", "comparison")}
    write_report(*runs[0], files["report"], threads=1)
    write_comparison(*(read_run_summary(*one) for one in runs), files["comparison"], threads=1)
    return files


@pytest.mark.parametrize("name", ["report", "comparison"])
@pytest.mark.parametrize("width", [1200, 390])
def test_browser__pages_are_accessible_and_fit_the_window(chromium, pages, check_accessibility, name, width):
    page = chromium.new_page(viewport={"width": width, "height": 900})
    page.goto(pages[name].as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    check_accessibility(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator(".enlarge").nth(1).click()
    check_accessibility(page)
    page.close()


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_browser__a_picture_is_enlarged_by_a_key_and_closed_again(chromium, pages, name):
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.goto(pages[name].as_uri())
    small = page.locator(".enlarge").nth(1)
    small.focus()
    page.keyboard.press("Enter")
    large = page.locator(".large:popover-open")
    assert large.count() == 1 and large.locator("svg").bounding_box()["width"] > 2 * small.bounding_box()["width"]
    page.keyboard.press("Escape")
    assert large.count() == 0
    page.close()
