"""The page in a headless browser; skipped if playwright or Chromium is not installed."""

import os
import re
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
from PIL import Image

from coarse2fine.corrections.review import apply_review_decisions, list_rejected, read_decisions
from coarse2fine.masks.png import mask_path, read_mask, write_mask
from coarse2fine.runtime.console import Console
from coarse2fine.store.photos import read_photos
from coarse2fine.store.run import Run

expect = pytest.importorskip("playwright.sync_api", reason="no browser: pip install playwright").expect
HTML = "cat/<img src=x onerror=alert(1)>"


@pytest.fixture
def window(chromium):
    """A browser window; the test fails if a script fails or an unexpected dialog opens.

    A file name must not run as a script. The questions in ``page.answers`` are expected, with True for yes.
    """
    errors: list[str] = []
    answers: dict[str, bool] = {}

    def answer(dialog):
        expected = next((text for text in answers if text in dialog.message), None)
        if expected is None:
            errors.append(dialog.message)
        (dialog.accept if expected and answers.pop(expected) else dialog.dismiss)()

    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.set_default_timeout(30_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", answer)
    page.answers = answers
    yield page
    page.close()
    assert not errors and not answers


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
        assert window.locator(".grid .name").all_inner_texts() == ["cat/a", HTML, "dog/d", "cat/c", "dog/e"]
        for key in ("j", "j", "Enter"):
            window.keyboard.press(key)
        window.wait_for_selector("[data-part=legend] li")
        assert window.locator("#view h2").inner_text() == HTML and not window.locator("img[src=x]").count()
        assert "cat 6.8 %" in window.locator("[data-part=legend]").inner_text()
        window.keyboard.press(",")
        expect(window.locator("[data-part=stage-name]")).to_have_text("round 1")
        assert "cat 4.1 %" in window.locator("[data-part=legend]").inner_text()
        window.keyboard.press("a")  # accepts the mask of round 1, the one that is shown
        expect(window.locator("#view h2")).to_have_text("dog/d")
        assert f"{HTML}: accepted (round 1)" in window.locator("#message").inner_text()
        window.wait_for_selector("[data-part=legend] li")
        window.keyboard.press("j")
        expect(window.locator("#view h2")).to_have_text("cat/c")
        window.wait_for_selector("[data-part=legend] li")
        window.keyboard.press("r")
        expect(window.locator("#view h2")).to_have_text("dog/e")
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


def test_browser__undo_across_photos_and_the_next_undecided_one(drawn_run, window):
    with served(drawn_run) as url:
        open_photo(window, url, "cat/a")
        title, undo = window.locator("#view h2"), window.locator("[data-part=undo]")
        expect(undo).to_be_disabled()
        for key, name in (("a", HTML), ("r", "dog/d")):
            window.keyboard.press(key)
            expect(title).to_have_text(name)
            window.wait_for_selector("[data-part=legend] li")
        assert {name: one.decision for name, one in read_decisions(drawn_run.review).items()} == {
            "cat/a": "accepted",
            HTML: "rejected",
        }
        window.keyboard.press("g")
        window.locator(".grid a", has_text="dog/e").click()
        window.wait_for_selector("[data-part=legend] li")
        window.keyboard.press("n")
        expect(title).to_have_text("dog/d")  # starts again from the first photo, and leaves out the decided ones
        expect(undo).to_have_text("Undo decision z")
        window.wait_for_selector("[data-part=legend] li")
        window.keyboard.press("z")
        expect(title).to_have_text(HTML)
        expect(window.locator(".tag.undecided")).to_be_visible()
        window.keyboard.press("g")
        window.wait_for_selector(".grid li")
        window.keyboard.press("z")
        expect(title).to_have_text("cat/a")
        expect(window.locator(".tag.undecided")).to_be_visible()
        expect(undo).to_be_disabled()
        window.wait_for_selector("[data-part=legend] li")
        window.keyboard.press("r")
        expect(title).to_have_text(HTML)
        window.locator("#message-action", has_text="Undo").click()
        expect(title).to_have_text("cat/a")
    assert read_decisions(drawn_run.review) == {}


def test_browser__asks_before_an_empty_mask_is_used(drawn_run, window):
    write_mask(mask_path(drawn_run.enhanced(2), "cat/a"), np.zeros((30, 40), np.uint8))
    with served(drawn_run) as url:
        open_photo(window, url, "cat/a")
        window.answers["This mask is empty"] = False
        window.keyboard.press("a")
        expect(window.locator("#view h2")).to_have_text("cat/a")
        assert not window.answers and not read_decisions(drawn_run.review)
        window.answers["This mask is empty"] = True
        window.keyboard.press("a")
        expect(window.locator("#view h2")).to_have_text(HTML)
    assert read_decisions(drawn_run.review)["cat/a"].decision == "accepted"


def test_browser__wheel_and_two_fingers_zoom_at_their_place(drawn_run, window):
    with served(drawn_run) as url:
        open_photo(window, url, "cat/a")
        sheet = window.locator("[data-part=sheet]")
        before = sheet.bounding_box()
        x, y = before["x"] + 0.75 * before["width"], before["y"] + 0.25 * before["height"]
        window.mouse.move(x, y)
        window.mouse.wheel(0, -600)
        expect(sheet).to_have_class(re.compile("zoomed"))
        after = sheet.bounding_box()
        assert after["width"] > 2 * before["width"]
        place = (x - after["x"]) / after["width"], (y - after["y"]) / after["height"]
        assert place == pytest.approx((0.75, 0.25), abs=0.02)
        window.mouse.down()  # without a tool, the mouse moves the photo
        window.mouse.move(x - 50, y - 20, steps=2)
        window.mouse.up()
        moved = sheet.bounding_box()
        assert (moved["x"] - after["x"], moved["y"] - after["y"]) == pytest.approx((-50, -20), abs=2)
        for _ in range(5):
            window.mouse.wheel(0, 600)
        expect(sheet).not_to_have_class(re.compile("zoomed"))
        window.keyboard.press("b")  # two fingers zoom while a tool is selected, too, and draw nothing
        send = window.context.new_cdp_session(window).send
        for kind, distance in (("touchStart", 0), ("touchStart", 40), ("touchMove", 80), ("touchMove", 120)):
            fingers = [{"x": x - distance / 2, "y": y, "id": 1}, {"x": x + distance / 2, "y": y, "id": 2}]
            send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers[: 2 if distance else 1]})
        send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        assert sheet.bounding_box()["width"] == pytest.approx(3 * before["width"], rel=0.02)
        expect(window.locator("[data-part=save]")).to_be_disabled()


def test_browser__the_smart_brush_extends_a_stroke_in_one_step(drawn_run, window, photos_of):
    with served(drawn_run) as url:
        image = np.full((30, 40, 3), (40, 90, 40), np.uint8)
        image[8:26, 18:36] = (200, 60, 40)
        image = np.clip(image + np.random.default_rng(0).normal(0, 6, image.shape), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(photos_of / "dog" / "d.png")
        open_photo(window, url, "dog/d")
        before = window.locator("[data-part=legend]").inner_text()
        window.keyboard.press("w")
        for _ in range(4):
            window.keyboard.press("[")
        box = window.locator("[data-part=preview]").bounding_box()
        scale = box["width"] / 40
        window.mouse.move(box["x"] + 22 * scale, box["y"] + 17 * scale)
        window.mouse.down()
        window.mouse.move(box["x"] + 31 * scale, box["y"] + 17 * scale, steps=4)
        window.mouse.up()
        expect(window.locator("[data-part=save]")).to_be_enabled(timeout=60_000)  # it may be compiled first
        drawn = window.locator("[data-part=legend]").inner_text()
        window.keyboard.press("z")
        expect(window.locator("[data-part=legend]")).to_have_text(re.compile(before.split()[1]))
        assert drawn != before
        window.mouse.move(box["x"] + 22 * scale, box["y"] + 17 * scale)
        window.mouse.down()
        window.mouse.move(box["x"] + 31 * scale, box["y"] + 17 * scale, steps=4)
        window.mouse.up()
        expect(window.locator("[data-part=save]")).to_be_enabled()
        window.keyboard.press("s")
        window.wait_for_selector(".tag.fixed")
    stored = read_mask(drawn_run.review / "masks" / "dog/d.png") == 2
    object_ = np.zeros((30, 40), bool)
    object_[8:26, 18:36] = True
    earlier = read_mask(mask_path(drawn_run.enhanced(2), "dog/d")) == 2
    assert stored[earlier].all() and (stored & ~earlier)[object_ & ~earlier].mean() > 0.85
    assert (stored & ~object_ & ~earlier).sum() < 25


def test_browser__pages_are_accessible(drawn_run, add_network, window, photos_of, check_accessibility):
    add_network(drawn_run)
    with served(drawn_run) as url:
        window.goto(url)
        window.wait_for_selector(".grid li")
        check_accessibility(window)
        window.keyboard.press("?")
        check_accessibility(window)
        window.keyboard.press("Escape")
        window.locator(".grid a").first.click()
        window.wait_for_selector("[data-part=legend] li")
        window.keyboard.press("r")
        window.wait_for_selector("#message-action:visible")
        window.wait_for_selector("[data-part=legend] li")
        window.keyboard.press("w")
        check_accessibility(window)
        window.set_viewport_size({"width": 390, "height": 844})
        check_accessibility(window)
        window.goto(f"{url}#/try")
        window.set_input_files("[data-part=file]", photos_of / "cat" / "a.png")
        window.wait_for_selector("[data-part=result]:visible", timeout=180_000)
        check_accessibility(window)
    with served(drawn_run, "--token", "correct horse battery") as url:
        window.goto(url)
        window.wait_for_selector("#login:visible")
        check_accessibility(window)
