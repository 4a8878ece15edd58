"""Write docs/images/loop.svg, the figure of docs/how_it_works.md: python docs/make_figure.py."""

from pathlib import Path
from typing import NamedTuple

WIDTH, HEIGHT = 976, 300
BOX_WIDTH, BOX_HEIGHT = 152, 58
DATA, STEP = "#e8eef2", "#d3f0ea"


class Box(NamedTuple):
    """A box: its column and row (each box has the same size), two lines of text, and its color."""

    column: float
    row: float
    title: str
    text: str
    color: str

    @property
    def left(self) -> float:
        """Left edge, in pixels."""
        return 16 + self.column * 198

    @property
    def top(self) -> float:
        """Upper edge, in pixels."""
        return 20 + self.row * 101

    @property
    def middle(self) -> tuple[float, float]:
        """Center x and y, in pixels."""
        return self.left + BOX_WIDTH / 2, self.top + BOX_HEIGHT / 2


BOXES = {
    "photos": Box(0, 0, "photos with labels", "no masks", DATA),
    "coarse": Box(1, 0, "1. coarse masks", "without labels", STEP),
    "enhance": Box(2, 0, "2. enhance", "GrabCut", STEP),
    "masks": Box(3, 0, "training masks", "value = the label", DATA),
    "train": Box(3, 1, "3. train", "a network", STEP),
    "network": Box(4, 1, "the network", "for any photo", DATA),
    "predict": Box(3, 2, "4. predict", "the training photos", STEP),
    "constrain": Box(2, 2, "5. constrain, filter", "by the label", STEP),
    "again": Box(2, 1, "6. enhance", "GrabCut", STEP),
    "final": Box(1, 1, "final masks", "after the last round", DATA),
}
ARROWS = (
    ("photos", "coarse"),
    ("coarse", "enhance"),
    ("enhance", "masks"),
    ("masks", "train"),
    ("train", "predict"),
    ("train", "network"),
    ("predict", "constrain"),
    ("constrain", "again"),
    ("again", "final"),
)


def draw() -> str:
    """Return the figure as SVG. It has a background of its own, so that it is readable on dark pages, too."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" role="img">',
        "<title>The loop from labels to masks to a network</title>",
        '<defs><marker id="tip" markerWidth="9" markerHeight="9" refX="8" refY="4" orient="auto">'
        '<path d="M0 0 L9 4 L0 8 z" fill="#455a64"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="#ffffff"/>',
        *(draw_box(box) for box in BOXES.values()),
        *(draw_arrow(BOXES[start], BOXES[end]) for start, end in ARROWS),
        draw_return(BOXES["again"], BOXES["masks"]),
    ]
    return "\n".join([*parts, "</svg>\n"])


def draw_box(box: Box) -> str:
    """Return a box with its two lines of text."""
    x, y = box.middle
    return (
        f'<rect x="{box.left}" y="{box.top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8" fill="{box.color}" '
        f'stroke="#90a4ae"/>\n<text x="{x}" y="{y - 5}" text-anchor="middle" font-size="16" font-weight="bold" '
        f'fill="#1b2a30">{box.title}</text>\n<text x="{x}" y="{y + 16}" text-anchor="middle" font-size="13.5" '
        f'fill="#37474f">{box.text}</text>'
    )


def draw_arrow(start: Box, end: Box) -> str:
    """Return a straight arrow between neighboring boxes."""
    (x1, y1), (x2, y2) = start.middle, end.middle
    side_x, side_y = ((x2 > x1) - (x2 < x1)) * BOX_WIDTH / 2, ((y2 > y1) - (y2 < y1)) * BOX_HEIGHT / 2
    return draw_line(f"M{x1 + side_x} {y1 + side_y} L{x2 - side_x} {y2 - side_y}")


def draw_return(start: Box, end: Box) -> str:
    """Return the arrow that closes the loop: from the right side of a box up to the left side of the other one."""
    (x1, y1), (x2, y2) = start.middle, end.middle
    turn = (x1 + x2) / 2
    line = draw_line(f"M{x1 + BOX_WIDTH / 2} {y1} H{turn} V{y2 + 16} H{x2 - BOX_WIDTH / 2}")
    text = f'<text x="{turn - 8}" y="{(y1 + y2) / 2 + 8}" text-anchor="end" font-size="13" fill="#455a64">'
    return f"{line}\n{text}next round</text>"


def draw_line(path: str) -> str:
    """Return a line that ends in an arrow."""
    return f'<path d="{path}" fill="none" stroke="#455a64" stroke-width="1.8" marker-end="url(#tip)"/>'


if __name__ == "__main__":
    (Path(__file__).parent / "images" / "loop.svg").write_text(draw(), encoding="utf-8")
