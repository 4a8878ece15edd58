"""The interface of a trained network, and everything that does not depend on how it is computed. Imports no torch.

A photo is resized to the size at which the network was trained: an object at twice that size looks different to the
network. Class probabilities and masks are resized back to the size of the photo. A batch contains photos of one working
shape, so that the probabilities of a photo do not depend on the other photos.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from coarse2fine.config import PredictConfig, PredictCrfConfig
from coarse2fine.data.reader import plan_batches
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.inference.arrays import Images, to_images
from coarse2fine.masks.resize import resize
from coarse2fine.runtime.device import Device
from coarse2fine.types import Image, Mask, Probabilities

if TYPE_CHECKING:
    import torch

SIDE_STEP_PX = 32
"""Working sides are multiples of this: the deepest stride of any encoder, and few shapes make full batches."""

BATCH_SIZE = 8
"""Photos that the network computes at once, at most, where the caller sets no other number."""


class Segmenter(ABC):
    """A trained segmentation network.

    :meth:`load` returns one of two implementations, both frozen dataclasses: one computes with torch, one with
    onnxruntime.

    Attributes:
        classes: Class names by index; ``classes[0]`` is ``background``.
        size_px: Longer side to which photos are resized for the network.
        flip: Whether the network also sees the photo mirrored: with one scale, the probabilities of both are averaged;
            with several scales, the photo is mirrored at every second one.
        scales: Probabilities are averaged over these multiples of ``size_px``.
        foreground_first: How the class of a pixel follows from the probabilities; see :func:`decide_classes`.
        crf: Settings of a fully connected CRF that aligns the probabilities with the edges of the photo.
    """

    classes: tuple[str, ...]
    size_px: int
    flip: bool
    scales: tuple[float, ...]
    foreground_first: bool
    crf: PredictCrfConfig

    @classmethod
    def load(cls, path: Path | str, device: Device = "auto", threads: int | None = None) -> "Segmenter":
        """Load a trained network.

        Args:
            path: A run folder of ``fit``, the folder ``model`` in it, or an ``.onnx`` file from ``coarse2fine export``.
            device: Device that computes the network; ``auto``: the CUDA GPU if the machine has one.
            threads: Processor threads that compute one layer together; None: one per core. With torch the number holds
                only while this network computes, and torch's own number returns afterwards.

        Raises:
            ConfigError: The device does not exist, or a library is not installed.
            DataError: The path contains no finished network, or its files are damaged.
        """
        from coarse2fine.inference.load import load_model

        return load_model(path, device, threads)

    @classmethod
    def from_pretrained(
        cls,
        name: Path | str,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: Path | str | None = None,
        local_files_only: bool = False,
        device: Device = "auto",
        threads: int | None = None,
    ) -> "Segmenter":
        """Load a network that ``coarse2fine push`` published on the Hugging Face Hub.

        Only its description and its safetensors weights are downloaded; nothing is unpickled and no code is run. If the
        hub cannot be reached, the copy in its cache is used.

        Args:
            name: Repository on the hub, such as ``user/name``; or a folder, as for :meth:`load`.
            revision: Branch, tag or commit; None: the main branch.
            token: Token of the hub for a private repository; None: that of ``hf auth login``.
            cache_dir: Folder for downloads; None: the cache of the hub.
            local_files_only: Use the cache, and do not ask the hub.
            device: Device that computes the network; ``auto``: the CUDA GPU if the machine has one.
            threads: As for :meth:`load`.

        Raises:
            ConfigError: The repository does not exist, or cannot be downloaded.
            DataError: It contains no network of coarse2fine, or its files are damaged.
        """
        from coarse2fine.inference.load import find_pretrained

        return cls.load(find_pretrained(name, revision, token, cache_dir, local_files_only), device, threads)

    def predict(self, images: Images) -> Images:
        """Predict the class of every pixel. If ``crf.on`` is true, the CRF aligns the masks with image edges.

        Args:
            images: RGB images: one, a batch of one size, or a list of different sizes. NumPy: uint8, shape (H, W, 3) or
                (N, H, W, 3). torch: uint8, or floating point from 0 to 1, shape (3, H, W) or (N, 3, H, W).

        Returns:
            Class indices at the size of the images, in the form of ``images``: shape (H, W), (N, H, W), or a list;
            uint8 arrays for NumPy, int64 tensors on the same device for torch. ``classes`` names the indices.

        Raises:
            DataError: An image has another type, shape or range.
        """
        arrays, restore = to_images(images)
        probabilities = self._compute_probabilities(arrays)
        masks = [
            decide_classes(p, image.shape[0], image.shape[1], self.foreground_first)
            for p, image in zip(probabilities, arrays, strict=True)
        ]
        result: Images = restore(masks)
        return result

    def predict_probabilities(self, images: Images) -> Images:
        """Predict class probabilities of every pixel, after the CRF if ``crf.on`` is true.

        Args:
            images: As for :meth:`predict`.

        Returns:
            Class probabilities at the size of the images, 0 to 1, in the form of ``images``: shape (C, H, W),
            (N, C, H, W), or a list; float32.

        Raises:
            DataError: An image has another type, shape or range.
        """
        arrays, restore = to_images(images)
        probabilities = self._compute_probabilities(arrays)
        full = [
            np.stack([resize(channel, *image.shape[:2]) for channel in p])
            for p, image in zip(probabilities, arrays, strict=True)
        ]
        result: Images = restore(full)
        return result

    def with_settings(self, config: PredictConfig) -> Self:
        """Return the same network with other prediction settings; if ``config.size_px`` is None, the size stays."""
        size_px = config.size_px or self.size_px
        return self._replace(
            size_px=size_px,
            flip=config.flip,
            scales=config.scales,
            foreground_first=config.foreground_first,
            crf=self.crf.with_switch(config.crf),
        )

    def with_crf(self, on: bool | None) -> Self:
        """Return the same network with the CRF switched on or off; None: no change."""
        return self._replace(crf=self.crf.with_switch(on))

    @abstractmethod
    def run_network(self, batch: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.float32]:
        """Compute class probabilities of a batch at one scale.

        Args:
            batch: RGB, 0 to 255, shape (N, h, w, 3); sides are multiples of `SIDE_STEP_PX`.
            shape: Height and width of the result; it is interpolated bilinearly from another size.

        Returns:
            Shape (N, C, height, width).
        """

    @property
    def crf_device(self) -> "torch.device | None":
        """Device that computes the CRF; None: the CPU."""
        return None

    @property
    def crf_in_batches(self) -> bool:
        """Whether the CRF takes several photos at once: one photo does not occupy a GPU, but all cores of a CPU."""
        return self.crf.on and self.crf_device is not None and self.crf_device.type == "cuda"

    @property
    def max_input_px(self) -> int:
        """Longer side of the largest input of the network; a photo may be decoded reduced to it."""
        return round(self.size_px * max(1.0, *self.scales))

    def network_inputs(self, image: Image, shape: tuple[int, int]) -> list[Image]:
        """Resize a photo to the inputs of the network, one per scale.

        Args:
            image: The photo.
            shape: Its working shape. The shape at every scale depends only on it, so that photos of one working shape
                share a batch at every scale.
        """
        sides = [round(max(shape) * scale) for scale in self.scales]
        return [resize(image, *working_shape(shape, side)) for side in sides]

    def probabilities_at_working_size(
        self, inputs: Sequence[Sequence[Image]], shape: tuple[int, int]
    ) -> list[Probabilities]:
        """Compute class probabilities of a batch, averaged over the scales and mirrored views, before any CRF.

        To mirror at every second scale costs half as much as both views at all scales; with scales 0.75 and 1.25 the
        masks are as good as with both views at 0.75, 1 and 1.25 (docs/log.md, 2026-11-30).

        Args:
            inputs: Result of :meth:`network_inputs` for each photo of the batch.
            shape: Working shape of the photos.

        Returns:
            Shape (C, h, w) for each photo.

        Raises:
            DataError: The result of the network is not finite.
        """
        batches = [np.stack(batch) for batch in zip(*inputs, strict=True)]
        if self.flip and len(batches) == 1:
            batches *= 2
        views = (self._run_view(batch, shape, self.flip and index % 2 == 1) for index, batch in enumerate(batches))
        total = reduce(np.add, views)
        if not np.isfinite(total[:, 0]).all():  # softmax: a number of one class that is not finite spoils all classes
            raise DataError(
                "The network computed probabilities that are not finite numbers: its weights are damaged, or too large "
                "for its precision. Copy it again, or train again."
            )
        return list(total / np.float32(len(batches)))

    def _run_view(self, batch: NDArray[np.uint8], shape: tuple[int, int], mirrored: bool) -> NDArray[np.float32]:
        if not mirrored:
            return self.run_network(batch, shape)
        return self.run_network(np.ascontiguousarray(batch[:, :, ::-1]), shape)[..., ::-1]

    def apply_crf(self, photos: Sequence[tuple[Probabilities, Image]]) -> list[Probabilities]:
        """Align class probabilities with the edges of the photos by the fully connected CRF.

        Args:
            photos: Probabilities, shape (C, h, w), and the photo, of each.

        Returns:
            Probabilities at the size of each photo, reduced to ``crf.max_side_px``, shape (C, H', W').

        Raises:
            ConfigError: torch or numba is not installed.
        """
        try:
            from coarse2fine.enhance.crf import dense_crf_many
        except ModuleNotFoundError as error:  # an exported network works without torch
            raise ConfigError(
                f"The CRF needs torch and numba, but {error.name} is not installed; install it, or switch the CRF off "
                "with --no-crf."
            ) from error

        return dense_crf_many(photos, self.crf, self.crf_device)

    def mask_from_probabilities(
        self, probabilities: Probabilities, size: Sequence[int], read_photo: Callable[[], Image]
    ) -> Mask:
        """Compute the mask of a photo from its probabilities at the working size, with the CRF if it is on.

        Args:
            probabilities: Shape (C, h, w).
            size: Starts with height and width of the mask.
            read_photo: Returns the photo with a longer side of ``crf.max_side_px`` or more; called only for the CRF.

        Returns:
            Class indices, shape (H, W).
        """
        if self.crf.on:
            probabilities = self.apply_crf([(probabilities, read_photo())])[0]
        height, width = size[:2]
        return decide_classes(probabilities, height, width, self.foreground_first)

    def _compute_probabilities(self, images: Sequence[Image]) -> list[Probabilities]:
        """Compute class probabilities of images of any sizes, after the CRF if it is on."""
        found: dict[int, Probabilities] = {}
        shapes = {index: working_shape(image.shape, self.size_px) for index, image in enumerate(images)}
        for batch in plan_batches(shapes, BATCH_SIZE):
            shape = shapes[batch[0]]
            inputs = [self.network_inputs(images[index], shape) for index in batch]
            found |= zip(batch, self.probabilities_at_working_size(inputs, shape), strict=True)
        pairs = [(found[index], image) for index, image in enumerate(images)]
        if not self.crf.on:
            return [probabilities for probabilities, _ in pairs]
        if self.crf_in_batches:
            return self.apply_crf(pairs)
        return [self.apply_crf([pair])[0] for pair in pairs]

    def _replace(self, **fields: Any) -> Self:
        return replace(self, **fields)  # type: ignore[type-var]  # subclasses are dataclasses


def working_shape(size: Sequence[int], size_px: int) -> tuple[int, int]:
    """Compute height and width to which a photo is resized for the network: its working size.

    The longer side becomes ``size_px``, and the other side keeps the aspect ratio; both are rounded to multiples of
    `SIDE_STEP_PX`.

    Args:
        size: Starts with height and width of the photo.
        size_px: Longer side.
    """
    factor = size_px / max(size[:2])
    height, width = (max(1, round(side * factor / SIDE_STEP_PX)) * SIDE_STEP_PX for side in size[:2])
    return height, width


def decide_classes(probabilities: Probabilities, height: int, width: int, foreground_first: bool) -> Mask:
    """Compute the class of every pixel at another size; among equals the lowest index.

    Only one class is resized at a time, so that memory does not grow with the number of classes.

    Args:
        probabilities: Class probabilities, shape (C, h, w).
        height: Height of the mask.
        width: Width of the mask.
        foreground_first: Rule by which a pixel is foreground, see :func:`foreground_probability`.

    Returns:
        Class indices, shape (height, width): background where it is at least as probable as the foreground, otherwise
        the most probable other class. If ``foreground_first`` is false, this is the most probable class of all.
    """
    background = resize(probabilities[0], height, width)
    best = np.full_like(background, -1)
    mask = np.zeros((height, width), dtype=np.uint8)
    for index in range(1, len(probabilities)):
        channel = resize(probabilities[index], height, width)
        mask[channel > best] = index
        np.maximum(best, channel, out=best)
    mask[foreground_probability(background, best, foreground_first) <= background] = 0
    return mask


def foreground_probability(
    background: NDArray[np.float32], best: NDArray[np.float32], foreground_first: bool
) -> NDArray[np.float32]:
    """Compute with what the probability of the background is compared to decide whether a pixel is foreground.

    The most probable class alone favors the background: where the network is sure of an object and unsure of its class,
    every single class is less probable than the background. All classes together favor the foreground: they also take
    pixels whose class is then wrong. So ``foreground_first`` takes the geometric mean of both; docs/log.md has the
    figures. With one class besides the background, all three are the same.

    Args:
        background: Probability of the background, 0 to 1, any shape.
        best: Probability of the most probable other class, of the same shape.
        foreground_first: Return the geometric mean of ``1 - background`` and ``best``; false: return ``best``.

    Returns:
        0 to 1, of the same shape.
    """
    if not foreground_first:
        return best
    mean: NDArray[np.float32] = np.sqrt(np.maximum(1 - background, 0) * best)
    return mean
