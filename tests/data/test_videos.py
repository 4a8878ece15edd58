from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarse2fine.data import videos as videos_module
from coarse2fine.data.videos import estimate_frame_count, find_videos, open_video
from coarse2fine.errors import ConfigError, DataError


def picture(number: int, height: int = 32, width: int = 48) -> np.ndarray:
    """Gray with a bright column that moves with the number, and a red corner at the top left."""
    pixels = np.full((height, width, 3), 60, np.uint8)
    pixels[:, 8 + number % 30] = 220
    pixels[:8, :8] = (250, 10, 10)
    return pixels


def draw_folder(folder: Path, count: int = 5, **size: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(picture(number, **size)).save(folder / f"{number}.png")
    return folder


def film(path: Path, count: int = 6, rotation: int = 0, codec: str = "mpeg4") -> Path:
    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 48, 32, "yuv420p", 4_000_000
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")))
        container.mux(stream.encode())
    return path


def names(paths, **options) -> list[str]:
    return [video.name for video in find_videos(paths, **options)]


def test_find_videos__folders_files_and_what_lies_between(tmp_path):
    draw_folder(tmp_path / "all" / "b10")
    draw_folder(tmp_path / "all" / "b2" / "deep")
    draw_folder(tmp_path / "all" / ".hidden")
    (tmp_path / "all" / "clip.MP4").touch()
    assert names([tmp_path / "all"]) == ["b2/deep", "b10", "clip"]
    assert names([tmp_path / "all" / "b10"]) == ["b10"]
    assert names([tmp_path / "all" / "clip.MP4", tmp_path / "all" / "b10"]) == ["b10", "clip"]
    assert names([tmp_path / "all", tmp_path / "all" / "b10"]).count("b10") == 1
    assert names([tmp_path / "all"], apart_from=tmp_path / "all" / "b2") == ["b10", "clip"]


def test_find_videos__frames_in_natural_order(tmp_path):
    folder = draw_folder(tmp_path / "a", 12)
    assert [path.stem for path in find_videos([folder])[0].files] == [str(number) for number in range(12)]


def test_find_videos__files_that_differ_by_their_ending_keep_it(tmp_path):
    for name in ("clip.mp4", "clip.mov"):
        (tmp_path / name).touch()
    assert names([tmp_path]) == ["clip.mov", "clip.mp4"]


def test_find_videos__bad_input_is_told(tmp_path):
    with pytest.raises(DataError, match=r"gone: there is no such file or folder"):
        find_videos([tmp_path / "gone"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty contains neither folders of frames .* nor video files"):
        find_videos([tmp_path / "empty"])
    one, other = draw_folder(tmp_path / "x" / "clip"), draw_folder(tmp_path / "y" / "clip")
    with pytest.raises(DataError, match="must not have the same name"):
        find_videos([one, other])
    assert names([tmp_path / "x", draw_folder(tmp_path / "x")]) == ["clip", "x"]
    with pytest.raises(DataError, match=r"0\.png is a single photo; pass the folder"):
        find_videos([one / "0.png"])


def test_open_video__gives_the_frames_again_and_again(tmp_path):
    footage = open_video(draw_folder(tmp_path / "a"), threads=2)
    assert footage.names == ("0", "1", "2", "3", "4") and (footage.height, footage.width) == (32, 48)
    for _ in range(2):
        given = list(footage)
        assert len(given) == len(footage) == 5
        assert all((image == picture(number)).all() for number, image in enumerate(given))


def test_open_video__every_second_frame_at_working_size(tmp_path):
    footage = open_video(draw_folder(tmp_path / "a", 7), max_side_px=24, every=2)
    assert footage.names == ("0", "2", "4", "6")
    assert {image.shape for image in footage} == {(16, 24, 3)} and (footage.height, footage.width) == (32, 48)
    assert estimate_frame_count(footage.video, every=2) == 4


def test_open_video__holds_only_what_memory_allows(tmp_path):
    folder = draw_folder(tmp_path / "a", 4, height=500, width=500)
    held, read = open_video(folder, 500, memory_mb=3), open_video(folder, 500, memory_mb=2)
    assert held.in_memory is not None and read.in_memory is None
    assert all((one == other).all() for one, other in zip(held, read, strict=True))


def test_open_video__leaves_out_what_cannot_be_read(tmp_path):
    folder = draw_folder(tmp_path / "a")
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:60])
    (folder / "x.jpg").write_text("text")
    footage = open_video(folder)
    assert footage.names == ("0", "1", "3", "4") and len(list(footage)) == 4
    assert [item.path.name for item in footage.skipped] == ["2.png", "x.jpg"]
    (folder / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"a: 3 usable frames \(0\.png: empty file.*needs at least 4"):
        open_video(folder)


def test_open_video__refuses_frames_of_two_sizes_and_tiny_ones(tmp_path):
    folder = draw_folder(tmp_path / "a")
    Image.fromarray(picture(0, 30, 40)).save(folder / "3.png")
    with pytest.raises(DataError, match="one size, but 0 has 48 x 32 and 3 has 40 x 30 pixels; put each video"):
        open_video(folder)
    with pytest.raises(DataError, match="have 48 x 4 pixels, but at least 8 x 8"):
        open_video(draw_folder(tmp_path / "b", height=4))
    with pytest.raises(DataError, match="must be one video, but contains 2"):
        open_video(tmp_path)


def test_open_video__two_endings_of_one_stem(tmp_path):
    folder = draw_folder(tmp_path / "a")
    Image.fromarray(picture(0)).save(folder / "0.bmp")
    assert open_video(folder).names == ("0.bmp", "0.png", "1", "2", "3", "4")


def test_open_video__a_video_file(tmp_path):
    footage = open_video(film(tmp_path / "clip.mp4"))
    assert footage.names == tuple(f"00000{number}" for number in range(6))
    assert estimate_frame_count(footage.video) == 6
    for number, image in enumerate(footage):
        assert image.shape == (32, 48, 3)
        assert image[:, 8 + number, 1].mean() > image[:, 12 + number, 1].mean() + 60
        assert image[2:6, 2:6, 0].mean() > 200 > 80 > image[2:6, 2:6, 1].mean()


def test_open_video__every_third_frame_of_a_file_keeps_its_number(tmp_path):
    footage = open_video(film(tmp_path / "clip.mp4", count=11), every=3)
    assert footage.names == ("000000", "000003", "000006", "000009")
    assert next(iter(footage)).shape == (32, 48, 3) and estimate_frame_count(footage.video, 3) == 4


@pytest.mark.parametrize(("rotation", "corner"), [(90, (-1, 0)), (-90, (0, -1)), (180, (-1, -1))])
def test_open_video__phone_videos_stand_upright(rotation, corner, tmp_path):
    footage = open_video(film(tmp_path / "phone.mp4", rotation=rotation))
    image = next(iter(footage))
    assert image.shape == ((48, 32, 3) if rotation in (90, -90) else (32, 48, 3))
    row, column = (4 if side == 0 else -5 for side in corner)
    assert image[row, column, 0] > 200 > 80 > image[row, column, 1]


def test_open_video__read_from_the_file_each_time(tmp_path, monkeypatch):
    path = film(tmp_path / "clip.mp4")
    held = open_video(path)
    read = open_video(path, memory_mb=0)
    assert read.in_memory is None and len(read) == 6
    for _ in range(2):
        assert all((one == other).all() for one, other in zip(held, read, strict=True))
    film(path, count=5)
    with pytest.raises(DataError, match="had 6 frames when it was opened, but now 5"):
        list(read)


def test_open_video__damaged_files(tmp_path):
    path = film(tmp_path / "clip.mp4", count=40)
    content = path.read_bytes()
    path.write_bytes(content[:2000])
    with pytest.raises(DataError, match=r"clip\.mp4: truncated, damaged, or not a video \("):
        open_video(path)
    (tmp_path / "text.mov").write_text("text")
    with pytest.raises(DataError, match=r"text\.mov: truncated, damaged, or not a video \("):
        open_video(tmp_path / "text.mov")


def test_open_video__damage_in_the_middle_ends_the_video(tmp_path, monkeypatch):
    av = pytest.importorskip("av")
    path, turn = film(tmp_path / "clip.mp4", count=12), videos_module.decode.__globals__["_turn_upright"]
    seen = []

    def breaks(frame):
        seen.append(frame)
        if len(seen) > 5:
            raise av.InvalidDataError(1, "Invalid data")
        return turn(frame)

    monkeypatch.setitem(videos_module.decode.__globals__, "_turn_upright", breaks)
    footage = open_video(path, threads=2)
    assert len(footage) == 5
    assert footage.skipped[0].reason == "damaged after 5 frames, which are used (invalid data)"


def test_video_files__need_pyav(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(ConfigError, match=r"pip install .*\[video\]'"):
        open_video(tmp_path / "clip.mp4")
    assert len(open_video(draw_folder(tmp_path / "frames"))) == 5
