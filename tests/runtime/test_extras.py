import json

import pytest

from coarse2fine.runtime import extras


@pytest.mark.parametrize(
    "record, command",
    [
        (None, "pip install 'coarse2fine[onnx]'"),
        ({"url": "file:///home/me/my%20clone", "dir_info": {}}, "pip install '/home/me/my clone[onnx]'"),
        (
            {"url": "file:///home/me/clone", "dir_info": {"editable": True}},
            "pip install --editable '/home/me/clone[onnx]'",
        ),
        (
            {"url": "https://example.org/c2f.git", "vcs_info": {"vcs": "git", "commit_id": "1"}},
            "pip install 'coarse2fine[onnx] @ git+https://example.org/c2f.git'",
        ),
        (
            {"url": "file:///tmp/coarse2fine-1-py3-none-any.whl", "archive_info": {}},
            "pip install 'coarse2fine[onnx] @ file:///tmp/coarse2fine-1-py3-none-any.whl'",
        ),
    ],
)
def test_install_command__names_the_place_of_the_installation(monkeypatch, record, command):
    class Installed:
        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return record and json.dumps(record)

    monkeypatch.setattr(extras, "distribution", lambda _name: Installed())
    assert extras.install_command("onnx") == command


def test_install_command__a_damaged_record_counts_as_none(monkeypatch):
    class Installed:
        def read_text(self, _name: str) -> str:
            return "{"

    monkeypatch.setattr(extras, "distribution", lambda _name: Installed())
    assert extras.install_command("app", "video") == "pip install 'coarse2fine[app,video]'"
