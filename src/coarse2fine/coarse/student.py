"""Method student: soft foreground masks by a small network that was trained without labels.

Source: Croitoru, Bogolin, Leordeanu, ICCV 2017 and IJCV 2019; the networks are in `coarse2fine.networks.student`.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from coarse2fine.config import StudentNetworkConfig, explain
from coarse2fine.data.reader import PhotoFile, ReadOptions, read_batches
from coarse2fine.errors import DataError
from coarse2fine.masks.image_check import check_image
from coarse2fine.masks.resize import resize_soft, squash
from coarse2fine.networks.student import build_student
from coarse2fine.networks.weights import limit_parameters, load_weights
from coarse2fine.runtime.device import pick_device, pick_dtype
from coarse2fine.runtime.files import write_atomically
from coarse2fine.runtime.processes import World
from coarse2fine.types import Image, SoftMask

SETTINGS_KEY = "coarse2fine.student"
"""Key of the metadata of a weights file that holds the settings of the network."""

BATCH = 32


@dataclass(frozen=True)
class Student:
    """A network that predicts the foreground of a photo.

    Attributes:
        network: Takes RGB images, 0 to 1, shape (N, 3, S, S), and returns soft masks, shape (N, s, s).
        config: Settings of the network.
    """

    network: nn.Module
    config: StudentNetworkConfig

    @classmethod
    def load(cls, path: Path | str) -> "Student":
        """Load a student from a file that :meth:`save` wrote.

        Raises:
            DataError: The file is missing or damaged, or is not a student.
        """
        path = Path(path)
        config = _read_settings(_read_metadata(path), path)
        with limit_parameters(path):
            network = build_student(config)
        load_weights(network, path)
        return cls(network, config).to()

    def save(self, path: Path | str, notes: Mapping[str, object] | None = None, half: bool = False) -> None:
        """Write weights and settings to one safetensors file.

        Args:
            path: The file.
            notes: Further metadata, such as the training data.
            half: Write floating-point weights with 16 bits, which halves the size.
        """
        tensors = {name: _pack(tensor, half) for name, tensor in self.network.state_dict().items()}
        metadata = {"network": self.config.model_dump(mode="json"), "notes": dict(notes or {})}
        with write_atomically(Path(path)) as file:  # one key only: safetensors writes several in random order
            file.write(save(tensors, {SETTINGS_KEY: json.dumps(metadata, sort_keys=True)}))

    def to(self, device: torch.device | None = None) -> "Student":
        """Return the same student on a device (default: the GPU if there is one), in evaluation mode."""
        network = self.network.to(device or pick_device()).to(memory_format=torch.channels_last).eval()
        return Student(network, self.config)

    def __call__(self, image: Image) -> SoftMask:
        """Predict the foreground probability of each pixel of a photo, shape (H, W).

        Raises:
            DataError: The photo is not 8-bit RGB.
        """
        check_image(image, "A student")
        return resize_soft(self.predict_batch([self.network_input(image)])[0], *image.shape[:2])

    def network_input(self, image: Image) -> Image:
        """Resize a photo to the square input of the network, without keeping its aspect ratio."""
        return squash(image, self.config.seen_px)

    @torch.inference_mode()
    def predict_batch(self, inputs: Sequence[Image]) -> list[SoftMask]:
        """Predict soft masks, averaged over each photo and its mirror image, shape (s, s) each.

        Args:
            inputs: Results of :meth:`network_input`.
        """
        device = next(self.network.parameters()).device
        images = torch.from_numpy(np.stack(inputs)).to(device).permute(0, 3, 1, 2).float() / 255
        dtype = pick_dtype("auto", device)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            soft = (self._run_network(images) + self._run_network(images.flip(-1)).flip(-1)) / 2
        masks: list[SoftMask] = list(soft.clamp(0, 1).cpu().numpy())
        return masks

    def _run_network(self, images: Tensor) -> Tensor:
        soft: Tensor = self.network(images.contiguous(memory_format=torch.channels_last))
        return soft.float()


def predict_soft_masks(
    student: Student,
    paths: Sequence[Path],
    threads: int,
    world: World = World(),  # noqa: B008 - frozen
    wanted: Callable[[int], bool] = lambda _index: True,
) -> Iterator[tuple[int, SoftMask]]:
    """Apply a student to photo files, decoding ahead; memory does not grow with the number of photos.

    Args:
        student: The network.
        paths: The photo files.
        threads: Batches decoded at the same time.
        world: The processes of the run; each computes its share of the batches.
        wanted: Whether the photo with an index is needed; a batch without such a photo is not computed, another one is
            computed as a whole, so that the mask of a photo does not depend on what an earlier run has done.

    Yields:
        Index into ``paths`` and soft mask, shape (s, s).

    Raises:
        DataError: A photo cannot be read.
    """
    at_least_px = 2 * student.config.seen_px

    def prepare(file: PhotoFile) -> Image:
        return student.network_input(file.decode(at_least_px))

    options = ReadOptions(batch_size=BATCH, threads=threads, world=world)
    for read in read_batches(paths, prepare, options, wanted, bytes_per_photo=3 * student.config.seen_px**2):
        yield from zip(read.indices, student.predict_batch(read.photos), strict=True)


def _pack(tensor: Tensor, half: bool) -> Tensor:
    packed = tensor.half() if half and tensor.is_floating_point() else tensor
    return packed.contiguous().cpu()


def _read_metadata(path: Path) -> str | None:
    if not path.is_file():
        raise DataError(f"There is no student {path}. Train one with 'coarse2fine student train'.")
    try:
        with safe_open(path, framework="pt") as file:
            settings: str | None = (file.metadata() or {}).get(SETTINGS_KEY)
            return settings
    except (OSError, SafetensorError) as error:
        raise DataError(f"The student {path} must be a readable safetensors file: {error}.") from error


def _read_settings(settings: str | None, path: Path) -> StudentNetworkConfig:
    if settings is None:
        raise DataError(
            f"{path} must be a student written by 'coarse2fine student train', but its metadata describe no network. "
            "Weights of other networks cannot be used here."
        )
    try:
        return StudentNetworkConfig.model_validate_json(json.dumps(json.loads(settings)["network"]), strict=True)
    except ValidationError as error:
        raise DataError(
            f"The student {path} was written by another version of coarse2fine: {explain(error)}"
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"The student {path} was written by another version of coarse2fine ({error!r}).") from error
