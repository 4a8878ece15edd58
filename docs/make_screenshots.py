"""Takes the screenshots of docs/report.md and docs/app.md from a run on the drawn photos.

    make demo
    pip install playwright && playwright install chromium
    python docs/make_screenshots.py --run demo/run

A browser that is already there may be named: ``--browser PATH``.
"""

import argparse
import io
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from coarse2fine.cli import main as coarse2fine

COLORS = 256
"""Of a screenshot, so that it stays small."""


class Shot(NamedTuple):
    """One screenshot: its name, the window, the color scheme, and the part of the page that stands at its top."""

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


class AppShot(NamedTuple):
    """One screenshot of the app: its name, the window, the color scheme, and what is done before."""

    name: str
    width: int
    height: int
    scheme: str
    prepare: Callable[[Any, Path], None]


def show_list(window: Any, _run: Path) -> None:
    """The photos, lowest score first."""
    window.wait_for_selector(".grid li")
    window.wait_for_load_state("networkidle")


def show_photo(window: Any, run: Path) -> None:
    """The eleventh photo, with a brush."""
    show_list(window, run)
    window.locator(".grid a").nth(10).click()
    window.wait_for_selector("[data-part=legend] li")
    if window.viewport_size["width"] > 900:
        window.keyboard.press("b")
        window.locator("[data-part=preview]").hover()


def show_found(window: Any, run: Path) -> None:
    """A dropped photo of several classes."""
    window.locator("[data-view='/try']").click()
    photo = sorted((run.parent / "data" / "val" / "images").iterdir())[1]
    window.set_input_files("[data-part=file]", photo)
    window.wait_for_selector("[data-part=result]:visible", timeout=120_000)
    window.locator("[data-part=classes]").evaluate("element => element.scrollIntoView()")


APP_SHOTS = (
    AppShot("app-wide-light", 1400, 860, "light", show_list),
    AppShot("app-wide-dark", 1400, 900, "dark", show_photo),
    AppShot("app-narrow-light", 390, 844, "light", show_photo),
    AppShot("app-narrow-dark", 390, 844, "dark", show_found),
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
    take_app(options.run, options.out, options.browser, APP_SHOTS)


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


def take_app(run: Path, out: Path, browser: str | None, shots: Sequence[AppShot]) -> None:
    """Take screenshots of the app, whose decisions are left as they are."""
    from playwright.sync_api import sync_playwright

    with served(run) as url, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for shot in shots:
            size: Any = {"width": shot.width, "height": shot.height}
            window = chromium.new_page(viewport=size, color_scheme=shot.scheme)
            window.goto(url)
            shot.prepare(window, run)
            save(window.screenshot(), out / f"{shot.name}.png")
            window.close()
        chromium.close()


@contextmanager
def served(run: Path) -> Iterator[str]:
    """The app of a run in a process of its own, on any free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "coarse2fine", "app", str(run), "--port", str(port)])
    try:
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


def save(png: bytes, path: Path) -> None:
    """Write a screenshot with few colors."""
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} KB")


if __name__ == "__main__":
    main()
