"""Takes the screenshots of docs/report.md from a run on the drawn photos.

    make demo
    pip install playwright && playwright install chromium
    python docs/make_screenshots.py --run demo/run

A browser that is already there may be named: ``--browser PATH``.
"""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from coarse2fine.cli import main as coarse2fine

COLOURS = 256
"""Of a screenshot, so that it stays small."""


class Shot(NamedTuple):
    """One screenshot: its name, the window, the colour scheme, and the part of the page that stands at its top."""

    name: str
    width: int
    height: int
    scheme: str
    section: str | None


SHOTS = (
    Shot("report-wide-light", 1400, 1180, "light", None),
    Shot("report-wide-dark", 1400, 1180, "dark", "#masks"),
    Shot("report-narrow-light", 390, 844, "light", "#masks"),
    Shot("report-narrow-dark", 390, 844, "dark", None),
)


def main() -> None:
    """Write the page of a run, open it in a browser without a window, take every screenshot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("demo/run"), help="run folder of coarse2fine demo")
    parser.add_argument("--browser", help="a Chromium; default: the one that playwright installed")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where the PNG files go")
    options = parser.parse_args()
    coarse2fine(["report", str(options.run)])
    take(options.run / "report.html", options.out, options.browser, SHOTS)


def take(page: Path, out: Path, browser: str | None, shots: Sequence[Shot]) -> None:
    """Take screenshots of a page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for shot in shots:
            size: Any = {"width": shot.width, "height": shot.height}
            window = chromium.new_page(viewport=size, color_scheme=shot.scheme)
            window.goto(page.absolute().as_uri())
            if shot.section:
                window.locator(shot.section).evaluate("element => element.scrollIntoView()")
            save(window.screenshot(), out / f"{shot.name}.png")
            window.close()
        chromium.close()


def save(png: bytes, path: Path) -> None:
    """Write a screenshot with few colours."""
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} KB")


if __name__ == "__main__":
    main()
