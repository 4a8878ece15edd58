"""Weights and photos in, scores out. Knows no labels.

A photo is brought to the size at which the network was trained, because the same animal at twice the size is another
animal to it; scores and masks come back at the photo's own size. Batches hold photos of one working shape, so that
no photo's scores depend on its neighbours.
"""

import math
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import tomli_w
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from coarse2fine.config import NetworkConfig, PredictConfig, PredictCrfConfig
from coarse2fine.data.photos import read_image, read_size
from coarse2fine.errors import DataError
from coarse2fine.hardware import pick_device, pick_dtype
from coarse2fine.networks.building import build_network
from coarse2fine.networks.normalise import normalise
from coarse2fine.parallel import World, map_threads
from coarse2fine.store import Run, write_atomically, write_text
from coarse2fine.types import Image, Mask, Scores

Outcome = TypeVar("Outcome")

SIDE_STEP_PX = 32
"""Working sides are multiples of this: the deepest stride of any encoder, and few shapes make full batches."""


@dataclass(frozen=True)
class Segmenter:
    """A network that finds its classes in any photo.

    Attributes:
        network: Takes normalised photos, gives logits.
        classes: Names by index; ``classes[0]`` is ``background``.
        network_config: How the network is built.
        size_px: Longer side at which the network sees a photo.
        flip: Average the scores with those of the mirrored photo.
        scales: Average the scores over these multiples of ``size_px``.
        precision: Number format, as in training.
        crf: Whether and how a fully connected CRF draws the scores to the photo's edges.
    """

    network: nn.Module
    classes: tuple[str, ...]
    network_config: NetworkConfig
    size_px: int
    flip: bool = True
    scales: tuple[float, ...] = (1.0,)
    precision: str = "auto"
    crf: PredictCrfConfig = field(default_factory=PredictCrfConfig)

    @classmethod
    def load(cls, path: Path | str) -> "Segmenter":
        """Load a finished network.

        Args:
            path: A run folder, or the ``model`` folder in it.

        Raises:
            DataError: There is no finished network, or its files do not fit together.
        """
        root = Path(path)
        folder = root if (root / "model.toml").exists() else Run(root).model
        settings = _read_model_settings(folder)
        config = NetworkConfig(**settings["network"])
        network = build_network(config.model_copy(update={"encoder_weights": "none"}), len(settings["classes"]))
        load_weights(network, folder / "weights.safetensors")
        names = ("size_px", "flip", "precision")
        predict = {name: settings["predict"][name] for name in names} | {"scales": tuple(settings["predict"]["scales"])}
        crf = PredictCrfConfig(**settings["predict"].get("crf", {}))  # older runs have none
        return cls(network, tuple(settings["classes"]), config, crf=crf, **predict).ready()

    def save(self, folder: Path) -> None:
        """Write ``weights.safetensors`` and ``model.toml``, all that :meth:`load` needs."""
        save_weights(self.network, folder / "weights.safetensors")
        settings = {
            "classes": list(self.classes),
            "network": self.network_config.model_dump(mode="json"),
            "predict": {
                "size_px": self.size_px,
                "flip": self.flip,
                "scales": list(self.scales),
                "precision": self.precision,
                "crf": self.crf.model_dump(mode="json"),
            },
        }
        write_text(folder / "model.toml", tomli_w.dumps(settings))

    def seen_with(self, config: PredictConfig) -> "Segmenter":
        """The same network with other views of a photo; a size of none leaves the size as it is."""
        size_px = config.size_px or self.size_px
        return replace(self, size_px=size_px, flip=config.flip, scales=config.scales, crf=config.crf)

    def ready(self, device: torch.device | None = None) -> "Segmenter":
        """The same segmenter on ``device`` (default: the GPU if there is one), in evaluation mode."""
        network = self.network.to(device or pick_device()).to(memory_format=torch.channels_last).eval()
        return replace(self, network=network)

    def __call__(self, image: Image) -> Mask:
        """The likeliest class of every pixel, shape (H, W)."""
        return self.label(self.score([image])[0], image.shape, lambda: image)

    def scores(self, image: Image) -> Scores:
        """Class probabilities at the photo's size, shape (C, H, W)."""
        height, width = image.shape[:2]
        scores = self.snap(self.score([image])[0], lambda: image)
        return np.stack([resize(channel, height, width) for channel in scores])

    def label(self, scores: Scores, shape: Sequence[int], read: Callable[[], Image]) -> Mask:
        """The likeliest class of every pixel.

        Args:
            scores: What :meth:`score` made of a photo.
            shape: Height and width of the mask, first.
            read: Gives the photo, at ``crf.max_side_px`` or more; called only where a CRF needs it.
        """
        return likeliest(self.snap(scores, read), *shape[:2])

    def snap(self, scores: Scores, read: Callable[[], Image]) -> Scores:
        """Scores of a photo, shape (C, h, w), after the CRF, at its own size; as they are where there is none."""
        if not self.crf.on:
            return scores
        from coarse2fine.enhance.crf import dense_crf

        return dense_crf(scores, read(), self.crf, next(self.network.parameters()).device)

    def score(self, images: Sequence[Image]) -> list[Scores]:
        """Class probabilities at the working size, shape (C, h, w) each.

        Args:
            images: Photos of one working shape (:func:`working_shape`), a batch.
        """
        shape = working_shape(images[0].shape, self.size_px)
        return self.score_views([self.views(image, shape) for image in images], shape)

    def views(self, image: Image, shape: tuple[int, int]) -> list[Image]:
        """A photo as the network sees it, once per scale.

        Args:
            image: The photo.
            shape: Its working shape; that of every scale follows from it alone, so that photos of one working shape
                share a batch at every scale.
        """
        sides = [round(max(shape) * scale) for scale in self.scales]
        return [resize(image, *working_shape(shape, side)) for side in sides]

    def score_views(self, views: Sequence[Sequence[Image]], shape: tuple[int, int]) -> list[Scores]:
        """Class probabilities at the working size, shape (C, h, w) each.

        Args:
            views: What :meth:`views` made of each photo of a batch.
            shape: Their working shape.
        """
        total: NDArray[np.float32] | None = None
        for batch in zip(*views, strict=True):
            part = self._probabilities(torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2), shape)
            total = part if total is None else total + part
        assert total is not None
        return list(total / np.float32(len(self.scales)))

    @torch.inference_mode()
    def _probabilities(self, batch: Tensor, shape: tuple[int, int]) -> NDArray[np.float32]:
        device = next(self.network.parameters()).device
        dtype = pick_dtype(self.precision, device)  # type: ignore[arg-type]
        images = normalise(batch.to(device), self.network_config.encoder)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            logits = self.network(images)
            if self.flip:
                mirrored = self.network(images.flip(-1).contiguous(memory_format=torch.channels_last)).flip(-1)
        probabilities = logits.float().softmax(1)
        if self.flip:
            probabilities = (probabilities + mirrored.float().softmax(1)) / 2
        if probabilities.shape[-2:] != shape:
            probabilities = nn.functional.interpolate(probabilities, shape, mode="bilinear", align_corners=False)
        return np.asarray(probabilities.cpu().numpy(), dtype=np.float32)


def working_shape(shape: Sequence[int], size_px: int) -> tuple[int, int]:
    """Height and width at which the network sees a photo.

    The longer side becomes ``size_px``, the other follows; both are rounded to multiples of `SIDE_STEP_PX`.

    Args:
        shape: Height and width of the photo, first.
        size_px: Longer side.
    """
    factor = size_px / max(shape[:2])
    height, width = (max(1, round(side * factor / SIDE_STEP_PX)) * SIDE_STEP_PX for side in shape[:2])
    return height, width


def plan_batches(shapes: Mapping[int, tuple[int, int]], batch: int) -> list[list[int]]:
    """Group photos of one working shape into batches.

    Args:
        shapes: Working shape of every photo, by its index.
        batch: Photos in a batch, at most.

    Returns:
        The indices, every one once; the plan depends on nothing but the arguments.
    """
    batches: list[list[int]] = []
    for index in sorted(shapes, key=lambda index: (shapes[index], index)):
        if batches and len(batches[-1]) < batch and shapes[batches[-1][0]] == shapes[index]:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def score_files(
    segmenter: Segmenter,
    paths: Sequence[Path],
    batch: int,
    threads: int,
    world: World = World(),  # noqa: B008 - frozen
    wanted: Callable[[int], bool] = lambda _index: True,
    leave_out: Callable[[int, str], None] | None = None,
    max_megapixels: float = math.inf,
) -> Iterator[tuple[int, Scores]]:
    """Score photos from files, decoding ahead; memory does not grow with their number.

    Batches are planned over all photos and only then shared out and left out, so that a photo's scores depend neither
    on the number of processes nor on what an earlier run has done.

    Args:
        segmenter: Scores them.
        paths: The photos.
        batch: Photos per step.
        threads: Photos decoded at the same time.
        world: Each process takes its share of the batches.
        wanted: By index into ``paths``; a batch that holds no wanted photo is left out.
        leave_out: Told the index and the reason of each photo that cannot be read; none: the first such photo raises.
        max_megapixels: Larger photos count as photos that cannot be read.

    Yields:
        Index into ``paths`` and class probabilities at the working size, shape (C, h, w).
    """
    at_least_px = round(segmenter.size_px * max(1.0, *segmenter.scales))
    read = partial(read_image, max_megapixels=max_megapixels, at_least_px=at_least_px)

    def try_reading(read: Callable[[Path], Outcome], index: int) -> Outcome | None:
        try:
            return read(paths[index])
        except DataError as error:
            if leave_out is None:
                raise
            leave_out(index, str(error).removeprefix(f"{paths[index]}: "))
            return None

    def find_shape(index: int) -> tuple[int, int] | None:
        size = try_reading(read_size, index)
        return working_shape(size, segmenter.size_px) if size else None

    def load(indices: list[int]) -> dict[int, list[Image]]:
        views: dict[int, list[Image]] = {}
        for index in indices:  # a whole photo is let go before the next one is read: it may be huge
            image = try_reading(read, index)
            if image is not None:
                views[index] = segmenter.views(image, shapes[indices[0]])
        return views

    found = zip(range(len(paths)), map_threads(find_shape, range(len(paths)), threads), strict=True)
    shapes = {index: shape for index, shape in found if shape}
    plan = plan_batches(shapes, batch)
    batches = [indices for indices in world.share(plan) if any(map(wanted, indices))]
    for views in map_threads(load, batches, threads):
        if views:
            shape = shapes[next(iter(views))]
            yield from zip(views, segmenter.score_views(list(views.values()), shape), strict=True)


def likeliest(scores: Scores, height: int, width: int) -> Mask:
    """The likeliest class of every pixel at another size; ties go to the lower index.

    One class is enlarged at a time, so that memory does not grow with the number of classes.

    Args:
        scores: Class probabilities, shape (C, h, w).
        height: Height of the mask.
        width: Width of the mask.
    """
    best = resize(scores[0], height, width).copy()
    mask = np.zeros((height, width), dtype=np.uint8)
    for index in range(1, len(scores)):
        channel = resize(scores[index], height, width)
        better = channel > best
        mask[better] = index
        np.maximum(best, channel, out=best)
    return mask


def is_run(path: Path) -> bool:
    """Whether a folder is a run folder of fit, or the model folder in it."""
    return (path / "model.toml").exists() or (path / "config.toml").exists()


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's weights as safetensors."""
    tensors = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
    with write_atomically(path) as file:
        file.write(save(tensors))


def load_weights(network: nn.Module, path: Path) -> None:
    """Read weights that :func:`save_weights` wrote into ``network``.

    Raises:
        DataError: The file is missing or damaged, or belongs to another network.
    """
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise DataError(f"The weights {path} cannot be read ({error}).") from error
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise DataError(f"The weights {path} belong to another network than the settings describe: {first}") from error


def _read_model_settings(folder: Path) -> dict[str, Any]:
    path = folder / "model.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"{folder.parent if folder.name == 'model' else folder} holds no finished network ({path} is missing); "
            "let fit end first, or name another run folder."
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}).") from error


def resize(array: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Bring a photo, shape (H, W, 3), or one channel of scores, shape (H, W), to another size.

    Areas are averaged where it shrinks; it grows bilinearly. The same array comes back where the size already fits.
    """
    if array.shape[:2] == (height, width):
        return array
    shrinks = height * width < array.shape[0] * array.shape[1]
    resized: NDArray[Any] = cv2.resize(
        array, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return resized
