"""Make the pictures of docs/quickstart.md from the results of its commands.

    python docs/make_quickstart_pictures.py first

They are JPEG files of at most 100 kB, in docs/images.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from coarse2fine.data import open_dataset
from coarse2fine.report.contact_sheet import draw_rounds, pick_rows
from coarse2fine.store.run import Run

IMAGES = Path(__file__).parent / "images"
CELL_PX, GAP_PX = 200, 6
MAX_BYTES = 100_000
MAX_WIDTH_PX = 1100


def main(folder: Path) -> None:
    """Write the photos of step 1, the stages of step 2 and the masks of step 5."""
    run = Run(folder / "run")
    photos = open_dataset(folder / "data" / "train").photos
    rows = pick_rows(photos, 4)
    save(join([[Image.open(photo.path) for photo in rows]]), "quickstart-photos.jpg")
    sheet = folder / "stages.png"
    rounds = len(list(run.root.glob("round-*")))
    draw_rounds(run, rows, rounds, sheet, folder / "data" / "train_masks")
    save(Image.open(sheet), "quickstart-stages.jpg")
    found = folder / "found" / "overlays"
    names = sorted(path.stem for path in found.iterdir())[:5]
    pairs = [[Image.open(folder / "data" / "val" / "images" / f"{name}.jpg") for name in names]]
    save(join([*pairs, [Image.open(found / f"{name}.jpg") for name in names]]), "quickstart-found.jpg")


def join(rows: list[list[Image.Image]]) -> Image.Image:
    """Return pictures side by side, in rows, at the same size."""
    step = CELL_PX + GAP_PX
    sheet = Image.fromarray(np.full((step * len(rows) - GAP_PX, step * len(rows[0]) - GAP_PX, 3), 255, np.uint8))
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            sheet.paste(picture.convert("RGB").resize((CELL_PX, CELL_PX)), (column * step, row * step))
    return sheet


def save(picture: Image.Image, name: str) -> None:
    """Write a JPEG file of at most `MAX_BYTES`."""
    path = IMAGES / name
    picture.thumbnail((MAX_WIDTH_PX, MAX_WIDTH_PX))
    for quality in range(90, 40, -5):
        picture.convert("RGB").save(path, quality=quality, optimize=True)
        if path.stat().st_size <= MAX_BYTES:
            break
    print(f"{path}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
