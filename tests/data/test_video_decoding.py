import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarse2fine.data import video_decoding
from coarse2fine.data.video_decoding import decode, decode_until_damage, estimate_length, read_frame_rate
from coarse2fine.errors import DataError
from coarse2fine.types import Skipped

av = pytest.importorskip("av")


def encode_video(path: Path, title: str = "", count: int = 5) -> Path:
    with av.open(str(path), "w") as container:
        container.metadata["title"] = title
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    return path


def encode_pngs(path: Path, sides: list[int]) -> Path:
    """A video of white square frames, whose header says 16 x 16 pixels; a large frame takes few bytes."""
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("png", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 16, 16, "monob"
        for number, side in enumerate(sides):
            content = io.BytesIO()
            Image.new("1", (side, side), 1).save(content, "PNG")
            packet = av.Packet(content.getvalue())
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 10), True
            packet.pts = packet.dts = number
            container.mux(packet)
    return path


def shapes(path: Path) -> list[tuple[int, ...] | str]:
    frames = decode_until_damage(path, 1, at_least=1)
    return [frame.reason if isinstance(frame, Skipped) else frame.shape for frame in frames]


def test_decode__a_title_that_is_not_utf_8(tmp_path):
    video = encode_video(tmp_path / "a.avi", title="XXXX")
    video.write_bytes(video.read_bytes().replace(b"XXXX", b"\xe9\xe8\xff\xfe"))
    assert shapes(video) == [(48, 64, 3)] * 5
    assert (estimate_length(video), read_frame_rate(video)) == (5, 10)


def test_decode__an_unknown_codec(tmp_path):
    video = encode_video(tmp_path / "a.avi")
    video.write_bytes(video.read_bytes().replace(b"FMP4", b"zzzz"))
    with pytest.raises(DataError, match=r"a\.avi: .* \(its codec is unknown\)"):
        shapes(video)


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile other.ts\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n",
    ],
    ids=["concat", "hls"],
)
@pytest.mark.parametrize("name", ["a.mp4", "a.m3u8"])
def test_decode__a_list_of_other_files_is_no_video(tmp_path, text, name):
    encode_video(tmp_path / "other.ts")
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=f"{name}: truncated, damaged, or not a video"):
        shapes(tmp_path / name)


@pytest.mark.parametrize("name", ["http:a.mp4", "data:a.mp4", "concat:a.mp4"])
def test_decode__a_name_is_no_address(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    encode_video(tmp_path / "a.mp4").rename(name)
    assert shapes(Path(name)) == [(48, 64, 3)] * 5


@pytest.mark.parametrize("sides", [[2000], [16] * 20 + [2000]], ids=["first", "later"])
def test_decode__large_frames_are_refused_before_they_are_decoded(tmp_path, monkeypatch, sides):
    video = encode_pngs(tmp_path / "a.avi", sides)
    assert video.stat().st_size < 30_000
    assert [frame.shape[0] for frame in decode(video, 1)] == sides
    frames = decode_until_damage(video, 1, at_least=1, max_megapixels=3.9)
    if sides[0] == 2000:
        with pytest.raises(DataError, match=r"frames of more than 3\.9 megapixels"):
            next(frames)
    else:
        *whole, last = frames
        assert 10 < len(whole) <= 20  # the last ones are lost if other threads of FFmpeg still decode them
        assert isinstance(last, Skipped) and f"damaged after {len(whole)} frames" in last.reason
        assert "more than 3.9 megapixels" in last.reason


def test_max_frame_megapixels__is_the_default(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(av, "open", lambda *_args, options, **_others: opened.append(options) or 1 / 0)
    for read in (read_frame_rate, estimate_length, lambda path: next(decode(path, 1))):
        with pytest.raises(ZeroDivisionError):
            read(tmp_path / "a.mp4")
    most = str(int(video_decoding.MAX_FRAME_MEGAPIXELS * 1e6))
    assert [options["max_pixels"] for options in opened] == [most] * 3
