import csv
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarse2fine.cli import main
from coarse2fine.config import MaskExportConfig
from coarse2fine.data.video_decoding import decode
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.export import export_masks
from coarse2fine.inference.predict import predict_photos
from coarse2fine.inference.result_files import PredictOptions, draw_overlay
from coarse2fine.masks.png import read_mask
from coarse2fine.runtime.files import read_json

av = pytest.importorskip("av")


def frame(number: int, height: int, width: int) -> np.ndarray:
    """Black, with a red square that moves to the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[10:40, 4 * number : 4 * number + 32] = (250, 0, 0)
    return pixels


def film(path: Path, count: int = 11, height: int = 66, width: int = 98) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 4_000_000
        for number in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame(number, height, width), format="rgb24")))
        container.mux(stream.encode())
    return path


def test_predict_photos__each_frame_of_a_video_is_predicted_as_a_photo_is(color_segmenter, tmp_path):
    video, out = film(tmp_path / "Clip.MP4"), tmp_path / "out"
    frames = list(decode(video, 1))
    for number, pixels in enumerate(frames):
        (tmp_path / "frames").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "frames" / f"{number:06}.png")
    options = PredictOptions(batch_size=4, instances=True, cutouts=True, probabilities=True)
    assert predict_photos(color_segmenter(), video, out, options) == []
    assert predict_photos(color_segmenter(), tmp_path / "frames", tmp_path / "single", options) == []
    for folder in ("masks", "cutouts", "probabilities"):
        found, expected = sorted((out / folder / "Clip").iterdir()), sorted((tmp_path / "single" / folder).iterdir())
        assert [path.name for path in found] == [path.name for path in expected] and len(found) == len(frames) == 11
        if folder != "probabilities":
            assert [path.read_bytes() for path in found] == [path.read_bytes() for path in expected]
    assert read_mask(out / "masks" / "Clip" / "000005.png")[12:38, 26:46].all()
    with (out / "objects.csv").open(encoding="utf-8", newline="") as file:
        assert [row["photo"] for row in csv.DictReader(file)] == [f"Clip/{number:06}" for number in range(11)]
    assert read_json(out / "photos.json") == {}


def test_predict_photos__overlay_video_shows_the_mask_at_the_frame_rate(color_segmenter, tmp_path):
    out = tmp_path / "out"
    video = film(tmp_path / "a.mp4", height=66, width=99)
    predict_photos(color_segmenter(), video, out, PredictOptions(every=2))
    overlay = out / "overlays" / "a.mp4"
    with av.open(str(overlay)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate) == ("h264", Fraction(5))
    shown = list(decode(overlay, 1))
    assert len(shown) == 6 and shown[0].shape == (66, 98, 3)
    mask = read_mask(out / "masks" / "a" / "000006.png")
    expected = draw_overlay(list(decode(video, 1))[6], mask)[:, :98]
    difference = np.abs(shown[3].astype(int) - expected)
    assert difference.mean() < 3 and np.abs(expected.astype(int) - list(decode(video, 1))[6][:, :98]).mean() > 6
    assert sorted(path.stem for path in (out / "masks" / "a").iterdir()) == [f"{n:06}" for n in range(0, 11, 2)]


def test_predict_photos__photos_and_videos_together(color_segmenter, tmp_path):
    Image.fromarray(frame(0, 64, 64)).save(tmp_path / "b.png")
    given = [film(tmp_path / "a.mp4", 3), tmp_path / "b.png"]
    assert predict_photos(color_segmenter(), given, tmp_path / "out", PredictOptions(overlays=False)) == []
    names = {path.relative_to(tmp_path / "out" / "masks").as_posix() for path in (tmp_path / "out").rglob("*.png")}
    assert names == {"b.png", "a/000000.png", "a/000001.png", "a/000002.png"}
    assert not (tmp_path / "out" / "overlays").exists()
    export_masks(tmp_path / "out", tmp_path / "exported", "coco", MaskExportConfig())
    assert len(read_json(tmp_path / "exported" / "annotations" / "instances_train.json")["images"]) == 1


def test_predict_photos__a_video_named_like_a_folder_of_photos(color_segmenter, tmp_path):
    for name in ("a/000000.png", "c/1.png"):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(frame(0, 64, 64)).save(tmp_path / name)
    given = [film(tmp_path / "a.mp4", 2), tmp_path / "a", tmp_path / "c"]
    predict_photos(color_segmenter(), given, tmp_path / "out", PredictOptions(overlays=False))
    names = {path.relative_to(tmp_path / "out" / "masks").as_posix() for path in (tmp_path / "out").rglob("*.png")}
    assert names == {"a/000000.png", "c/1.png", "a.mp4/000000.png", "a.mp4/000001.png"}


def test_predict_photos__a_video_named_like_a_folder_of_overlays(color_segmenter, tmp_path):
    for name in ("a.mp4/1.png", "c/1.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        Image.fromarray(frame(0, 64, 64)).save(tmp_path / "photos" / name)
    given = [film(tmp_path / "a.mp4", 2), tmp_path / "photos"]
    predict_photos(color_segmenter(), given, tmp_path / "out")
    (renamed,) = (path for path in (tmp_path / "out" / "masks").iterdir() if path.name not in ("a.mp4", "c"))
    assert renamed.name.startswith("a.mp4-") and len(list(renamed.iterdir())) == 2
    assert {path.name for path in (tmp_path / "out" / "overlays").iterdir()} == {"a.mp4", "c", f"{renamed.name}.mp4"}


@pytest.mark.parametrize(("file", "name"), [(b"...mp4", "..-"), (b"..mp4", ".-"), (b"a\xff.mp4", "a\ufffd-")])
def test_predict_photos__a_video_of_whose_name_no_folder_can_be_made(color_segmenter, tmp_path, file, name):
    video = film(tmp_path / "a.mp4", 2).rename(tmp_path / os.fsdecode(file))
    predict_photos(color_segmenter(), video, tmp_path / "out", PredictOptions(instances=True))
    (folder,) = (tmp_path / "out" / "masks").iterdir()
    assert folder.name.startswith(name) and len(list(folder.iterdir())) == 2
    assert (tmp_path / "out" / "overlays" / f"{folder.name}.mp4").is_file()
    assert f"{folder.name}/000001," in (tmp_path / "out" / "found.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("claimed", "written"),
    [
        (Fraction(30000, 1001), Fraction(30000, 1001)),
        (Fraction(2**31 - 1, 2**31 - 3), Fraction(1)),
        (Fraction(2**40, 3), Fraction(1000)),
        (Fraction(1, 2**31 - 1), Fraction(1, 1000)),
    ],
)
def test_predict_photos__a_frame_rate_that_no_video_has(color_segmenter, tmp_path, monkeypatch, claimed, written):
    monkeypatch.setattr("coarse2fine.inference.video.read_frame_rate", lambda _path: claimed)
    predict_photos(color_segmenter(), film(tmp_path / "a.mp4", 4), tmp_path / "out")
    with av.open(str(tmp_path / "out" / "overlays" / "a.mp4")) as container:
        assert container.streams.video[0].average_rate == written


def test_predict_photos__large_frames_are_not_decoded(color_segmenter, tmp_path):
    whole, options = film(tmp_path / "a.mp4", 4, 64, 96), PredictOptions(overlays=False, max_megapixels=0.005)
    with pytest.raises(DataError, match=r"a\.mp4: .*frames of more than 0\.005 megapixels"):
        predict_photos(color_segmenter(), whole, tmp_path / "out", options)


def test_predict_photos__a_damaged_video(color_segmenter, tmp_path):
    whole = film(tmp_path / "a.mpg", 60).read_bytes()
    (tmp_path / "a.mpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b.mp4").write_bytes(b"nothing")
    out, options = tmp_path / "out", PredictOptions(overlays=False)
    predict_photos(color_segmenter(), tmp_path / "a.mpg", out, options)
    assert 10 < len(list((out / "masks" / "a").iterdir())) < 60
    with pytest.raises(DataError, match=r"b\.mp4: truncated, damaged, or not a video"):
        predict_photos(color_segmenter(), tmp_path / "b.mp4", out)
    assert not (out / "overlays" / "b.mp4").exists()


def test_predict_options__every_must_leave_frames():
    with pytest.raises(ConfigError, match="every must be at least 1, .*; found 0"):
        PredictOptions(every=0)


def test_predict__without_pyav_says_so_before_the_network_is_loaded(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    (tmp_path / "a.mp4").touch()
    with pytest.raises(SystemExit) as stopped:
        main(["predict", str(tmp_path / "no run"), str(tmp_path / "a.mp4"), "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2 and "Video files need PyAV" in capsys.readouterr().err


def test_predict__a_video_on_the_command_line(small_run, tmp_path, capsys):
    video = film(tmp_path / "a.mp4", 5)
    main(["predict", str(small_run), str(video), "--out", str(tmp_path / "out"), "--every", "2", "--json"])
    shown = capsys.readouterr()
    assert '"videos": 1' in shown.out and '"photos": 0' in shown.out
    assert "predicting a.mp4" in shown.err
    assert len(list((tmp_path / "out" / "masks" / "a").iterdir())) == 3
