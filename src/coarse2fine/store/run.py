"""Paths in the run folder. docs/architecture.md describes the files."""

from dataclasses import dataclass
from pathlib import Path

from coarse2fine.store.records import read_early_end


@dataclass(frozen=True)
class Run:
    """The paths in one run folder.

    Attributes:
        root: The run folder.
    """

    root: Path

    @property
    def config(self) -> Path:
        """All settings, including the defaults."""
        return self.root / "config.toml"

    @property
    def classes(self) -> Path:
        """Class names by index."""
        return self.root / "classes.json"

    @property
    def photos(self) -> Path:
        """The usable photos, and the skipped photos with the reason."""
        return self.root / "photos.json"

    @property
    def coarse(self) -> Path:
        """Coarse masks."""
        return self.root / "coarse"

    @property
    def coarse_choice(self) -> Path:
        """The coarse method that ``coarse.method = auto`` chose, and why."""
        return self.root / "coarse-choice.json"

    @property
    def logger(self) -> Path:
        """Identifiers of the runs of Weights & Biases and MLflow that ``fit --logger`` opened."""
        return self.root / "logger.json"

    @property
    def corrected(self) -> Path:
        """Masks that people corrected. Every stage uses them unchanged."""
        return self.root / "corrected"

    @property
    def unpacked(self) -> Path:
        """The photos, if they were given in archives."""
        return self.root / "unpacked"

    @property
    def review(self) -> Path:
        """Decisions of ``coarse2fine app``. No other command writes here."""
        return self.root / "review"

    @property
    def model(self) -> Path:
        """The finished network: all that predict, serve and the export of networks need."""
        return self.root / "model"

    def round(self, number: int) -> Path:
        """Return the folder of a round, counted from 1."""
        return self.root / f"round-{number}"

    def collapsed(self, number: int) -> Path:
        """Return the folder to which a round is moved if its masks collapsed; it does not count."""
        return self.root / f"collapsed-round-{number}"

    @property
    def early_end(self) -> Path:
        """Number of the round with which ``rounds = auto`` ended the run before the last one; missing if it did not."""
        return self.root / "early-end.json"

    def count_rounds(self, rounds: int) -> int:
        """Return how many of the rounds of the settings count: up to an early end, and before one that collapsed."""
        most = self.count_planned_rounds(rounds)
        return next((number - 1 for number in range(1, most + 1) if self.collapsed(number).exists()), most)

    def count_planned_rounds(self, rounds: int) -> int:
        """Return how many of the rounds of the settings are computed if none collapses: up to an early end."""
        return min(rounds, read_early_end(self.early_end) or rounds)

    def weights(self, number: int) -> Path:
        """Return the weights of the network that a round trained."""
        return self.round(number) / "weights.safetensors"

    def training(self, number: int) -> Path:
        """Return the folder of a round's training: checkpoint and logs."""
        return self.round(number) / "training"

    def metrics(self, number: int) -> Path:
        """Return the metrics of a round; round 0 is before the first."""
        return (self.round(number) if number else self.root) / "metrics.json"

    def refined(self, number: int) -> Path:
        """Return the folder of the refined masks of a round."""
        return self.round(number) / "refined"

    def linear(self, number: int) -> Path:
        """Return the folder of the soft masks of a round's linear model; round 0 is that of the coarse masks."""
        return self.round(number) / "linear" if number else self.root / "coarse-linear"

    def soft_masks(self, number: int) -> Path:
        """Return the folder of soft masks, if the enhancement of a round starts from them; round 0: coarse ones."""
        return self.round(number) / "soft-masks" if number else self.root / "coarse-soft-masks"

    def filter_file(self, number: int) -> Path:
        """Return the file that holds for each photo null, or why the round after this one leaves it out of training.

        Round 0 is before the first: its file is about round 1.
        """
        return (self.round(number) if number else self.root) / "filter.json"

    def quality(self, number: int) -> Path:
        """Return the folder of a round's quality tables: ``quality.csv``, ``quality-classes.csv``."""
        return self.round(number) / "quality"

    @property
    def report(self) -> Path:
        """The report of the run, an HTML page."""
        return self.root / "report.html"

    def enhanced(self, number: int) -> Path:
        """Return the folder of the enhanced masks of a round; round 0: of the coarse masks."""
        return self.round(number) / "enhanced" if number else self.root / "enhanced"
