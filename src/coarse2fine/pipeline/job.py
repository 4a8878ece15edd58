"""The record that every stage of a run takes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from coarse2fine.config import FitConfig
from coarse2fine.corrections.review import REJECTED
from coarse2fine.evaluation.ground_truth import GroundTruth
from coarse2fine.runtime.context import Context
from coarse2fine.store.run import Run
from coarse2fine.types import Dataset, Photo


@dataclass(frozen=True)
class FitJob:
    """One run of the pipeline.

    Attributes:
        run: Paths in the run folder.
        dataset: The usable photos with their labels.
        config: All settings.
        context: Processes and console.
        ground_truth: Masks to measure with; they never train.
        corrected: Photos whose mask a person corrected. Every stage uses that mask unchanged.
        rejected: Names of photos that a person rejected in review. They are left out of training.
        features: Features of the encoder by name of the photo, kept from round to round while this process runs: the
            linear model of every round needs them. Written by :mod:`coarse2fine.pipeline.linear_stage`.
    """

    run: Run
    dataset: Dataset
    config: FitConfig
    context: Context
    ground_truth: GroundTruth
    corrected: Sequence[Photo] = ()
    rejected: Sequence[str] = ()
    features: dict[str, NDArray[np.float16]] = field(default_factory=dict, repr=False)

    @property
    def photos(self) -> Sequence[Photo]:
        """The usable photos."""
        return self.dataset.photos

    @property
    def labeled(self) -> Sequence[Photo]:
        """The usable photos with at least one label."""
        return self.dataset.labeled

    def apply_people_decisions(self, reasons: dict[str, str | None]) -> dict[str, str | None]:
        """Change the reasons for leaving out photos where a person decided: corrected masks train, rejected do not.

        Args:
            reasons: For each photo's name, the reason to leave it out of training; None if it trains.

        Returns:
            The changed reasons.
        """
        corrected = dict.fromkeys(photo.name for photo in self.corrected)
        return reasons | corrected | dict.fromkeys(self.rejected, REJECTED)


def title_of(number: int, what: str) -> str:
    """Return the title of a stage, such as ``round 2: training``; round 0 is before the first."""
    return f"round {number}: {what}" if number else what
