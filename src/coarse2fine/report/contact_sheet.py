"""Draw one picture of a run: photos in rows; coarse mask, enhanced mask, each round and ground truth in columns.

Source: the paper, figures 1 and 5.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from coarse2fine.data.photos import read_image
from coarse2fine.masks.palette import overlay
from coarse2fine.masks.png import mask_path, read_mask
from coarse2fine.masks.resize import resize, resize_mask
from coarse2fine.runtime.files import write_atomically
from coarse2fine.store.run import Run
from coarse2fine.types import Image, Photo

CELL_PX = 160
GAP_PX = 6
HEADER_PX = 26


def draw_rounds(run: Run, photos: Sequence[Photo], rounds: int, out: Path, ground_truth: Path | None = None) -> None:
    """Write a PNG that shows how the masks of some photos change from stage to stage.

    Args:
        run: A finished run.
        photos: Photos of the rows, from top to bottom.
        rounds: Number of rounds of the run.
        out: The PNG file.
        ground_truth: Folder of ground-truth masks named like the photos; None for no such column.
    """
    columns = [("photo", None), ("coarse", run.coarse), ("enhanced", run.enhanced(0))]
    columns += [(f"round {number}", run.enhanced(number)) for number in range(1, rounds + 1)]
    columns += [("ground truth", ground_truth)] if ground_truth else []
    step = CELL_PX + GAP_PX
    sheet = np.full((HEADER_PX + step * len(photos), step * len(columns) + GAP_PX, 3), 255, dtype=np.uint8)
    for row, photo in enumerate(photos):
        image = read_image(photo.path)
        for column, (_, folder) in enumerate(columns):
            cell = _fit_cell(image if folder is None else _draw_mask(image, folder, photo))
            top, left = HEADER_PX + row * step, GAP_PX + column * step
            sheet[top : top + CELL_PX, left : left + CELL_PX] = cell
    picture = PillowImage.fromarray(sheet)
    drawing = ImageDraw.Draw(picture)
    for column, (title, _) in enumerate(columns):
        middle = (GAP_PX + column * step + CELL_PX // 2, HEADER_PX // 2)
        drawing.text(middle, title, fill="black", anchor="mm", font=ImageFont.load_default(14))
    with write_atomically(out) as file:
        picture.save(file, format="PNG", optimize=True)


def pick_rows(photos: Sequence[Photo], rows: int) -> list[Photo]:
    """Pick the first photos of all classes, or sets of classes, in turn, ``rows`` in total."""
    by_label: dict[tuple[int, ...], list[Photo]] = {}
    for photo in photos:
        by_label.setdefault(photo.labels, []).append(photo)
    turns = [group[turn] for turn in range(rows) for group in by_label.values() if turn < len(group)]
    return turns[:rows]


def _draw_mask(image: Image, folder: Path, photo: Photo) -> Image:
    mask = resize_mask(read_mask(mask_path(folder, photo.name)), *image.shape[:2])
    return overlay(image, mask)


def _fit_cell(image: Image) -> Image:
    small = resize_longer_side(image, CELL_PX)
    height, width = small.shape[:2]
    cell = np.full((CELL_PX, CELL_PX, 3), 255, dtype=np.uint8)
    top, left = (CELL_PX - height) // 2, (CELL_PX - width) // 2
    cell[top : top + height, left : left + width] = small
    return cell


def resize_longer_side(image: Image, side_px: int) -> Image:
    """Resize a photo, up or down, so that its longer side is ``side_px``."""
    factor = side_px / max(image.shape[:2])
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    return resize(image, height, width)
