import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarse2fine.cli import main
from coarse2fine.config import TeacherConfig
from coarse2fine.data.videos import Video, open_video
from coarse2fine.distillation import teacher
from coarse2fine.distillation.selection import mean_nonzero
from coarse2fine.distillation.teacher import VideoMasks, make_teacher_masks, select_frames
from coarse2fine.distillation.videopca import videopca
from coarse2fine.errors import DataError
from coarse2fine.masks.png import read_soft
from coarse2fine.runtime.context import Context

HALF = TeacherConfig(keep_share=0.5)


def moving_square(number: int) -> np.ndarray:
    frame = np.random.default_rng(0).integers(60, 90, (40, 60, 3)).astype(np.uint8)
    column = 16 + (number * 11) % 17
    frame[12:26, column : column + 14] = (230, 120, 30)
    return frame


def draw_folder(folder: Path, count: int = 8) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(moving_square(number)).save(folder / f"{number}.png")
    return folder


def film(path: Path, count: int = 8) -> Path:
    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 60, 40, "yuv420p", 4_000_000
        for number in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moving_square(number), format="rgb24")))
        container.mux(stream.encode())
    return path


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "selection.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_make_teacher_masks__masks_and_selection(tmp_path):
    draw_folder(tmp_path / "v" / "one ü")
    draw_folder(tmp_path / "v" / "two", 4)
    choices = make_teacher_masks([tmp_path / "v"], tmp_path / "out", HALF, Context())
    table = rows(tmp_path / "out")
    assert [row["frame"] for row in table] == [f"one ü/{n}" for n in range(8)] + [f"two/{n}" for n in range(4)]
    assert {row["video"] for row in table} == {"one ü", "two"} and list(table[0]) == ["video", "frame", "score", "kept"]
    assert sum(row["kept"] == "1" for row in table) == sum(one.kept for one in choices) == 6
    worst_kept = min(float(row["score"]) for row in table if row["kept"] == "1")
    assert worst_kept >= max(float(row["score"]) for row in table if row["kept"] == "0")
    soft = read_soft(tmp_path / "out" / "masks" / "one ü" / "3.png")
    expected = list(videopca(open_video(tmp_path / "v" / "one ü")))[3]
    assert np.abs(soft - expected).max() < 0.003 and soft[19, 16 + 33 % 17 + 7] > 0.5
    assert float(table[3]["score"]) == pytest.approx(mean_nonzero(expected), abs=1e-5)
    assert not (tmp_path / "out" / "frames").exists()


def test_make_teacher_masks__masks_have_the_frames_own_size(tmp_path):
    config = TeacherConfig(max_side_px=32)
    make_teacher_masks([draw_folder(tmp_path / "a")], tmp_path / "out", config, Context())
    assert read_soft(tmp_path / "out" / "masks" / "a" / "0.png").shape == (40, 60)


def test_make_teacher_masks__goes_on_where_it_stopped(tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        draw_folder(tmp_path / "v" / name)
    make_teacher_masks([tmp_path / "v"], tmp_path / "whole", HALF, Context())
    done = []

    def stops_at_second(video, *settings):
        done.append(video.name)
        if len(done) == 2:
            raise KeyboardInterrupt
        return open_video(video, *settings)

    monkeypatch.setattr(teacher, "open_video", stops_at_second)
    with pytest.raises(KeyboardInterrupt):
        make_teacher_masks([tmp_path / "v"], tmp_path / "out", HALF, Context())
    make_teacher_masks([tmp_path / "v"], tmp_path / "out", HALF, Context())
    assert done == ["a", "b", "b", "c"]
    assert files_below(tmp_path / "out") == files_below(tmp_path / "whole")


def test_make_teacher_masks__does_again_what_changed(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(teacher, "open_video", lambda video, *more: done.append(video.name) or open_video(video, *more))
    for name in ("a", "b"):
        draw_folder(tmp_path / "v" / name)
    make_teacher_masks([tmp_path / "v"], tmp_path / "out", HALF, Context())
    draw_folder(tmp_path / "v" / "a", 9)
    (tmp_path / "out" / "masks" / "b" / "2.png").unlink()
    make_teacher_masks([tmp_path / "v"], tmp_path / "out", HALF, Context())
    assert done == ["a", "b", "a", "b"] and len(rows(tmp_path / "out")) == 17
    make_teacher_masks([tmp_path / "v"], tmp_path / "out", TeacherConfig(keep_share=1), Context())
    assert len(done) == 4 and all(row["kept"] == "1" for row in rows(tmp_path / "out"))
    with pytest.raises(DataError, match="masks made with other settings .teacher.every 1 -> 2"):
        make_teacher_masks([tmp_path / "v"], tmp_path / "out", TeacherConfig(every=2), Context())


def test_make_teacher_masks__a_replaced_frame_of_the_same_size(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(teacher, "open_video", lambda video, *more: done.append(video.name) or open_video(video, *more))
    draw_folder(tmp_path / "v" / "a")
    frame = min((tmp_path / "v" / "a").iterdir())
    for content in (frame.read_bytes(), frame.read_bytes(), frame.read_bytes()[:-1] + b"x"):
        frame.write_bytes(content)
        make_teacher_masks([tmp_path / "v"], tmp_path / "out", HALF, Context())
    assert done == ["a", "a"]


def test_make_teacher_masks__frames_of_video_files_become_pictures(tmp_path):
    film(tmp_path / "v" / "clip.mp4")
    draw_folder(tmp_path / "v" / "folder")
    make_teacher_masks([tmp_path / "v"], tmp_path / "out", HALF, Context())
    kept = {row["frame"] for row in rows(tmp_path / "out") if row["kept"] == "1" and row["video"] == "clip"}
    frames = tmp_path / "out" / "frames"
    saved = {path.relative_to(frames).with_suffix("").as_posix() for path in frames.rglob("*.jpg")}
    assert saved == kept and 0 < len(kept) < 8
    every_frame = TeacherConfig(keep_share=0.5, save_frames="all")
    make_teacher_masks([tmp_path / "v"], tmp_path / "out", every_frame, Context())
    assert len(list(frames.rglob("*.jpg"))) == 8
    with Image.open(frames / "clip" / "000003.jpg") as picture:
        assert np.abs(np.asarray(picture).astype(int) - moving_square(3)).mean() < 12
    make_teacher_masks([tmp_path / "v"], tmp_path / "none", TeacherConfig(save_frames="none"), Context())
    assert not (tmp_path / "none" / "frames").exists()


def test_make_teacher_masks__its_own_results_are_no_videos(tmp_path):
    draw_folder(tmp_path / "v" / "a")
    for _ in range(2):
        choices = make_teacher_masks([tmp_path / "v"], tmp_path / "v" / "out", HALF, Context())
    assert {one.video for one in choices} == {"a"}


def test_make_teacher_masks__goes_on_without_bad_videos(tmp_path, capsys):
    draw_folder(tmp_path / "v" / "good")
    draw_folder(tmp_path / "v" / "short", 3)
    sizes = draw_folder(tmp_path / "v" / "sizes")
    Image.new("RGB", (30, 30)).save(sizes / "5.png")
    (tmp_path / "v" / "bad.mp4").write_text("text")
    (tmp_path / "v" / "good" / "7.png").write_text("text")
    choices = make_teacher_masks([tmp_path / "v"], tmp_path / "out", HALF, Context())
    assert {one.video for one in choices} == {"good"} and len(choices) == 7
    shown = " ".join(capsys.readouterr().err.split())
    for part in (
        "bad.mp4: truncated, damaged",
        "short: 3 usable frames",
        "one size, but 0 has 60 x 40",
        "7.png: not an",
    ):
        assert part in shown
    with pytest.raises(DataError, match="None of the 1 videos can be used; the first: .*short: 3 usable"):
        make_teacher_masks([tmp_path / "v" / "short"], tmp_path / "other", HALF, Context())


def test_select_frames__of_all_videos_or_of_each():
    masks = [
        VideoMasks(Video(name, Path(name)), ("0", "1"), scores)
        for name, scores in (("a", (0.9, 0.8)), ("b", (0.2, 0.3)))
    ]
    together = select_frames(masks, TeacherConfig(keep_share=0.5))
    each = select_frames(masks, TeacherConfig(keep_share=0.5, collection="video"))
    assert [one.frame for one in together if one.kept] == ["a/0", "a/1"]
    assert [one.frame for one in each if one.kept] == ["a/0", "b/1"]


def test_teacher__on_the_command_line(tmp_path, capsys):
    draw_folder(tmp_path / "v" / "a")
    main(["teacher", str(tmp_path / "v"), "--out", str(tmp_path / "out"), "--keep-share", "0.25"])
    shown = capsys.readouterr().out
    assert "1 video, 8 frames; 2 kept" in shown and "selection.csv" in shown and "8/8 frames" in shown
    for arguments, message in (
        ([str(tmp_path / "gone")], "there is no such file or folder"),
        ([], "teacher needs videos"),
        ([str(tmp_path / "v"), "--keep-share", "0"], "keep_share"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(["teacher", *arguments, "--out", str(tmp_path / "o")])
        assert caught.value.code == 2
        shown = capsys.readouterr().err
        assert message in shown.replace("-", "_") or message in shown
        assert "Traceback" not in shown
