"""Checkpoints: the complete state of a training."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from coarse2fine.errors import DataError
from coarse2fine.runtime.files import check_regular_file, write_atomically

CHECKPOINT = "checkpoint.pt"
"""Name of the file in the folder of a training."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a training needs to resume, in one file.

    Attributes:
        path: The file.
        parts: Objects with ``state_dict`` and ``load_state_dict``, by name.
        last_losses: Losses of the last steps.
    """

    path: Path
    parts: Mapping[str, Any]
    last_losses: deque[float]

    def save(self, step: int) -> None:
        """Write the state before ``step`` atomically."""
        state = {name: part.state_dict() for name, part in self.parts.items()}
        with write_atomically(self.path) as file:
            torch.save({"step": step, "last_losses": list(self.last_losses), "parts": state}, file)

    def load(self) -> int:
        """Restore the state and return the step to continue with; 0 if there is no file.

        Raises:
            DataError: The file is damaged, or belongs to another training.
        """
        if not self.path.exists():
            return 0
        check_regular_file(self.path)
        try:
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
            for name, part in self.parts.items():
                part.load_state_dict(saved["parts"][name])
            self.last_losses.extend(saved["last_losses"])
            return int(saved["step"])
        except Exception as error:  # torch raises nearly any exception for a damaged file
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise DataError(
                f"The checkpoint {self.path} is damaged, or belongs to another training ({reason}). Delete it to train "
                "from the start."
            ) from error
