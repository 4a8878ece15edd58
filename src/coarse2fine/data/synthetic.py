"""Draw the data set of ``coarse2fine demo``: six kinds of small objects on cluttered ground, with exact masks.

Layout of the folder::

    train/<class>/0000.jpg        one label each; about a quarter also show a second object without label
    train_masks/<class>/0000.png  exact masks, only for measuring
    val/images/0000.jpg           several classes per photo
    val/masks/0000.png
    classes.txt                   background and the class names, by index; written last
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from coarse2fine.data.synthetic_objects import OBJECTS, Sprite, draw_noise, draw_object, pick_color
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.masks.palette import color_table
from coarse2fine.masks.resize import resize
from coarse2fine.types import BACKGROUND, Image, Mask

CLASSES: tuple[str, ...] = ("background", *sorted(OBJECTS))
"""Class names by index; index 0 is background."""

MIN_SIZE_PX = 32
MOST_OBJECTS = 3
"""In a validation photo, each of another class."""

JPEG_QUALITY = 92
SECOND_OBJECT_SHARE = 0.25
TWO_GROUNDS_SHARE = 0.6
MAX_CANVAS_SHARE = 0.95

_OVERSAMPLING = 3
"""Photos are drawn this many times larger and then reduced, which smooths the edges."""

_GROUNDS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "grass": ((38, 58, 22), (70, 98, 36), (112, 132, 58), (150, 150, 84)),
    "pebbles": ((62, 58, 56), (96, 90, 86), (128, 118, 108), (92, 74, 60)),
    "sand": ((150, 122, 88), (188, 160, 118), (208, 186, 146), (226, 208, 172)),
    "soil": ((40, 28, 20), (72, 50, 36), (104, 74, 50), (128, 98, 70)),
    "water": ((28, 66, 84), (52, 104, 118), (98, 148, 150), (150, 184, 176)),
    "wood": ((84, 52, 30), (128, 84, 50), (162, 116, 74), (190, 148, 104)),
}

Place = tuple[int, float, float, float]
"""Class index, square root of the object's area relative to the side of the photo, and its center x, y from 0 to 1."""


def draw_dataset(
    out: Path,
    seed: int = 0,
    train_per_class: int = 60,
    val_photos: int = 60,
    size_px: int = 128,
    classes: int = len(OBJECTS),
) -> None:
    """Draw the demo data set; the same arguments give the same bytes.

    Photos with the same names are overwritten, so that an interrupted call can be repeated.

    Args:
        out: Folder for the data set; it is created.
        seed: Random seed of all photos, at least 0.
        train_per_class: Training photos per class, at least 1.
        val_photos: Validation photos, with several classes each, at least 1.
        size_px: Side of the square photos, in pixels, at least 32.
        classes: Number of classes, 3 to 6: the first ones of `CLASSES`.

    Raises:
        ConfigError: A count, the size or the seed is too small, or there are not so many classes.
        DataError: ``out`` contains photos that are not part of this data set.
    """
    if min(train_per_class, val_photos) < 1 or size_px < MIN_SIZE_PX or seed < 0:
        raise ConfigError(
            f"The demo data set needs train_per_class and val_photos of at least 1, size_px of at least {MIN_SIZE_PX} "
            f"and seed of at least 0; found train_per_class = {train_per_class}, val_photos = {val_photos}, "
            f"size_px = {size_px}, seed = {seed}."
        )
    if not MOST_OBJECTS <= classes <= len(OBJECTS):
        raise ConfigError(f"The demo data set has {MOST_OBJECTS} to {len(OBJECTS)} classes; found classes = {classes}.")
    names = CLASSES[: classes + 1]
    train = {f"train/{names[k]}/{i:04d}": (k, i) for k in range(1, len(names)) for i in range(train_per_class)}
    val = {f"val/images/{i:04d}": (0, i) for i in range(val_photos)}
    _refuse_other_files(out, {out / f"{name}.jpg" for name in (*train, *val)})
    for name, (label, index) in (train | val).items():
        rng = np.random.default_rng((seed, label, index))
        places = _place_train(rng, label, classes) if label else _place_val(rng, classes)
        image, mask = draw_photo(rng, places, size_px)
        mask_name = name.replace("train/", "train_masks/").replace("val/images/", "val/masks/")
        _write(out, name, mask_name, image, mask)
    (out / "classes.txt").write_text("\n".join(names) + "\n", encoding="utf-8")


def draw_photo(rng: np.random.Generator, places: Sequence[Place], size_px: int) -> tuple[Image, Mask]:
    """Draw one photo.

    Args:
        rng: Random numbers for everything except the places.
        places: Objects and their positions; later objects cover earlier ones; each class occurs at most once.
        size_px: Side S, in pixels.

    Returns:
        The photo, shape (S, S, 3), and its mask, shape (S, S): the class that covers the largest part of each pixel.
    """
    side_px = size_px * _OVERSAMPLING
    sprites = [_draw_sprite(rng, label, size, side_px) for label, size, _, _ in places]
    canvas = _draw_backdrop(rng, side_px, np.concatenate([sprite.color[sprite.alpha > 0] for sprite in sprites]))
    labels = np.zeros((side_px, side_px), np.uint8)
    light = rng.uniform(0, 2 * np.pi)
    for sprite, (label, _, x, y) in zip(sprites, places, strict=True):
        _paste(canvas, labels, _shade(sprite, light), label=label, x_px=round(x * side_px), y_px=round(y * side_px))
    present = np.array([BACKGROUND, *(label for label, *_ in places)], np.uint8)
    shares = [_downsample((labels == label).astype(np.float32), size_px) for label in present]
    return _expose(rng, canvas, light, size_px), present[np.argmax(shares, axis=0)]


def _place_train(rng: np.random.Generator, label: int, classes: int) -> list[Place]:
    """Place the labeled object in the middle, sometimes a smaller object of another class near a corner."""
    x, y = rng.uniform(0.36, 0.64, 2)
    places = [(label, rng.uniform(0.34, 0.56), x, y)]
    if rng.random() < SECOND_OBJECT_SHARE:
        other = int(rng.choice([k for k in range(1, classes + 1) if k != label]))
        corner_x, corner_y = np.where(np.array([x, y]) < 0.5, 0.88, 0.12) + rng.uniform(-0.1, 0.1, 2)
        places.insert(0, (other, rng.uniform(0.16, 0.24), corner_x, corner_y))
    return places


def _place_val(rng: np.random.Generator, classes: int) -> list[Place]:
    """Place two or three objects of different classes side by side."""
    count = int(rng.integers(2, MOST_OBJECTS + 1))
    angles = rng.uniform(0, 2 * np.pi) + 2 * np.pi * (np.arange(count) + rng.uniform(-0.1, 0.1, count)) / count
    labels = rng.choice(np.arange(1, classes + 1), count, replace=False)
    sizes = rng.uniform(0.22, 0.36 if count == 2 else 0.3, count)
    return [
        (int(label), size, 0.5 + 0.27 * np.cos(angle), 0.5 + 0.27 * np.sin(angle))
        for label, size, angle in zip(labels, sizes, angles, strict=True)
    ]


def _draw_sprite(rng: np.random.Generator, label: int, size: float, side_px: int) -> Sprite:
    canvas_share = min(size / OBJECTS[CLASSES[label]].cover ** 0.5, MAX_CANVAS_SHARE)
    return draw_object(CLASSES[label], rng, round(canvas_share * side_px))


def _draw_backdrop(rng: np.random.Generator, side_px: int, colors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Draw one or two kinds of ground that meet along a ragged line, and litter in some of the given colors."""
    first, second = rng.choice(sorted(_GROUNDS), 2, replace=False)
    backdrop = _draw_ground(rng, side_px, first)
    if rng.random() < TWO_GROUNDS_SHARE:
        there = draw_noise(rng, side_px, 2) > rng.uniform(0.4, 0.6)
        np.copyto(backdrop, _draw_ground(rng, side_px, second), where=there[..., None])
    litter = np.stack([*rng.choice(colors, 3), *(pick_color(rng, (0, 1), (0.2, 0.8), (0.1, 0.95)) for _ in range(3))])
    _scatter_strokes(backdrop, rng, litter, count=int(rng.integers(3, 10)), length=0.4, width=0.02)
    _scatter_blobs(backdrop, rng, litter, count=int(rng.integers(4, 14)), radius=(0.012, 0.07))
    return backdrop


def _draw_ground(rng: np.random.Generator, side_px: int, kind: str) -> NDArray[np.float32]:
    palette = np.array(_GROUNDS[kind], np.float64) * rng.uniform(0.8, 1.2) + rng.uniform(-14, 14, 3)
    stretch = {"wood": 12, "water": 4}.get(kind, 1)
    noise = draw_noise(rng, side_px, int(rng.integers(4, 10)) * (2 if stretch > 1 else 1), 5, stretch)
    if stretch > 1:
        noise = 0.5 + 0.5 * np.sin(rng.uniform(8, 20) * noise)
    noise = np.ascontiguousarray(np.rot90(noise, int(rng.integers(4))))
    levels = np.linspace(0, 1, 256)
    ramp = np.stack([np.interp(levels, np.linspace(0, 1, len(palette)), channel) for channel in palette.T], axis=1)
    ground = ramp.astype(np.float32)[(noise * 255).astype(np.uint8)]
    if kind == "grass":
        _scatter_strokes(ground, rng, palette, count=260, length=0.12, width=0.012)
    if kind == "pebbles":
        _scatter_blobs(ground, rng, palette, count=150, radius=(0.02, 0.09))
    if kind in ("sand", "soil"):
        _scatter_blobs(ground, rng, palette, count=200, radius=(0.003, 0.015))
    return ground


def _scatter_strokes(
    ground: NDArray[np.float32],
    rng: np.random.Generator,
    colors: NDArray[np.float64],
    *,
    count: int,
    length: float,
    width: float,
) -> None:
    """Draw bent strokes such as blades of grass; lengths and widths are relative to the side."""
    side_px = len(ground)
    for _ in range(count):
        angle, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-0.6, 0.6)
        steps = np.array([[0, 0], [np.cos(angle), np.sin(angle)], [np.cos(angle + bend), np.sin(angle + bend)]])
        points = rng.uniform(0, 1, 2) + np.cumsum(steps, axis=0) * length * rng.uniform(0.2, 0.5)
        color = colors[rng.integers(len(colors))] * rng.uniform(0.7, 1.2)
        width_px = max(round(side_px * width * rng.uniform(0.4, 1)), 1)
        cv2.polylines(ground, [np.rint(points * side_px).astype(np.int32)], False, color.tolist(), width_px)


def _scatter_blobs(
    ground: NDArray[np.float32],
    rng: np.random.Generator,
    colors: NDArray[np.float64],
    *,
    count: int,
    radius: tuple[float, float],
) -> None:
    """Draw stones with a dark rim and a lit side; radii are relative to the side."""
    centers = rng.uniform(0, 1, (count, 2)) * len(ground)
    axes = (rng.uniform(*radius, count) * len(ground))[:, None] * rng.uniform(0.6, 1, (count, 2))
    tints = colors[rng.integers(len(colors), size=count)] * rng.uniform(0.75, 1.25, (count, 1))
    for center, axis, tint in zip(centers, axes, tints, strict=True):
        for shift, scale, tone in ((0.12, 1.1, 0.5), (0.0, 1.0, 1.0), (-0.25, 0.55, 1.15)):
            box = (center + shift * axis, 2 * scale * axis, 0.0)
            cv2.ellipse(ground, box, (tint * tone).tolist(), cv2.FILLED)


def _shade(sprite: Sprite, light: float) -> Sprite:
    """Shade the object like a dome: brighter where its surface faces the direction ``light`` (radians)."""
    depth = cv2.distanceTransform(sprite.alpha, cv2.DIST_L2, 3)
    rise = np.clip(depth / (0.6 * depth.max()), 0, 1)
    height = cv2.blur(np.sqrt(1 - (1 - rise) ** 2), (len(depth) // 20 * 2 + 1,) * 2)
    slope_x, slope_y = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=1), cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=1)
    rise_to_light = slope_x * np.float32(np.cos(light)) + slope_y * np.float32(np.sin(light))
    facing = np.clip(rise_to_light * np.float32(-len(depth) / 12), -1, 1)
    tone = 1 + 0.45 * facing
    gloss = 90 * np.clip(facing - 0.35, 0, 1) ** 2
    return Sprite((sprite.color * tone[..., None] + gloss[..., None]).astype(np.float32), sprite.alpha)


def _paste(
    canvas: NDArray[np.float32], labels: NDArray[np.uint8], sprite: Sprite, *, label: int, x_px: int, y_px: int
) -> None:
    """Draw an object, centered at x, y, and its soft shadow on the canvas; parts outside are cut off."""
    side_px, half_px = len(sprite.alpha), len(sprite.alpha) // 2
    size_px = len(canvas)
    top, left = max(y_px - half_px, 0), max(x_px - half_px, 0)
    bottom, right = min(y_px - half_px + side_px, size_px), min(x_px - half_px + side_px, size_px)
    here = np.s_[top:bottom, left:right]
    there = np.s_[top - y_px + half_px : bottom - y_px + half_px, left - x_px + half_px : right - x_px + half_px]
    shadow = cv2.blur(np.roll(sprite.alpha, side_px // 24, axis=(0, 1)), (side_px // 16 * 2 + 1,) * 2) / np.float32(255)
    canvas[here] *= (1 - 0.45 * shadow[there])[..., None]
    opaque = sprite.alpha[there] > 0
    np.copyto(canvas[here], sprite.color[there], where=opaque[..., None])
    labels[here][opaque] = label


def _expose(rng: np.random.Generator, canvas: NDArray[np.float32], light: float, size_px: int) -> Image:
    """Reduce the canvas, then add a lighting gradient, a slight tint, blur and sensor noise."""
    photo = _downsample(canvas, size_px)
    y, x = np.mgrid[0:size_px, 0:size_px] / size_px - 0.5
    photo *= (rng.uniform(0.85, 1.1) - rng.uniform(0, 0.5) * (x * np.cos(light) + y * np.sin(light)))[..., None]
    photo *= rng.uniform(0.92, 1.08, 3)
    photo = cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.3, 0.8))
    photo += rng.normal(0, rng.uniform(2, 7), photo.shape)
    return np.asarray(np.clip(photo, 0, 255).astype(np.uint8))


def _downsample(field: NDArray[np.float32], size_px: int) -> NDArray[np.float32]:
    return np.asarray(resize(field, size_px, size_px))


def _refuse_other_files(out: Path, expected: set[Path]) -> None:
    others = sorted({*out.glob("train/*/*"), *out.glob("val/images/*")} - expected)
    if others:
        raise DataError(
            f"{out} must be empty or contain only this data set, found {len(others)} other files such as "
            f"{others[0]}; choose another folder."
        )


def _write(out: Path, name: str, mask_name: str, image: Image, mask: Mask) -> None:
    image_path, mask_path = out / f"{name}.jpg", out / f"{mask_name}.png"
    for path in (image_path, mask_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(image).save(image_path, quality=JPEG_QUALITY)
    indexed = PIL.Image.fromarray(mask, mode="P")
    indexed.putpalette(color_table().tobytes())
    indexed.save(mask_path)
