import pytest

from coarse2fine.app.access import is_loopback
from coarse2fine.app.server import lock_review
from coarse2fine.cli import main
from coarse2fine.errors import DataError


def error_of(capsys, *arguments: object) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["app", *map(str, arguments)])
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_app__bad_input_is_one_sentence_and_status_2(drawn_run, tmp_path, capsys):
    assert "photos.json is missing" in error_of(capsys, tmp_path / "gone")
    assert "token" in error_of(capsys, drawn_run.root, "--token", "short")
    assert "Port 80" not in error_of(capsys, drawn_run.root, "--port", "0")
    with lock_review(drawn_run):
        assert "Another review page" in error_of(capsys, drawn_run.root, "--port", "58123")


def test_app__without_its_extra_prints_how_to_install_it(drawn_run, monkeypatch, capsys):
    for name in ("fastapi", "coarse2fine.app.server", "coarse2fine.serving.server"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    shown = error_of(capsys, drawn_run.root)
    assert "pip install" in shown and "[app]'" in shown


def test_lock_review__is_released(drawn_run):
    with lock_review(drawn_run), pytest.raises(DataError, match="Another review page"), lock_review(drawn_run):
        pass
    with lock_review(drawn_run):
        pass


@pytest.mark.parametrize(
    "host, local",
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("", False)],
)
def test_is_loopback(host, local):
    assert is_loopback(host) is local
