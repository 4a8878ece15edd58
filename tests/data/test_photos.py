import os
import struct
import threading
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tifffile
from PIL import PngImagePlugin

from coarse2fine.data import photos
from coarse2fine.data.photo_files import list_photos
from coarse2fine.data.photos import check_photos, read_image, read_size
from coarse2fine.errors import DataError
from coarse2fine.types import Photo, Skipped

CORNERS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[0, 0, 0], [90, 90, 90], [255, 255, 255]]], np.uint8)
UPRIGHT = {
    1: CORNERS,
    2: CORNERS[:, ::-1],
    3: CORNERS[::-1, ::-1],
    4: CORNERS[::-1],
    5: CORNERS.swapaxes(0, 1),
    6: np.rot90(CORNERS, -1),
    7: CORNERS[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90(CORNERS, 1),
}


def save(image: PIL.Image.Image, path: Path, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def draw_noise(height: int = 40, width: int = 60) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def reason_of(path: Path, **options) -> str:
    with pytest.raises(DataError) as caught:
        read_image(path, **options)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_read_image__applies_the_exif_orientation(tmp_path, ending, orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if ending == "webp" else {}
    path = save(PIL.Image.fromarray(CORNERS), tmp_path / f"a.{ending}", exif=exif, **lossless)
    np.testing.assert_array_equal(read_image(path), UPRIGHT[orientation])
    assert read_size(path) == UPRIGHT[orientation].shape[:2]


def test_read_image__turns_a_jpeg(tmp_path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    path = save(draw_noise(20, 30), tmp_path / "a.jpg", exif=exif)
    assert read_image(path).shape == (30, 20, 3)
    assert read_size(path) == (30, 20)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_read_image__broken_exif_turns_nothing(tmp_path):
    path = save(PIL.Image.fromarray(CORNERS), tmp_path / "a.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff")
    np.testing.assert_array_equal(read_image(path), CORNERS)


def test_read_image__malformed_exif_tags_do_not_stop_the_orientation(tmp_path):
    """PIL.ImageOps.exif_transpose raises here: it writes the other tags anew."""
    width_of_minus_4 = struct.pack(">HHIi", 0x0100, 9, 1, -4)
    orientation_6 = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 2) + width_of_minus_4 + orientation_6 + bytes(4)
    path = save(PIL.Image.fromarray(CORNERS), tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(path), UPRIGHT[6])
    with PIL.Image.open(path) as image, pytest.raises(struct.error):
        PIL.ImageOps.exif_transpose(image)


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "tiff", "PNG"])
def test_read_image__one_pixel(tmp_path, ending):
    path = save(PIL.Image.new("RGB", (1, 1), (10, 20, 30)), tmp_path / f"a.{ending}")
    assert read_image(path).tolist() == [[[10, 20, 30]]]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_read_image__every_mode_becomes_rgb(tmp_path, mode):
    white = {"I;16": 65535, "I": 65535, "F": 1.0, "CMYK": (0, 0, 0, 0)}.get(mode, "white")
    image = PIL.Image.new(mode, (4, 2), white)
    image.putpixel((0, 0), (0, 0, 0, 255) if mode == "CMYK" else {"LA": (0, 255), "RGB": (0, 0, 0)}.get(mode, 0))
    if mode == "RGBA":
        image.putpixel((0, 0), (0, 0, 0, 255))
    if mode == "P":
        image = PIL.Image.fromarray(np.pad([[0]], ((0, 1), (0, 3)), constant_values=255).astype(np.uint8)).convert("P")
    result = read_image(save(image, tmp_path / "a.tif"))
    assert result.dtype == np.uint8
    assert result.shape == (2, 4, 3)
    assert result.flags.writeable
    assert result[0, 0].tolist() == [0, 0, 0]
    assert result[1, 3].tolist() == [255, 255, 255]


def test_read_image__sixteen_bit_gray_is_scaled_not_clipped(tmp_path):
    gray = np.array([[0, 257, 257 * 100, 65535]], np.uint16)
    for ending in ("png", "tif"):
        result = read_image(save(PIL.Image.fromarray(gray), tmp_path / f"a.{ending}"))
        assert result[0].tolist() == [[0] * 3, [1] * 3, [100] * 3, [255] * 3]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.2, 1.0], [0, 51, 255]),
        ([0.0, 40.0, 200.0], [0, 40, 200]),
        ([0.0, 257.0, 65535.0], [0, 1, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, float("nan"), 1.0, float("inf")], [0, 0, 255, 255]),
        ([7e6, 7e6, 7e6], [0, 0, 0]),
    ],
)
def test_read_image__floating_point_gray_is_scaled_from_its_range(tmp_path, values, expected):
    path = save(PIL.Image.fromarray(np.array([values], np.float32)), tmp_path / "a.tif")
    assert read_image(path)[0, :, 1].tolist() == expected


def test_read_image__transparent_pixels_lie_over_white(tmp_path):
    rgba = PIL.Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    rgba.putpixel((1, 0), (0, 0, 0, 128))
    assert read_image(save(rgba, tmp_path / "a.png"))[0, :, 0].tolist() == [255, 127]
    assert read_image(save(rgba.convert("LA"), tmp_path / "b.png"))[0, :, 0].tolist() == [255, 127]
    palette = PIL.Image.new("P", (2, 1), 1)
    palette.putpalette([9, 9, 9, 50, 60, 70])
    palette.putpixel((0, 0), 0)
    path = save(palette, tmp_path / "c.png", transparency=0)
    assert read_image(path)[0].tolist() == [[255, 255, 255], [50, 60, 70]]


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_read_image__first_frame_of_an_animation(tmp_path, ending):
    frames = [PIL.Image.new("RGB", (9, 8), color) for color in ("red", "blue")]
    options = {"lossless": True} if ending == "webp" else {}
    path = save(frames[0], tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:], **options)
    assert np.unique(read_image(path).reshape(-1, 3), axis=0).tolist() == [[255, 0, 0]]


def test_read_image__a_wrong_ending_does_not_matter(tmp_path):
    path = save(PIL.Image.fromarray(CORNERS), tmp_path / "a.jpg", format="PNG")
    np.testing.assert_array_equal(read_image(path), CORNERS)


def test_read_image__says_what_is_wrong_with_the_file(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a photo")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "link.jpg").symlink_to("gone.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    assert reason_of(tmp_path / "gone.jpg") == "no such file"
    assert reason_of(tmp_path / "empty.jpg") == "empty file (0 bytes)"
    assert reason_of(tmp_path / "text.jpg").startswith("not an image")
    assert reason_of(tmp_path / "folder.jpg") == "a folder, not a photo"
    assert reason_of(tmp_path / "link.jpg") == "a link to a file that does not exist"
    assert reason_of(tmp_path / "loop.jpg") == "a link that leads back to itself"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_read_image__says_that_permission_is_missing(tmp_path):
    path = save(draw_noise(), tmp_path / "a.png")
    path.chmod(0)
    assert reason_of(path) == "not readable (permission denied)"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "bmp", "tif", "gif"])
def test_read_image__says_that_a_file_is_truncated(tmp_path, ending):
    path = save(draw_noise(), tmp_path / f"a.{ending}")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert reason_of(path) == f"truncated after {len(data) // 2} bytes"
    if ending != "bmp":
        path.write_bytes(data[:12])
        assert reason_of(path).startswith("truncated ")


def test_read_image__says_that_a_file_is_damaged(tmp_path):
    path = save(draw_noise(), tmp_path / "a.png")
    data = bytearray(path.read_bytes())
    data[1000:1100] = bytes(100)
    path.write_bytes(data)
    assert reason_of(path).startswith("truncated or damaged (")


def test_read_image__too_large_is_refused_before_decoding(tmp_path):
    path = save(PIL.Image.new("1", (2000, 1000)), tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:60])
    assert reason_of(path, max_megapixels=1.5) == "2000 x 1000 pixels are 2 megapixels, at most 1.5 are allowed"
    assert reason_of(path, max_megapixels=2).startswith("truncated")


def test_read_image__pillows_own_limit_is_lifted_and_put_back(tmp_path, monkeypatch):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10)
    files = [save(draw_noise(), tmp_path / name) for name in ("a.png", "a.tif")]
    shapes: list[tuple[int, ...]] = []
    threads = [threading.Thread(target=lambda: shapes.extend(read_image(f).shape for f in files)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shapes == [(40, 60, 3)] * 16
    assert PIL.Image.MAX_IMAGE_PIXELS == 10


def test_read_size__reads_the_header_only(tmp_path):
    path = save(draw_noise(40, 60), tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:60])
    assert read_size(path) == (40, 60)
    with pytest.raises(DataError, match="no such file"):
        read_size(tmp_path / "gone.png")


def test_list_photos__natural_order_at_any_depth(tmp_path):
    for name in ["10.jpg", "2.JPG", "b/1.webp", "1.txt", ".hidden.jpg", ".git/1.jpg", "__MACOSX/1.jpg", "b/.1.jpg"]:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    names = [photo.relative_to(tmp_path).as_posix() for photo in list_photos([tmp_path, str(tmp_path / "10.jpg")])]
    assert names == ["2.JPG", "10.jpg", "b/1.webp"]


def test_list_photos__patterns(tmp_path, monkeypatch):
    for name in ["a/1.jpg", "a/b/2.png", "a/3.txt", "a/.c/4.jpg", "odd[1].jpg"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert list_photos(["a/*.jpg"]) == [Path("a/1.jpg")]
    assert list_photos([str(tmp_path / "a" / "**" / "*")]) == [tmp_path / "a/1.jpg", tmp_path / "a/b/2.png"]
    assert list_photos(["odd[1].jpg"]) == [Path("odd[1].jpg")]
    assert list_photos(["a/../odd*"]) == [Path("a/../odd[1].jpg")]
    with pytest.raises(DataError, match=r"must be a pattern|holds no images"):
        list_photos(["a/**b/***"])


def test_list_photos__circles_of_links_end(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").touch()
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "a" / "other").symlink_to("../b")
    (tmp_path / "b" / "other").symlink_to("../a")
    (tmp_path / "b" / "self").symlink_to("self")
    names = [photo.relative_to(tmp_path).as_posix() for photo in list_photos([tmp_path])]
    assert names == ["a/1.jpg", "a/other/1.jpg", "b/1.jpg", "b/other/1.jpg"]


def test_list_photos__says_what_is_missing(tmp_path):
    with pytest.raises(DataError, match="there is no such file or folder"):
        list_photos([tmp_path / "gone"])
    with pytest.raises(DataError, match=r"holds no images \(\.jpg"):
        list_photos([tmp_path])
    with pytest.raises(DataError, match="holds no images"):
        list_photos([tmp_path / "*.jpg"])
    with pytest.raises(DataError, match="At least one photo"):
        list_photos([])


def test_check_photos__keeps_the_order_and_says_why(tmp_path):
    good = [Photo(save(draw_noise(8, 8), tmp_path / f"{at}.png"), f"a/{at}", (1,)) for at in range(20)]
    tiny = Photo(save(draw_noise(1, 1), tmp_path / "tiny.png"), "a/tiny", (1,))
    thin = Photo(save(draw_noise(7, 30), tmp_path / "thin.png"), "a/thin", (1,))
    gone = Photo(tmp_path / "gone.png", "a/gone", (1,))
    large = Photo(save(draw_noise(30, 30), tmp_path / "large.png"), "a/large", (1,))
    result = list(check_photos([tiny, *good, thin, gone, large], max_megapixels=0.0005))
    assert result == [
        Skipped(tiny.path, "1 x 1 pixels, at least 8 x 8 are needed"),
        *good,
        Skipped(thin.path, "30 x 7 pixels, at least 8 x 8 are needed"),
        Skipped(gone.path, "no such file"),
        Skipped(large.path, "30 x 30 pixels are 0.0009 megapixels, at most 0.0005 are allowed"),
    ]


def test_check_photos__known_ones_are_not_read(tmp_path):
    gone = Photo(tmp_path / "gone.png", "a/gone", (1,))
    assert list(check_photos([gone], 200, lambda photo: photo == gone)) == [gone]


def test_check_photos__reads_ahead_only_a_little(monkeypatch):
    started: list[str] = []
    monkeypatch.setattr(photos, "_check_photo", lambda photo, *_: started.append(photo.name) or photo)
    monkeypatch.setattr(photos, "count_cores", lambda: 2)
    results = check_photos([Photo(Path(f"{at}"), f"{at}", (1,)) for at in range(100)], 200)
    assert next(results).name == "0"
    assert len(started) <= 5
    results.close()


@pytest.mark.parametrize("needed_px, side_px", [(None, 800), (800, 800), (300, 400), (100, 100)])
def test_read_image__comes_reduced_where_less_is_needed(tmp_path, needed_px, side_px):
    path = tmp_path / "photo.jpg"
    PIL.Image.new("RGB", (800, 400), (10, 200, 30)).save(path)

    image = read_image(path, at_least_px=needed_px)

    assert image.shape == (side_px // 2, side_px, 3)
    assert np.abs(image.astype(int) - (10, 200, 30)).max() < 4


def test_check_photos__a_strip_cannot_be_learned_from(tmp_path):
    PIL.Image.new("RGB", (2000, 10)).save(tmp_path / "strip.png")
    PIL.Image.new("RGB", (320, 8)).save(tmp_path / "banner.png")
    found = list(check_photos([Photo(tmp_path / f"{name}.png", name, (1,)) for name in ("strip", "banner")], 10))
    assert isinstance(found[0], Skipped) and "one side may be at most 40 times the other" in found[0].reason
    assert isinstance(found[1], Photo)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP"])
def test_read_image__from_memory_as_from_the_file(tmp_path, form):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif} if form not in ("GIF", "BMP") else {}
    path = save(draw_noise(), tmp_path / "a", format=form, **options)
    np.testing.assert_array_equal(read_image(path.read_bytes()), read_image(path))
    assert read_size(path.read_bytes()) == read_size(path)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n", b"RIFF\xff\xff\x00\x00WEBP"])
def test_read_image__from_memory_with_the_files_reason(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_image(content)
    assert str(caught.value) == reason_of(tmp_path / "a")


@pytest.mark.fault("png-big-text")
def test_read_image__a_png_with_a_long_text(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", "x" * 2_000_000, zip=True)
    PIL.Image.new("RGB", (12, 10), "red").save(tmp_path / "a.png", pnginfo=info)
    limits = PIL.Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
    assert read_image(tmp_path / "a.png").shape == (10, 12, 3)
    assert limits == (PIL.Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK)
    info.add_text("bomb", "x" * 70_000_000, zip=True)
    PIL.Image.new("RGB", (12, 10), "red").save(tmp_path / "a.png", pnginfo=info)
    with pytest.raises(DataError, match=r"a\.png: a PNG with texts of more than 64 MB; save it without them"):
        read_image(tmp_path / "a.png")


def test_read_image__whole_files_of_unsupported_kinds_are_not_called_truncated(tmp_path):
    PIL.Image.new("RGB", (12, 10)).save(tmp_path / "a.jpg")
    content = bytearray((tmp_path / "a.jpg").read_bytes())
    content[content.index(b"\xff\xc0") + 4] = 12  # bits per channel
    (tmp_path / "a.jpg").write_bytes(content)
    for name, shape in (("five.tif", (12, 10, 5)), ("seven.tif", (12, 10, 7))):
        tifffile.imwrite(tmp_path / name, np.zeros(shape, np.uint8), photometric="minisblack", planarconfig="contig")
    for name in ("a.jpg", "five.tif", "seven.tif"):
        with pytest.raises(
            DataError, match=rf"{name}: a kind of image that is not supported .*; save it as gray or RGB"
        ):
            read_image(tmp_path / name)
        with pytest.raises(DataError, match="^a kind of image that is not supported"):
            read_image((tmp_path / name).read_bytes())
