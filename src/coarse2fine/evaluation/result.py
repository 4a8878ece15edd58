"""The result of an evaluation against ground truth."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table

from coarse2fine.evaluation.metrics import iou_per_class, mean_iou, pixel_accuracy


@dataclass(frozen=True)
class EvaluationResult:
    """Metrics of predicted masks over a set of photos.

    Attributes:
        classes: Class names by index; ``classes[0]`` is background.
        matrix: Pixels by ground-truth class (rows) and predicted class (columns), shape (C, C).
        photos: Number of photos.
        photo_iou: IoU of the foreground, computed per photo and averaged over photos, 0 to 1; None if there are several
            foreground classes.
    """

    classes: tuple[str, ...]
    matrix: NDArray[np.int64]
    photos: int
    photo_iou: float | None = None

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes that occur in ground truth or predictions, 0 to 1."""
        return mean_iou(self.matrix)

    @property
    def iou(self) -> dict[str, float]:
        """IoU by class name, 0 to 1; nan for a class that does not occur."""
        return dict(zip(self.classes, map(float, iou_per_class(self.matrix)), strict=True))

    @property
    def pixel_accuracy(self) -> float:
        """Share of pixels with the correct class, 0 to 1."""
        return pixel_accuracy(self.matrix)

    def as_dict(self) -> dict[str, Any]:
        """Return all metrics as plain values for JSON; the IoU of a class that does not occur is None."""
        over_photos = (
            {} if self.photo_iou is None else {"foreground_iou_mean_over_photos": round_metric(self.photo_iou)}
        )
        return over_photos | {
            "mean_iou": round_metric(self.mean_iou),
            "pixel_accuracy": round_metric(self.pixel_accuracy),
            "iou": {name: round_metric(iou) for name, iou in self.iou.items()},
            "classes": list(self.classes),
            "confusion_matrix": self.matrix.tolist(),
            "photos": self.photos,
        }

    def as_table(self) -> Table:
        """Return a table for the terminal: IoU per class, mean IoU and pixel accuracy."""
        table = Table(title=f"{self.photos} photos", title_justify="left")
        table.add_column("class")
        table.add_column("IoU", justify="right")
        table.add_column("ground-truth pixels", justify="right")
        shares = self.matrix.sum(axis=1) / max(1, self.matrix.sum())
        for name, iou, share in zip(self.classes, iou_per_class(self.matrix), shares, strict=True):
            table.add_row(escape(name), "-" if np.isnan(iou) else f"{iou:.3f}", f"{share:.1%}")
        table.add_section()
        table.add_row("mean", f"{self.mean_iou:.3f}")
        if self.photo_iou is not None:
            table.add_row("foreground, mean over photos", f"{self.photo_iou:.3f}")
        table.add_row("pixel accuracy", f"{self.pixel_accuracy:.3f}")
        return table


def round_metric(value: float) -> float | None:
    """Round a metric to 5 decimal places for JSON; nan becomes None."""
    return None if np.isnan(value) else round(float(value), 5)
