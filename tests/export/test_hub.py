import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest

import coarse2fine
from coarse2fine.cli import main
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.export import hub
from coarse2fine.inference.segmenter import Segmenter
from coarse2fine.networks import hub as networks_hub

FILES = ["README.md", "model.toml", "weights.safetensors"]


class FakeHub:
    """Stands for the hub: keeps the files of the last upload in a folder, and gives them back."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.created, self.uploads, self.asked = folder, [], [], []

    def __call__(self, token: str | None = None) -> "FakeHub":
        self.token = token
        return self

    def create_repo(self, repo_id: str, **options: object) -> SimpleNamespace:
        self.created.append((repo_id, options))
        return SimpleNamespace(repo_id=repo_id)

    def upload_folder(self, folder_path: Path, allow_patterns: list[str], **options: object) -> SimpleNamespace:
        self.uploads.append(options)
        for path in Path(folder_path).iterdir():
            if path.name in allow_patterns:
                (self.folder / path.name).write_bytes(path.read_bytes())
        return SimpleNamespace(commit_url="https://hub/commit/1")

    def snapshot_download(self, name: str, **options: object) -> str:
        self.asked.append((name, options))
        return str(self.folder)


@pytest.fixture
def fake_hub(tmp_path, monkeypatch) -> FakeHub:
    (tmp_path / "remote").mkdir()
    fake = FakeHub(tmp_path / "remote")
    monkeypatch.setattr(hub, "HfApi", fake)
    monkeypatch.setattr(hub, "check_reachable", lambda: None)
    monkeypatch.setattr(networks_hub, "check_reachable", lambda: None)
    monkeypatch.setattr(hub, "get_token", lambda: "hf_token")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
    return fake


def list_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_save_pretrained__the_folder_gives_the_same_probabilities(small_run, clouds, tmp_path):
    folder = coarse2fine.save_pretrained(small_run, tmp_path / "out", "mit")
    assert list_files(folder) == FILES and "license: mit" in (folder / "README.md").read_text()
    loaded = [Segmenter.from_pretrained(folder), Segmenter.load(small_run)]
    first, second = (one.predict_probabilities(clouds[0]) for one in loaded)
    assert loaded[0].classes == ("background", "Röte", "blue") and np.array_equal(first, second)


def test_save_pretrained__does_not_tell_where_the_weights_of_the_encoder_were(small_segmenter, tmp_path):
    config = small_segmenter.network_config.model_copy(update={"encoder_weights": "/secret/encoder.safetensors"})
    replace(small_segmenter, network_config=config).save(tmp_path / "run" / "model")
    folder = coarse2fine.save_pretrained(tmp_path / "run", tmp_path / "out")
    assert "/secret" not in "".join((folder / name).read_text() for name in FILES[:2])
    assert "encoder.safetensors" in (folder / "README.md").read_text()
    Segmenter.load(folder)


def test_save_pretrained__refuses_a_folder_with_content_and_a_license_that_is_none(small_run, tmp_path):
    (tmp_path / "x").touch()
    with pytest.raises(DataError, match="must be a new or empty folder"):
        coarse2fine.save_pretrained(small_run, tmp_path)
    with pytest.raises(ConfigError, match="must be an identifier such as apache-2.0"):
        coarse2fine.save_pretrained(small_run, tmp_path / "out", "Do what you want")


def test_push_to_hub__uploads_safetensors_description_and_card_and_nothing_else(small_run, fake_hub, clouds):
    address = coarse2fine.push_to_hub(small_run, "me/pets", "cc-by-4.0", private=True)
    assert address == "https://hub/commit/1" and fake_hub.created == [("me/pets", {"private": True, "exist_ok": True})]
    assert list_files(fake_hub.folder) == FILES
    card = (fake_hub.folder / "README.md").read_text()
    assert "license: cc-by-4.0" in card and 'from_pretrained("me/pets")' in card
    segmenter = Segmenter.from_pretrained("me/pets", revision="v1")
    name, options = fake_hub.asked[0]
    assert name == "me/pets" and options["revision"] == "v1" and not options["local_files_only"]
    assert sorted(options["allow_patterns"]) == FILES[1:]
    assert np.array_equal(segmenter.predict(clouds[0]), Segmenter.load(small_run).predict(clouds[0]))


def test_push_to_hub__keeps_a_card_that_the_publisher_completed(small_run, fake_hub, tmp_path):
    folder = coarse2fine.save_pretrained(small_run, tmp_path / "out", "mit")
    (folder / "README.md").write_text("my card")
    (folder / "notes.txt").write_text("not for others")
    coarse2fine.push_to_hub(folder, "me/pets")
    assert (fake_hub.folder / "README.md").read_text() == "my card" and list_files(fake_hub.folder) == FILES
    with pytest.raises(ConfigError, match="has a license in its README.md"):
        coarse2fine.push_to_hub(folder, "me/pets", "mit")


def test_push_to_hub__a_folder_with_damaged_weights_is_not_uploaded(small_run, fake_hub, tmp_path):
    folder = coarse2fine.save_pretrained(small_run, tmp_path / "out")
    (folder / "weights.safetensors").write_bytes(b"broken")
    with pytest.raises(DataError, match="cannot be read"):
        coarse2fine.push_to_hub(folder, "me/pets")
    assert not fake_hub.uploads


def test_push__command_prints_the_commit(small_run, fake_hub, capsys):
    main(["push", str(small_run), "me/pets", "--license", "mit", "--branch", "dev", "--create-pr", "--json"])
    assert json.loads(capsys.readouterr().out) == {"repository": "me/pets", "commit": "https://hub/commit/1"}
    assert fake_hub.uploads[0]["revision"] == "dev" and fake_hub.uploads[0]["create_pr"] is True
    assert fake_hub.created[0][1]["private"] is None


def test_push__without_a_token_is_one_sentence(small_run, fake_hub, monkeypatch, capsys):
    monkeypatch.setattr(hub, "get_token", lambda: None)
    with pytest.raises(SystemExit) as caught:
        main(["push", str(small_run), "me/pets"])
    shown = capsys.readouterr().err
    assert caught.value.code == 2 and "run 'hf auth login' first" in shown and shown.count("\n") == 1


def test_push__a_hub_that_refuses_is_one_sentence(small_run, fake_hub, monkeypatch):
    def refuse(*_names: object, **_options: object) -> None:
        raise ValueError("403 Forbidden.\nmore")

    monkeypatch.setattr(fake_hub, "create_repo", refuse)
    with pytest.raises(ConfigError, match=r"me/pets could not be uploaded to https://\S+ \(403 Forbidden\)"):
        coarse2fine.push_to_hub(small_run, "me/pets")


def test_from_pretrained__a_name_that_is_nowhere(fake_hub, monkeypatch):
    def fail(*_names: object, **_options: object) -> None:
        raise OSError("no such repository")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ConfigError, match=r"and could not be downloaded from \S+ \(no such repository\)"):
        Segmenter.from_pretrained("me/nothing")


def test_from_pretrained__offline_uses_the_cache_of_the_hub_itself(small_run, tmp_path, monkeypatch):
    """With the real client: a folder laid out as its cache."""
    cache = tmp_path / "cache" / "models--me--pets"
    coarse2fine.save_pretrained(small_run, cache / "snapshots" / "abc")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("abc")

    def fail() -> None:
        raise OSError("offline")

    monkeypatch.setattr(networks_hub, "check_reachable", fail)
    assert Segmenter.from_pretrained("me/pets", cache_dir=tmp_path / "cache").classes[1] == "Röte"
    with pytest.raises(ConfigError, match=r"'me/other' must be a folder .* is not in the cache"):
        Segmenter.from_pretrained("me/other", cache_dir=tmp_path / "cache")


def test_export__pretrained_writes_the_folder(small_run, tmp_path, capsys):
    out = tmp_path / "hub"
    main(["export", str(small_run), "--format", "pretrained", "--out", str(out), "--license", "mit", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["folder"] == str(out) and found["bytes"] > 1e5 and list_files(out) == FILES
