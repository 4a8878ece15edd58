"""The six objects of the demo data set, each drawn upright on a square canvas, with its own shape, texture and colors.

Points are in canvas units: the canvas spans -1 to 1 in x (right) and y (down), and objects stay inside the unit circle,
so that they can be rotated by any angle.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]
Color = NDArray[np.float64]
Field = NDArray[np.float32]


_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 41)), np.sin(np.linspace(0, 2 * np.pi, 41))], axis=1)


@dataclass(frozen=True)
class Sprite:
    """The canvas of an object.

    Attributes:
        color: RGB, shape (S, S, 3), 0 to 255.
        alpha: 255 on the object, else 0, shape (S, S).
    """

    color: Field
    alpha: NDArray[np.uint8]


def draw_object(name: str, rng: np.random.Generator, side_px: int) -> Sprite:
    """Draw an object of the class ``name``, rotated and mirrored at random, on a canvas of side ``side_px``."""
    draw, tilt_max_deg, _ = OBJECTS[name]
    sprite = Sprite(np.zeros((side_px, side_px, 3), np.float32), np.zeros((side_px, side_px), np.uint8))
    draw(sprite, rng)
    turn = cv2.getRotationMatrix2D((side_px / 2, side_px / 2), rng.uniform(-tilt_max_deg, tilt_max_deg), 1.0)
    step = int(rng.choice((-1, 1)))  # -1 mirrors

    def place(layer: NDArray[Any]) -> NDArray[Any]:
        mirrored = np.ascontiguousarray(layer[:, ::step])
        return np.asarray(cv2.warpAffine(mirrored, turn, (side_px, side_px), flags=cv2.INTER_NEAREST))

    return Sprite(place(sprite.color), place(sprite.alpha))


def draw_noise(rng: np.random.Generator, side_px: int, cells: int, octaves: int = 4, stretch: int = 1) -> Field:
    """Compute value noise, shape (S, S), 0 to 1: a sum of random grids, each twice as fine and half as strong.

    Args:
        rng: Source of the random numbers.
        side_px: Side S.
        cells: Grid cells along x in the coarsest octave.
        octaves: Number of grids.
        stretch: Factor by which features are longer along y.
    """
    total = np.zeros((side_px, side_px), np.float32)
    for octave in range(octaves):
        columns = min(cells * 2**octave, side_px) + 1
        grid = rng.random((max(columns // stretch, 2), columns), np.float32)
        total += cv2.resize(grid, (side_px, side_px), interpolation=cv2.INTER_LINEAR) * 0.5**octave
    low, high = total.min(), total.max()
    return np.asarray((total - low) / (high - low), np.float32)


def pick_color(rng: np.random.Generator, hue: ArrayLike, saturation: ArrayLike, value: ArrayLike) -> Color:
    """Draw a random RGB color, shape (3,), 0 to 255, from HSV ranges; hue in turns, also above 1."""
    h, s, v = (rng.uniform(*np.asarray(limits)) for limits in (hue, saturation, value))
    k = (np.array([5, 3, 1]) + h * 6) % 6
    return np.asarray(255 * v * (1 - s * np.clip(np.minimum(k, 4 - k), 0, 1)))


def ellipse(x: float, y: float, radius_x: float, radius_y: float) -> Points:
    """Compute the closed outline of an ellipse with axes along x and y, shape (41, 2)."""
    return np.asarray((x, y) + _CIRCLE * (radius_x, radius_y))


def _to_px(sprite: Sprite, points: ArrayLike) -> NDArray[np.int32]:
    return np.rint((np.asarray(points) + 1) * (len(sprite.alpha) / 2)).astype(np.int32)


def _fill(sprite: Sprite, points: ArrayLike, color: Color, within: NDArray[np.bool_] | None = None) -> None:
    """Fill a polygon; with ``within`` only inside this region, else the polygon is added to the object."""
    if within is None:
        cv2.fillPoly(sprite.color, [_to_px(sprite, points)], color.tolist())
        cv2.fillPoly(sprite.alpha, [_to_px(sprite, points)], 255)
        return
    area = cv2.fillPoly(np.zeros_like(sprite.alpha), [_to_px(sprite, points)], 1)
    sprite.color[within & (area > 0)] = color


def _stroke(
    sprite: Sprite, points: ArrayLike, width: float, color: Color, within: NDArray[np.bool_] | None = None
) -> None:
    """Draw an open line of the given width; ``within`` as in :func:`_fill`."""
    line, width_px = [_to_px(sprite, points)], max(round(width * len(sprite.alpha) / 2), 1)
    if within is None:
        cv2.polylines(sprite.color, line, False, color.tolist(), width_px)
        cv2.polylines(sprite.alpha, line, False, 255, width_px)
        return
    area = cv2.polylines(np.zeros_like(sprite.alpha), line, False, 1, width_px)
    sprite.color[within & (area > 0)] = color


def _mottle(sprite: Sprite, rng: np.random.Generator, cells: int, strength: float, stretch: int = 1) -> None:
    """Vary the brightness with value noise, by at most ``strength`` in both directions."""
    noise = draw_noise(rng, len(sprite.alpha), cells, octaves=3, stretch=stretch)
    sprite.color[:] *= (1 + strength * (2 * noise - 1))[..., None]


def _draw_button(sprite: Sprite, rng: np.random.Generator) -> None:
    base = pick_color(rng, (0, 1), (0.05, 0.85), (0.4, 0.95))
    angle = np.linspace(0, 2 * np.pi, 160)
    waves = rng.choice((0, 0, 8, 12)) * angle
    rim = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (0.93 - 0.04 * np.cos(waves))[:, None]
    _fill(sprite, rim, base)
    _mottle(sprite, rng, int(rng.integers(2, 6)), rng.uniform(0.1, 0.4), stretch=int(rng.choice((1, 4))))
    _stroke(sprite, ellipse(0, 0, 0.72, 0.72), 0.09, base * 0.55)
    _stroke(sprite, ellipse(0, 0, 0.78, 0.78), 0.04, np.minimum(base * 1.3 + 20, 255))
    holes, distance = int(rng.choice((2, 4))), rng.uniform(0.2, 0.28)
    spots = [distance * np.array([np.cos(t), np.sin(t)]) for t in 2 * np.pi * np.arange(holes) / holes]
    for x, y in spots:
        _fill(sprite, ellipse(x, y, 0.12, 0.12), base * 0.15)
    if rng.random() < 0.5:
        thread = pick_color(rng, (0, 1), (0, 0.6), (0.5, 1))
        for start, end in zip(spots[: holes // 2], spots[holes // 2 :], strict=True):
            _stroke(sprite, [start, end], 0.08, thread)


def _draw_fish(sprite: Sprite, rng: np.random.Generator) -> None:
    hue = rng.uniform(0, 1)
    base = pick_color(rng, (hue, hue), (0.45, 0.9), (0.55, 0.95))
    accent = pick_color(rng, (hue + 0.3, hue + 0.7), (0.2, 0.9), (0.3, 1))
    height, fork = rng.uniform(0.36, 0.52), rng.uniform(0.68, 0.85)
    fin = rng.uniform(0.5, 0.8) * base + 0.2 * accent
    _fill(sprite, [(0.4, 0), (0.9, -0.42), (fork, 0), (0.9, 0.42)], fin)
    _fill(sprite, [(-0.35, -height * 0.7), (0.0, -height - 0.25), (0.45, -height - 0.12), (0.35, -0.1)], fin)
    _fill(sprite, [(-0.1, height * 0.7), (0.15, height + 0.2), (0.35, height * 0.6)], fin)
    for x in np.linspace(0.05, 0.45, 5):
        _stroke(sprite, [(x - 0.1, -0.1), (x + 0.1, -height - 0.3)], 0.02, fin * 0.6, sprite.alpha > 0)
    body = ellipse(-0.2, 0, 0.74, height)
    body[:, 1] *= 1 - 0.35 * np.clip(body[:, 0] + 0.2, 0, 1)
    _fill(sprite, body, base)
    inside = cv2.fillPoly(np.zeros_like(sprite.alpha), [_to_px(sprite, body)], 1) > 0
    if rng.random() < 0.6:
        for x in np.linspace(-0.4, 0.4, int(rng.integers(2, 6))):
            _stroke(sprite, [(x - 0.05, -0.7), (x + 0.05, 0), (x - 0.05, 0.7)], rng.uniform(0.08, 0.14), accent, inside)
    _draw_scales(sprite, base, inside)
    _stroke(sprite, [(-0.58, -height), (-0.5, 0), (-0.58, height)], 0.04, base * 0.5, inside)
    _fill(sprite, ellipse(-0.7, -0.1, 0.1, 0.1), np.array([245.0, 245, 235]))
    _fill(sprite, ellipse(-0.72, -0.1, 0.055, 0.055), np.array([15.0, 15, 20]))
    _mottle(sprite, rng, 4, 0.15)


def _draw_scales(sprite: Sprite, base: Color, inside: NDArray[np.bool_]) -> None:
    arc = np.stack([np.cos(np.linspace(-1.3, 1.3, 7)), np.sin(np.linspace(-1.3, 1.3, 7))], axis=1) * 0.08
    area = np.zeros_like(sprite.alpha)
    centers = [
        (x + 0.06 * (row % 2), y) for row, y in enumerate(np.arange(-0.5, 0.5, 0.1)) for x in np.arange(-0.5, 0.5, 0.13)
    ]
    cv2.polylines(area, [_to_px(sprite, arc + center) for center in centers], False, 1, 1 + len(area) // 150)
    lines = inside & (area > 0)
    sprite.color[lines] = 0.6 * sprite.color[lines] + 0.15 * base


def _draw_ladybird(sprite: Sprite, rng: np.random.Generator) -> None:
    shell = pick_color(rng, (-0.02, 0.13), (0.8, 1), (0.65, 0.95))
    black = pick_color(rng, (0, 1), (0, 0.3), (0.05, 0.15))
    spot = black
    if rng.random() < 0.15:
        shell, spot = black * 1.5, shell
    length, width = rng.uniform(0.66, 0.72), rng.uniform(0.56, 0.66)
    for x, reach in ((-0.35, -0.2), (0.1, 0.0), (0.45, 0.2)):
        for side in (-1, 1):
            _stroke(sprite, [(x, 0), (x + reach / 2, side * 0.72), (x + reach, side * 0.86)], 0.08, black)
    for side in (-1, 1):
        _stroke(sprite, [(-0.6, 0), (-0.85, side * 0.2), (-0.93, side * 0.3)], 0.04, black)
    _fill(sprite, ellipse(-0.62, 0, 0.25, 0.33), black)
    for side in (-1, 1):
        _fill(sprite, ellipse(-0.66, side * 0.2, 0.09, 0.08), np.array([240.0, 240, 225]))
    shape = ellipse(0.12, 0, length, width)
    _fill(sprite, shape, shell)
    inside = cv2.fillPoly(np.zeros_like(sprite.alpha), [_to_px(sprite, shape)], 1) > 0
    radius = rng.uniform(0.09, 0.16)
    places = np.array([(-0.25, 0.25), (0.1, 0.4), (0.15, 0.16), (0.45, 0.25), (0.55, 0.05), (-0.1, 0.45)])
    for x, y in places[: rng.integers(2, 7)] + rng.uniform(-0.04, 0.04, 2):
        for side in (-1, 1):
            _fill(sprite, ellipse(x, side * y, radius, radius * 0.9), spot, inside)
    _fill(sprite, ellipse(-0.45, 0, 0.12, 0.14), spot, inside)
    _stroke(sprite, [(-0.6, 0), (1, 0)], 0.035, black, inside)
    _mottle(sprite, rng, 3, 0.1)


def _draw_leaf(sprite: Sprite, rng: np.random.Generator) -> None:
    base = pick_color(rng, (0.06, 0.38), (0.45, 0.9), (0.35, 0.8))
    vein = np.minimum(base * 1.35 + 25, 255) if rng.random() < 0.7 else base * 0.55
    t = np.linspace(0, 1, 90)
    lobes, depth = ((16, 0.05), (9, 0.12), (5, 0.3), (1, 0.0))[rng.integers(4)]
    half = rng.uniform(0.42, 0.62) * np.sin(np.pi * t ** rng.uniform(0.7, 1.3)) ** 0.8
    half *= 1 - depth + depth * np.abs(np.cos(np.pi * lobes * t))
    bend = rng.uniform(-0.25, 0.25)

    def place(along: ArrayLike, across: ArrayLike) -> Points:
        x = -0.9 + 1.5 * np.asarray(along)
        return np.stack([x, np.asarray(across) + bend * (x**2 - 0.3)], axis=-1)

    _stroke(sprite, place(np.linspace(0.9, 1.15, 5), np.zeros(5)), 0.07, vein * 0.8)
    _fill(sprite, np.concatenate([place(t, half), place(t[::-1], -half[::-1])]), base)
    second = pick_color(rng, (0.02, 0.3), (0.5, 0.9), (0.3, 0.8))
    patches = (draw_noise(rng, len(sprite.alpha), 4) > rng.uniform(0.55, 0.9)) & (sprite.alpha > 0)
    sprite.color[patches] = 0.5 * sprite.color[patches] + 0.5 * second
    _mottle(sprite, rng, 8, 0.25)
    inside = sprite.alpha > 0
    for start in np.linspace(0.15, 0.85, int(rng.integers(5, 9))):
        for side in (-0.5, 0.5):
            _stroke(sprite, place([start, start - 0.16], [0, side]), 0.025, vein, inside)
    _stroke(sprite, place(t, 0 * t), 0.05, vein, inside)


def _draw_mushroom(sprite: Sprite, rng: np.random.Generator) -> None:
    cap = pick_color(rng, (-0.02, 0.11), (0.35, 0.95), (0.4, 0.9))
    stem = pick_color(rng, (0.08, 0.14), (0.05, 0.3), (0.7, 0.95))
    neck, foot = rng.uniform(0.15, 0.26), rng.uniform(0.24, 0.36)
    width, height = rng.uniform(0.74, 0.9), rng.uniform(0.6, 0.88)
    _fill(sprite, [(-neck, 0), (-neck, 0.3), (-foot, 0.8), (-foot * 0.6, 0.9), (foot * 0.6, 0.9), (foot, 0.8),
                   (neck, 0.3), (neck, 0)], stem)  # fmt: skip
    _mottle(sprite, rng, 12, 0.2, stretch=6)
    _fill(sprite, ellipse(0, 0.02, width * 0.92, 0.17), stem * 0.8)
    for x in np.linspace(-0.9, 0.9, 19):
        _stroke(sprite, [(x * 0.25, 0), (x * width, 0.15)], 0.02, stem * 0.5, sprite.alpha > 0)
    angle = np.linspace(np.pi, 2 * np.pi, 40)
    brim = np.linspace(1, -1, 20)
    edge = np.stack([brim * width, 0.1 - 0.14 * (1 - brim**2)], axis=1)
    dome = np.stack([width * np.cos(angle), 0.1 + height * np.sin(angle)], axis=1)
    outline = np.concatenate([dome, edge])
    _fill(sprite, outline, cap)
    inside = cv2.fillPoly(np.zeros_like(sprite.alpha), [_to_px(sprite, outline)], 1) > 0
    wart = pick_color(rng, (0.1, 0.14), (0, 0.25), (0.8, 1)) if rng.random() < 0.7 else cap * 0.6
    for x, y, radius in rng.uniform((-0.75, -0.7, 0.04), (0.75, 0.05, 0.11), (int(rng.integers(9, 18)), 3)):
        _fill(sprite, ellipse(x, y, radius, radius * 0.8), wart, inside)
    _mottle(sprite, rng, 5, 0.12)


def _draw_starfish(sprite: Sprite, rng: np.random.Generator) -> None:
    hue = rng.choice((0.03, 0.09, 0.62, 0.8, 0.95)) + rng.uniform(-0.03, 0.03)
    base = pick_color(rng, (hue, hue), (0.4, 0.85), (0.5, 0.9))
    arms, inner, sharpness = int(rng.choice((5, 5, 5, 6))), rng.uniform(0.34, 0.46), rng.uniform(1.6, 2.8)
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    twist = 0.12 * np.sin(angle + rng.uniform(0, 6)) + rng.uniform(-0.1, 0.1) * np.cos(arms * angle)
    reach = 1 - 0.2 * (0.5 + 0.5 * np.sin(angle + rng.uniform(0, 6)))
    radius = inner + (0.95 * reach - inner) * np.abs(np.cos(arms * angle / 2)) ** sharpness
    _fill(sprite, np.stack([radius * np.cos(angle + twist), radius * np.sin(angle + twist)], axis=1), base)
    _mottle(sprite, rng, 16, 0.3)
    inside = sprite.alpha > 0
    pale = np.minimum(base * 0.5 + 125, 255)
    along = np.linspace(0.1, 0.85, int(rng.integers(6, 10)))
    for arm in np.arange(arms) * 2 * np.pi / arms:
        bent = arm + np.interp(arm, angle, twist)
        for r in along:
            _fill(sprite, ellipse(r * np.cos(bent), r * np.sin(bent), 0.045, 0.045), pale, inside)
    for x, y in rng.uniform(-0.8, 0.8, (50, 2)):
        _fill(sprite, ellipse(x, y, 0.025, 0.025), pale, inside)


class ObjectDrawing(NamedTuple):
    """The drawing of a class.

    Attributes:
        draw: Function that draws the object, upright, on an empty canvas.
        tilt_max_deg: Largest rotation in both directions, in degrees.
        cover: Share of its canvas that the object covers on average.
    """

    draw: Callable[[Sprite, np.random.Generator], None]
    tilt_max_deg: float
    cover: float


OBJECTS: dict[str, ObjectDrawing] = {
    "button": ObjectDrawing(_draw_button, 180, 0.67),
    "fish": ObjectDrawing(_draw_fish, 40, 0.34),
    "ladybird": ObjectDrawing(_draw_ladybird, 180, 0.45),
    "leaf": ObjectDrawing(_draw_leaf, 180, 0.27),
    "mushroom": ObjectDrawing(_draw_mushroom, 35, 0.30),
    "starfish": ObjectDrawing(_draw_starfish, 180, 0.31),
}
"""Drawings by class name."""
