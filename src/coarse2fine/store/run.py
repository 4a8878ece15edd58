"""The run folder: where everything lies, and what is done.

A stage's ``done.json`` is written last: its presence means done. ``stage.json`` is written first and says which
settings the half-finished files belong to.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """The places of one run.

    Attributes:
        root: The run folder.
    """

    root: Path

    @property
    def config(self) -> Path:
        """Every setting, as resolved."""
        return self.root / "config.toml"

    @property
    def classes(self) -> Path:
        """Class names by index."""
        return self.root / "classes.json"

    @property
    def photos(self) -> Path:
        """The photos of the run, and what was left out and why."""
        return self.root / "photos.json"

    @property
    def coarse(self) -> Path:
        """Coarse masks."""
        return self.root / "coarse"

    @property
    def corrected(self) -> Path:
        """Masks that people corrected: every stage leaves them as they are."""
        return self.root / "corrected"

    @property
    def review(self) -> Path:
        """What people decided about masks in ``coarse2fine app``, which alone writes here."""
        return self.root / "review"

    @property
    def model(self) -> Path:
        """The result: all that predict, export and app need."""
        return self.root / "model"

    def round(self, number: int) -> Path:
        """The folder of one round, counted from 1."""
        return self.root / f"round-{number}"

    def weights(self, number: int) -> Path:
        """The network that a round trained."""
        return self.round(number) / "weights.safetensors"

    def training(self, number: int) -> Path:
        """Training of one round: checkpoint and logs."""
        return self.round(number) / "training"

    def metrics(self, number: int) -> Path:
        """Figures of a round; round 0 is before the first."""
        return (self.round(number) if number else self.root) / "metrics.json"

    def refined(self, number: int) -> Path:
        """Masks that the network of a round gave."""
        return self.round(number) / "refined"

    def scores(self, number: int) -> Path:
        """How likely each pixel is the label's, where the next enhancement asks for it; round 0: before the first."""
        return self.round(number) / "scores" if number else self.root / "coarse-scores"

    def quality(self, number: int) -> Path:
        """How far the masks after a round can be trusted: ``quality.csv``, ``quality-classes.csv``."""
        return self.round(number) / "quality"

    @property
    def report(self) -> Path:
        """The run, to read in a browser."""
        return self.root / "report.html"

    def enhanced(self, number: int) -> Path:
        """Enhanced masks after a round; round 0 is before the first."""
        return self.round(number) / "enhanced" if number else self.root / "enhanced"


def _holds_files(folder: Path, apart_from: Path | None = None) -> bool:
    return folder.exists() and any(path != apart_from and not path.name.startswith(".") for path in folder.iterdir())
