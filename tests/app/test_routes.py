import asyncio
import io
import json
import os
import shutil
import sys
from collections.abc import Iterator
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image
from starlette.datastructures import URL
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient

from coarse2fine.app import routes
from coarse2fine.app.access import CSRF_HEADER
from coarse2fine.app.photo_list import PHOTOS_PER_PAGE, expected_gain
from coarse2fine.corrections.review import read_decisions
from coarse2fine.masks.png import mask_path, read_mask, write_mask
from coarse2fine.runtime.files import hash_file, read_json, size_and_time, write_json
from coarse2fine.serving import uploads

HTML = "cat/<img src=x onerror=alert(1)>"


def get_mask(client: TestClient, name: str, stage: str) -> tuple[np.ndarray, str]:
    response = client.get("/api/mask", params={"name": name, "stage": stage})
    assert response.status_code == 200, response.text
    size = int(response.headers["x-height"]), int(response.headers["x-width"])
    return np.frombuffer(response.content, np.uint8).reshape(size), response.headers["x-fingerprint"]


def decide(client: TestClient, name: str, decision: str | None, stage: str = "round-2", fingerprint: str | None = None):
    if fingerprint is None and decision == "accepted":
        fingerprint = get_mask(client, name, stage)[1]
    body = {"decision": decision, "stage": stage, "fingerprint": fingerprint or ""}
    return client.post("/api/decision", params={"name": name}, json=body)


def names(client: TestClient, **choice: object) -> list[str]:
    return [photo["name"] for photo in client.get("/api/photos", params=choice).json()["photos"]]


def test_photos__are_filtered_and_sorted(drawn_run, open_app):
    client = open_app(drawn_run)
    by_name = ["cat/" + HTML[4:], "cat/a", "cat/c", "dog/d", "dog/e"]
    assert names(client, order="name") == sorted(by_name)
    assert names(client, order="lowest") == ["cat/a", HTML, "cat/c", "dog/d", "dog/e"]
    assert names(client, order="highest", **{"class": "dog"}) == ["dog/e", "dog/d"]
    decide(client, "dog/d", "rejected")
    assert names(client, state="rejected") == ["dog/d"] and "dog/d" not in names(client, state="undecided")
    about = client.get("/api/photo", params={"name": "dog/d", "state": "undecided", "order": "lowest"}).json()
    assert (about["previous"], about["next"], about["position"], about["total"]) == ("cat/c", "dog/e", None, 4)
    assert client.get("/api/photos", params={"page": 99}).json()["page"] == 1


def test_photos__are_sorted_by_expected_gain(drawn_run, open_app, photos_of):
    """The default order: (1 - score) x sqrt(largest class / own class), here of 3 cats and 2 dogs."""
    client = open_app(drawn_run)
    gains = {"cat/a": 1.0, HTML: 0.9, "cat/c": 0.8, "dog/d": 0.7 * 1.5**0.5, "dog/e": 0.6 * 1.5**0.5}
    assert names(client) == names(client, order="gain") == sorted(gains, key=gains.get, reverse=True)
    assert names(client)[2:] == ["dog/d", "cat/c", "dog/e"]
    assert names(client, order="lowest") == ["cat/a", HTML, "cat/c", "dog/d", "dog/e"]
    reasons = read_json(drawn_run.round(2) / "filter.json")
    write_json(drawn_run.round(2) / "filter.json", reasons | {"dog/e": "foreground 99 % is above 80 %"})
    assert names(client) == ["dog/e", "cat/a", HTML, "dog/d", "cat/c"]  # left out: the score is not believed
    assert expected_gain(0.5, photos=1, largest=10_000) == 2  # four times that of the largest class, at most


def test_photo__names_the_next_undecided_one(drawn_run, open_app):
    client = open_app(drawn_run)

    def next_undecided(name: str, **choice: object) -> str | None:
        return client.get("/api/photo", params={"name": name, "order": "name", **choice}).json()["next_undecided"]

    assert next_undecided("cat/a") == "cat/c" and next_undecided("dog/e") == HTML  # from the first again
    decide(client, "cat/c", "rejected")
    assert next_undecided("cat/a") == "dog/d" and next_undecided("cat/a", **{"class": "cat"}) == HTML
    assert next_undecided("cat/c", state="rejected") == "dog/d"
    for name in (HTML, "cat/a", "dog/e"):
        decide(client, name, "rejected")
    assert next_undecided("cat/a") == "dog/d" and next_undecided("dog/d") is None


def test_photos__are_paged(drawn_run, open_app, photos_of):
    for index in range(2 * PHOTOS_PER_PAGE):
        shutil.copy(photos_of / "cat" / "a.png", photos_of / "cat" / f"z{index:03}.png")
    usable = {str(path): size_and_time(path) for path in photos_of.rglob("*.png")}
    write_json(drawn_run.photos, read_json(drawn_run.photos) | {"usable": usable})
    client = open_app(drawn_run)
    found = client.get("/api/photos", params={"page": 3}).json()
    assert found["total"] == 2 * PHOTOS_PER_PAGE + 5 and found["pages"] == 3 and len(found["photos"]) == 5
    assert len(names(client)) == PHOTOS_PER_PAGE and names(client)[0] == "dog/d"  # photos without a score come last


def test_photo__describes_stages_score_and_why_it_was_left_out(drawn_run, open_app):
    client = open_app(drawn_run)
    about = client.get("/api/photo", params={"name": "cat/a"}).json()
    assert about["stages"] == ["coarse", "enhanced", "round-1", "round-2"]
    assert (about["height"], about["width"], about["label"]) == (30, 40, 1)
    assert about["quality"]["score"] == 0 and about["left_out"] == "foreground 0.4 % is below 1 %"
    (drawn_run.round(2) / "filter.json").unlink()
    write_json(drawn_run.filter_file(0), {"cat/a": "foreground is empty"})
    about = client.get("/api/photo", params={"name": "cat/a"}).json()
    assert about["left_out"] == "foreground is empty"  # before round 1
    areas = [(get_mask(client, "cat/a", stage)[0] == 1).sum() for stage in about["stages"]]
    assert areas == [16, 25, 49, 81]
    assert client.get("/api/image", params={"name": HTML}).headers["content-type"] == "image/jpeg"
    thumb = Image.open(io.BytesIO(client.get("/api/thumbnail", params={"name": HTML}).content))
    assert thumb.size == (40, 30) and thumb.getpixel((9, 8)) != thumb.getpixel((35, 25))


def test_run__without_scores_and_rounds_is_sorted_by_name(drawn_run, open_app):
    for number in (1, 2):
        shutil.rmtree(drawn_run.round(number))
    client = open_app(drawn_run)
    run = client.get("/api/run").json()
    assert run["scored"] is False and run["rounds"] == 0 and run["counts"] == [0, 3, 2]
    assert names(client) == names(client, order="name")
    assert client.get("/api/photo", params={"name": "dog/e"}).json()["stages"] == ["coarse", "enhanced"]
    response = client.post("/api/segment", content=b"x")
    assert response.status_code == 409 and "has no network yet" in response.json()["error"]


def test_decision__is_saved_immediately_and_survives_a_restart(drawn_run, open_app):
    first = open_app(drawn_run)
    assert decide(first, HTML, "accepted").status_code == decide(first, "dog/e", "rejected").status_code == 200
    kept = read_decisions(drawn_run.review)
    assert {name: one.decision for name, one in kept.items()} == {HTML: "accepted", "dog/e": "rejected"}
    accepted = drawn_run.review / "masks" / f"{HTML}.png"
    assert accepted.read_bytes() == mask_path(drawn_run.enhanced(2), HTML).read_bytes()
    second = open_app(drawn_run)
    assert second.get("/api/run").json()["states"] == {"undecided": 3, "accepted": 1, "rejected": 1}
    assert second.get("/api/photo", params={"name": HTML}).json()["stages"][-1] == "reviewed"
    assert decide(second, HTML, None).status_code == 200
    assert not accepted.exists() and HTML not in read_decisions(drawn_run.review)
    assert not drawn_run.corrected.exists()  # only fit writes that folder


def undo(client: TestClient, response):
    return client.post("/api/undo", json={"change": response.json()["undo"]})


def test_undo__restores_decisions_and_masks_of_several_photos(drawn_run, open_app):
    client = open_app(drawn_run)
    mask, fingerprint = get_mask(client, "cat/a", "round-2")
    drawn = mask.copy()
    drawn[20:] = 2
    where = {"name": "cat/a", "stage": "round-2", "fingerprint": fingerprint}
    changes = [
        client.put("/api/mask", params=where, content=drawn.tobytes()),
        decide(client, "dog/d", "accepted"),
        decide(client, "cat/a", "rejected"),
        decide(client, "cat/a", None),
    ]
    fixed = read_decisions(drawn_run.review)  # without cat/a
    assert set(fixed) == {"dog/d"}
    assert undo(client, changes[3]).json() == {"name": "cat/a"}
    assert read_decisions(drawn_run.review)["cat/a"].decision == "rejected"
    assert undo(client, changes[2]).status_code == 200
    assert read_decisions(drawn_run.review)["cat/a"].decision == "fixed"
    assert np.array_equal(read_mask(drawn_run.review / "masks" / "cat/a.png"), drawn)  # rejecting had deleted it
    assert undo(client, changes[1]).json() == {"name": "dog/d"}
    assert undo(client, changes[0]).status_code == 200
    assert read_decisions(drawn_run.review) == {} and not list((drawn_run.review / "masks").rglob("*.png"))
    again = undo(client, changes[0])
    assert again.status_code == 404 and "can no longer be undone" in again.json()["error"]


def test_undo__does_not_overwrite_a_newer_decision(drawn_run, open_app, monkeypatch):
    monkeypatch.setattr("coarse2fine.app.undo.MAX_STEPS", 2)
    client = open_app(drawn_run)
    first = decide(client, "cat/a", "rejected")
    decide(client, "cat/a", "accepted")
    response = undo(client, first)
    assert response.status_code == 409 and "has been changed again since" in response.json()["error"]
    assert read_decisions(drawn_run.review)["cat/a"].decision == "accepted"
    decide(client, "dog/d", "rejected")
    assert undo(client, first).status_code == 404  # only the last two are kept
    assert client.post("/api/undo", json={"change": "x"}).status_code == 422


def test_smart_brush__finds_the_object_under_a_stroke(drawn_run, open_app, photos_of):
    client = open_app(drawn_run)
    image = np.full((30, 40, 3), (40, 90, 40), np.uint8)
    image[8:22, 10:28] = (200, 60, 40)
    image = np.clip(image + np.random.default_rng(0).normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    Image.fromarray(image).save(photos_of / "cat" / "a.png")
    hints = np.zeros((20, 30), np.uint8)
    hints[11:14, 12:24] = 1  # rows 13 to 15, columns 13 to 24 of the photo
    response = client.post("/api/smart-brush", params=STROKE_BOX | {"reach": 9.0}, content=hints.tobytes())
    assert response.status_code == 200, response.text
    found = np.zeros((30, 40), bool)
    found[2:22, 1:31] = np.frombuffer(response.content, np.uint8).reshape(20, 30) == 1
    object_ = np.zeros((30, 40), bool)
    object_[8:22, 10:28] = True
    assert (found & object_).sum() / (found | object_).sum() > 0.9
    assert not drawn_run.review.exists()  # it saves nothing


@pytest.mark.parametrize(
    "box, content, status, message",
    [
        ({"x": 11}, bytes(600), 422, "The stroke must lie in the photo of 40 x 30 pixels"),
        ({"reach": 0}, bytes(600), 422, "greater than 0"),
        ({"width": -1}, bytes(600), 422, "greater than or equal to 1"),
        ({"name": "cat/nothing"}, bytes(600), 404, "no photo named"),
        ({}, bytes(601), 413, "600 bytes at most"),
        ({}, bytes(599), 409, "30 x 20 pixels"),
        ({}, b"\x03" * 600, 409, "but contains 3"),
    ],
)
def test_smart_brush__an_invalid_stroke_is_rejected(drawn_run, open_app, box, content, status, message):
    response = open_app(drawn_run).post("/api/smart-brush", params=STROKE_BOX | box, content=content)
    assert response.status_code == status and message in response.text


def test_decision__about_a_changed_mask_is_rejected(drawn_run, open_app):
    client = open_app(drawn_run)
    fingerprint = get_mask(client, "cat/a", "round-2")[1]
    write_mask(mask_path(drawn_run.enhanced(2), "cat/a"), np.ones((30, 40), np.uint8))
    response = decide(client, "cat/a", "accepted", fingerprint=fingerprint)
    assert response.status_code == 409 and "has changed since you opened" in response.json()["error"]
    assert not read_decisions(drawn_run.review)


def test_decision__about_a_mask_of_another_size_is_rejected(drawn_run, open_app):
    path = mask_path(drawn_run.enhanced(2), "cat/a")
    write_mask(path, np.ones((10, 10), np.uint8))
    response = decide(open_app(drawn_run), "cat/a", "accepted", fingerprint=hash_file(path))
    assert response.status_code == 409 and "40 x 30 pixels, but has 10 x 10" in response.json()["error"]
    assert not drawn_run.review.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_decision__about_a_mask_that_is_a_pipe_is_rejected(drawn_run, open_app):
    path = mask_path(drawn_run.enhanced(2), "cat/a")
    path.unlink()
    os.mkfifo(path)
    response = decide(open_app(drawn_run), "cat/a", "accepted", fingerprint="x")
    assert response.status_code == 409 and "must be a regular file" in response.json()["error"]


@pytest.mark.parametrize("link", ["coarse", "enhanced/cat", "round-2", "round-1/enhanced/cat/a.png"])
def test_mask__links_are_not_followed(drawn_run, open_app, tmp_path, link):
    path = drawn_run.root / link
    path.symlink_to(path.rename(tmp_path / "elsewhere"))
    client = open_app(drawn_run)
    stage = link.partition("/")[0]
    for response in (
        client.get("/api/mask", params={"name": "cat/a", "stage": stage}),
        decide(client, "cat/a", "accepted", stage, "x"),
        client.get("/api/thumbnail", params={"name": "cat/a"}),
    ):
        assert response.status_code == 409 and f"{link} must not be a link" in response.json()["error"]


def test_mask__a_huge_one_is_not_decoded(drawn_run, open_app, claim_huge):
    client = open_app(drawn_run)
    claim_huge(mask_path(drawn_run.enhanced(2), "cat/a"))
    for route in ("/api/mask", "/api/thumbnail"):
        response = client.get(route, params={"name": "cat/a", "stage": "round-2"})
        assert response.status_code >= 400 and "40 x 30 pixels, but has 40000 x 40000" in response.json()["error"]


@pytest.mark.parametrize("stage", ["x" * 10_000, "../coarse", "corrected", "round-9999", "coarse\n", "\ud800", 7])
def test_decision__the_stage_must_be_one(drawn_run, open_app, stage):
    client = open_app(drawn_run)
    body = json.dumps({"decision": "rejected", "stage": stage})
    headers = {"content-type": "application/json"}
    response = client.post("/api/decision", params={"name": "cat/a"}, content=body, headers=headers)
    assert response.status_code == 422
    assert response.json()["error"].startswith(("Stage: ", "The body of the request: Invalid JSON: "))
    where = {"name": "cat/a", "stage": str(stage).encode("utf-8", "replace")}
    assert client.put("/api/mask", params=where, content=bytes(1200)).status_code == 422
    assert not drawn_run.review.exists()


def test_mask__a_drawn_mask_is_saved_pixel_for_pixel(drawn_run, open_app):
    client = open_app(drawn_run)
    mask, fingerprint = get_mask(client, "cat/a", "round-2")
    drawn = mask.copy()
    drawn[20:, :], drawn[0, 0], drawn[4:6] = 2, 255, 0
    where = {"name": "cat/a", "stage": "round-2", "fingerprint": fingerprint}
    assert client.put("/api/mask", params=where, content=drawn.tobytes()).status_code == 200
    assert np.array_equal(read_mask(drawn_run.review / "masks" / "cat/a.png"), drawn)
    assert np.array_equal(get_mask(open_app(drawn_run), "cat/a", "reviewed")[0], drawn)


@pytest.mark.parametrize(
    "content, status, message",
    [
        (bytes(1200 - 1), 409, "40 x 30 pixels"),
        (bytes(1200 + 1), 413, "1200 bytes at most"),
        (b"\x03" * 1200, 409, "but contains 3"),
    ],
)
def test_mask__an_invalid_drawn_mask_is_rejected(drawn_run, open_app, content, status, message):
    client = open_app(drawn_run)
    where = {"name": "cat/a", "stage": "round-2", "fingerprint": get_mask(client, "cat/a", "round-2")[1]}
    response = client.put("/api/mask", params=where, content=content)
    assert response.status_code == status and message in response.json()["error"]
    assert not drawn_run.review.exists()


@pytest.mark.parametrize("name", ["../run/photos", "/etc/passwd", "cat/../cat/a", "cat/nothing", ""])
@pytest.mark.parametrize("route", ["photo", "image", "thumbnail", "mask"])
def test_photos__are_served_by_their_name_in_the_run_only(drawn_run, open_app, route, name):
    response = open_app(drawn_run).get(f"/api/{route}", params={"name": name, "stage": "coarse"})
    assert response.status_code == 404 and "has no photo named" in response.json()["error"]


@pytest.mark.parametrize("stage", ["round-", "round-x", "../coarse", "corrected", "round-²", "round-9"])
def test_mask__of_an_unknown_stage_is_not_found(drawn_run, open_app, stage):
    response = open_app(drawn_run).get("/api/mask", params={"name": "cat/a", "stage": stage})
    assert response.status_code == 404 and stage in response.json()["error"]


def test_page__serves_only_its_own_files(drawn_run, open_app):
    client = open_app(drawn_run)
    assert "coarse2fine" in client.get("/").text
    assert client.get("/page/main.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/page/style.css").headers["content-type"].startswith("text/css")
    for name in ("..%2f__init__.py", "..%2froutes.py", "nothing.js", "", "a/main.js"):
        response = client.get(f"/page/{name}")
        assert response.status_code == 404 and "GET /" in response.json()["error"], name
    assert "script-src 'self'" in client.get("/").headers["content-security-policy"]


def test_page__is_served_from_memory(drawn_run, open_app, tmp_path, monkeypatch):
    """Otherwise each client that reads slowly holds an open file besides its connection."""
    monkeypatch.setattr(routes, "PAGE_FOLDER", shutil.copytree(routes.PAGE_FOLDER, tmp_path / "page"))
    client = open_app(drawn_run)
    shutil.rmtree(tmp_path / "page")
    assert all(client.get(path).status_code == 200 for path in ("/", "/page/main.js", "/page/style.css"))
    assert client.head("/").status_code == 200 and client.get("/?name=main.js").text == client.get("/").text


def test_segment__photos_and_rejected_uploads(drawn_run, open_app, add_network, photos_of):
    add_network(drawn_run)
    with open_app(drawn_run, max_mb=0.5) as client:
        response = client.post("/api/segment", content=(photos_of / "cat" / "a.png").read_bytes())
        assert response.status_code == 200 and response.headers["x-width"] == "40"
        assert set(response.content) == {2} and len(response.content) == 1200
        large = client.post("/api/segment", content=bytes(600_000))
        assert large.status_code == 413 and "at most 0.5 MB; send a smaller one" in large.json()["error"]
        assert client.post("/api/segment", content=b"no photo").status_code == 415


def test_access__other_sites_and_host_names_are_rejected(drawn_run, open_app):
    client = open_app(drawn_run)
    for host in ("evil.example", "127.0.0.1.evil.example:8001", "[::1", ""):
        response = client.get("/api/run", headers={"host": host})
        assert (
            response.status_code == 403
            and "accepts requests to 127.0.0.1 or localhost only" in response.json()["error"]
        )
    for host in ("localhost:8001", "127.0.0.1", "[::1]:8001"):
        assert client.get("/api/run", headers={"host": host}).status_code == 200
    where, decision = {"name": "cat/a"}, {"decision": "rejected"}
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "same-site"},
        {CSRF_HEADER: ""},
    ):
        response = client.post("/api/decision", params=where, json=decision, headers=headers)
        assert response.status_code == 403 and "another site" in response.json()["error"]
    assert client.get("/api/run", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert not drawn_run.review.exists()
    own = {"origin": "http://127.0.0.1:8001", "sec-fetch-site": "same-origin"}
    assert client.post("/api/decision", params=where, json=decision, headers=own).status_code == 200


@pytest.mark.parametrize(
    "origin, host, allowed",
    [
        ("https://masks.example", "masks.example:443", True),
        ("https://Masks.example:443", "masks.example", True),
        ("http://masks.example", "masks.example:80", True),
        ("https://[::1]", "[::1]:443", True),
        ("https://masks.example:8443", "masks.example:8443", True),
        ("https://masks.example", "masks.example:80", False),
        ("http://masks.example:443", "masks.example", False),
        ("https://masks.example", "127.0.0.1:8001", False),
        ("ftp://masks.example", "masks.example:80", False),
    ],
)
def test_access__behind_a_proxy_the_default_port_may_be_left_out(drawn_run, open_app, origin, host, allowed):
    client = open_app(drawn_run, local=False)
    headers = {"origin": origin, "host": host}
    response = client.post("/api/decision", params={"name": "cat/a"}, json={"decision": "rejected"}, headers=headers)
    assert response.status_code == (200 if allowed else 403), response.text
    expected = f"Origin '{origin}' and Host '{host}' differ; let the proxy pass on the header Host."
    assert allowed or expected in response.json()["error"]


BODIES = [
    ("POST", "/api/login"),
    ("POST", "/api/decision"),
    ("POST", "/api/undo"),
    ("PUT", "/api/mask"),
    ("POST", "/api/smart-brush"),
    ("POST", "/api/segment"),
]
STROKE_BOX = {"name": "cat/a", "x": 1, "y": 2, "width": 30, "height": 20, "reach": 6.0}


@pytest.mark.parametrize("method, path", BODIES)
def test_bodies__are_limited_in_size(drawn_run, open_app, add_network, method, path, monkeypatch):
    monkeypatch.setattr(uploads, "_DRAIN_SECONDS", 0.01)
    add_network(drawn_run)

    def send_endlessly() -> Iterator[bytes]:
        for _ in range(20):
            yield bytes(100_000)

    with open_app(drawn_run) as client:
        response = client.request(method, path, params=STROKE_BOX, content=send_endlessly())
    assert response.status_code == 413 and response.headers["connection"] == "close", response.text


@pytest.mark.parametrize("method, path", BODIES)
def test_bodies__are_limited_in_time(drawn_run, open_app, add_network, method, path):
    """The body never ends."""
    add_network(drawn_run)

    async def receive() -> dict[str, object]:
        return await asyncio.Future()

    sent = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    with open_app(drawn_run, upload_seconds=0.05) as client:
        headers, query = [(b"host", b"127.0.0.1"), (CSRF_HEADER.encode(), b"1")], urlencode(STROKE_BOX).encode()
        scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": headers}
        client.portal.call(asyncio.wait_for, client.app(scope, receive, send), 30)
    assert sent[0]["status"] == 408 and b"within 0.05 seconds" in sent[1]["body"]
    assert (b"connection", b"close") in sent[0]["headers"]


@pytest.mark.parametrize(
    "path, body, message",
    [
        ("/api/login", b"", "The body of the request: Invalid JSON"),
        ("/api/login", b'{"token": 5}', "Token: Input should be a valid string"),
        ("/api/login", b'{"token": "\\ud800"}', "Invalid JSON"),
        ("/api/login", b"\xff", "Invalid JSON"),
        ("/api/decision", b'{"decision": "maybe"}', "Decision: Input should be 'accepted' or 'rejected'"),
        ("/api/decision", b'{"decision": "rejected", "stage": "\\ud800"}', "Invalid JSON"),
    ],
)
def test_bodies__invalid_json_is_rejected(drawn_run, open_app, path, body, message):
    response = open_app(drawn_run, token="correct horse").post(
        path, params={"name": "cat/a"}, content=body, headers={"authorization": "Bearer correct horse"}
    )
    assert response.status_code == 422 and message in response.json()["error"]


@pytest.mark.parametrize("host", ["x/?", "x/page/?", "a b", "x:", "x:y", "[::1", "user@x", "", "x?", "x#"])
def test_access__a_malformed_host_does_not_replace_the_token(drawn_run, open_app, host, monkeypatch):
    monkeypatch.setattr(HTTPConnection, "url", URL("http://x/?"))  # what Starlette 1.0.0 makes of such a host
    client = open_app(drawn_run, token="correct horse", local=False)
    headers = {"authorization": "Bearer correct horse"}
    for path in ("/api/run", "/api/photos", "/openapi.json"):
        assert client.get(path).status_code == 401
        response = client.get(path, headers={"host": host} | headers)
        assert response.status_code == 400 and "The header Host must be" in response.json()["error"]


def test_access__the_token_is_required(drawn_run, open_app, monkeypatch):
    monkeypatch.setattr(routes, "_WRONG_TOKEN_DELAY_S", 0)
    client = open_app(drawn_run, token="correct horse", local=False)
    assert client.get("/", headers={"host": "gpu.example"}).status_code == 200
    assert client.get("/api/run", headers={"host": "gpu.example"}).status_code == 401
    for headers in ({"authorization": "Bearer wrong"}, {"authorization": "Bearer "}, {"cookie": "coarse2fine-8001="}):
        assert client.get("/api/run", headers=headers).status_code == 401
    assert client.get("/api/run", headers={"authorization": "Bearer correct horse"}).status_code == 200
    assert client.post("/api/login", json={"token": "wrong"}).status_code == 401
    assert client.get("/api/run").status_code == 401
    headers = {"content-type": "application/json"}
    assert client.post("/api/login", content='{"token": "\\ud800"}', headers=headers).status_code in (401, 422)
    response = client.post("/api/login", json={"token": "correct horse"})
    assert response.status_code == 204 and "HttpOnly" in response.headers["set-cookie"]
    assert "correct" not in response.headers["set-cookie"] and "strict" in response.headers["set-cookie"].lower()
    assert client.get("/api/run").status_code == 200
