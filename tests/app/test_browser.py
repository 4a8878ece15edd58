"""The page in a headless browser; skipped if playwright or Chromium is not installed."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from coarse2fine.corrections.review import apply_review_decisions, list_rejected, read_decisions
from coarse2fine.masks.png import mask_path, read_mask
from coarse2fine.runtime.console import Console
from coarse2fine.store.photos import read_photos
from coarse2fine.store.run import Run

sync_api = pytest.importorskip("playwright.sync_api", reason="the browser test needs: pip install playwright")
expect = sync_api.expect
HTML = "cat/<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def chromium():
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"the browser test needs a Chromium (CHROMIUM=PATH, or playwright install chromium): {error}")
        yield browser
        browser.close()


@pytest.fixture
def window(chromium):
    """A browser window; the test fails if a script fails or a dialog opens (a file name must not run as a script)."""
    errors: list[str] = []
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(30_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: (errors.append(dialog.message), dialog.dismiss()))
    yield page
    page.close()
    assert not errors


@contextmanager
def served(run: Run, *options: str):
    """Run ``coarse2fine app`` in a process of its own; yield its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "coarse2fine", "app", str(run.root), "--port", str(port), "--threads", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    url, deadline = f"http://127.0.0.1:{port}/", time.monotonic() + 90
    try:
        while True:
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
            try:
                httpx.get(url, timeout=5).raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield url
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    finally:
        process.kill()
        process.wait()


def open_photo(window, url: str, name: str) -> None:
    window.goto(url)
    window.locator(".grid a", has_text=name).first.click()
    window.wait_for_selector("[data-part=legend] li")


def test_browser__decisions_survive_a_restart_and_fit_uses_them(drawn_run, window):
    with served(drawn_run) as url:
        window.goto(url)
        window.wait_for_selector(".grid li")
        assert window.locator(".grid .name").all_inner_texts() == ["cat/a", HTML, "cat/c", "dog/d", "dog/e"]
        for key in ("j", "j", "Enter"):
            window.keyboard.press(key)
        window.wait_for_selector("[data-part=legend] li")
        assert window.locator("#view h2").inner_text() == HTML and not window.locator("img[src=x]").count()
        assert "cat 6.8 %" in window.locator("[data-part=legend]").inner_text()
        window.keyboard.press(",")
        expect(window.locator("[data-part=stage-name]")).to_have_text("round 1")
        assert "cat 4.1 %" in window.locator("[data-part=legend]").inner_text()
        window.keyboard.press("a")  # accepts the mask of round 1, the one that is shown
        expect(window.locator("#view h2")).to_have_text("cat/c")
        assert f"{HTML}: accepted (round 1)" in window.locator("#message").inner_text()
        window.wait_for_selector("[data-part=legend] li")
        window.keyboard.press("r")
        expect(window.locator("#view h2")).to_have_text("dog/d")
    with served(drawn_run) as url:
        window.goto(url)
        window.wait_for_selector(".grid a.accepted")
        assert "1 accepted, 0 fixed, 1 rejected" in window.locator("[data-part=summary]").inner_text()
        photos = read_photos(drawn_run).photos
        apply_review_decisions(drawn_run.review, photos, drawn_run.corrected, Console(quiet=True))  # as fit does
        taken = mask_path(drawn_run.corrected, HTML).read_bytes()
        assert taken == mask_path(drawn_run.enhanced(1), HTML).read_bytes()
        assert list_rejected(photos, drawn_run.corrected) == ["cat/c"]
        open_photo(window, url, "cat/c")
        window.keyboard.press("u")
        window.wait_for_selector(".tag.undecided")
    assert set(read_decisions(drawn_run.review)) == {HTML}


def test_browser__a_stroke_changes_the_stored_mask(drawn_run, window):
    before = read_mask(mask_path(drawn_run.enhanced(2), "dog/d"))
    with served(drawn_run) as url:
        open_photo(window, url, "dog/d")
        window.keyboard.press("b")
        box = window.locator("[data-part=preview]").bounding_box()
        scale = box["width"] / 40
        window.mouse.move(box["x"] + 20 * scale, box["y"] + 24 * scale)
        window.mouse.down()
        window.mouse.move(box["x"] + 32 * scale, box["y"] + 24 * scale, steps=5)
        window.mouse.up()
        window.keyboard.press("p")
        for x, y in ((1, 16), (5, 16), (5, 20), (1, 20)):
            window.mouse.click(box["x"] + x * scale, box["y"] + y * scale)
        window.keyboard.press("Enter")
        window.keyboard.press("e")
        window.mouse.click(box["x"] + 4 * scale, box["y"] + 4 * scale)
        window.keyboard.press("z")  # undoes the stroke of the eraser
        window.keyboard.press("s")
        window.wait_for_selector(".tag.fixed")
        assert window.locator("[data-part=stage-name]").inner_text() == "your mask"
    stored = read_mask(drawn_run.review / "masks" / "dog/d.png")
    expected = before.copy()
    expected[16:20, 1:5] = 2
    assert (stored[24, 18:34] == 2).all() and (stored[18:29] == 2).any(axis=1).all()
    assert np.array_equal(stored[:16], before[:16]) and np.array_equal(stored[16:18], expected[16:18])
    assert (stored[:, 40 - 1] == 0).all() and (stored == 2).sum() > (before == 2).sum() + 150


def test_browser__drawing_with_keys_only(drawn_run, window):
    with served(drawn_run) as url:
        open_photo(window, url, "cat/a")
        for key in ("e", "ArrowLeft", "ArrowUp", " ", "s"):
            window.keyboard.press(key)
        window.wait_for_selector(".tag.fixed")
    stored = read_mask(drawn_run.review / "masks" / "cat/a.png")
    before = read_mask(mask_path(drawn_run.enhanced(2), "cat/a"))
    assert (stored != before).sum() > 0 and (stored[before == 0] == 0).all() and stored[9, 13] == 0


def test_browser__a_photo_is_segmented_and_a_huge_one_rejected(drawn_run, add_network, window, photos_of, tmp_path):
    add_network(drawn_run)
    huge = tmp_path / "huge.jpg"
    huge.touch()
    os.truncate(huge, 100_000_000)
    named = Path(shutil.copy(photos_of / "cat" / "a.png", tmp_path / HTML.split("/")[1]))
    with served(drawn_run) as url:
        window.goto(f"{url}#/try")
        window.set_input_files("[data-part=file]", named)
        window.wait_for_selector("[data-part=result]:visible", timeout=180_000)  # includes the import of torch
        assert window.locator("h3 bdi").inner_text() == named.name and not window.locator("img[src=x]").count()
        assert window.locator("[data-part=classes]").inner_text() == "Classes in this photo: dog."
        assert "dog 100 %" in window.locator("[data-part=legend]").inner_text()
        alpha = "document.querySelector('[data-part=overlay]').getContext('2d').getImageData(20, 15, 1, 1).data[3]"
        assert window.evaluate(alpha) == 255
        window.keyboard.press("1")
        assert window.evaluate(alpha) == 0
        opacity = window.locator("[data-part=overlay]").evaluate("canvas => canvas.style.opacity")
        window.keyboard.press("o")
        assert float(window.locator("[data-part=overlay]").evaluate("c => c.style.opacity")) < float(opacity)
        window.set_input_files("[data-part=file]", huge)
        window.wait_for_selector("[data-part=classes].error")
        assert "at most 20 MB, but huge.jpg has 100.0 MB" in window.locator("[data-part=classes]").inner_text()
        answer = httpx.post(f"{url}api/segment", content=bytes(100_000_000), headers={"x-coarse2fine": "1"})
        assert answer.status_code == 413 and "at most 20 MB; send a smaller one" in answer.json()["error"]


def test_browser__requires_the_token(drawn_run, window):
    with served(drawn_run, "--token", "correct horse battery") as url:
        window.goto(url)
        window.fill("#token", "wrong")
        window.keyboard.press("Enter")
        expect(window.locator("#login-error")).to_contain_text("Wrong token")
        window.fill("#token", "correct horse battery")
        window.keyboard.press("Enter")
        expect(window.locator(".grid li").first).to_be_visible()
        assert window.locator("#token").is_hidden()
