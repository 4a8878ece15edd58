"""A segmentation network that torch computes, with its settings, as ``fit`` saves it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import tomli_w
import torch
from numpy.typing import NDArray
from torch import nn

from coarse2fine.config import NetworkConfig, PredictCrfConfig
from coarse2fine.errors import ConfigError, DataError
from coarse2fine.inference.description import DESCRIPTION, WEIGHTS, find_model_folder, read_description
from coarse2fine.inference.segmenter import Segmenter
from coarse2fine.networks.build import build_network
from coarse2fine.networks.folding import fold
from coarse2fine.networks.normalization import normalize
from coarse2fine.networks.weights import limit_parameters, load_weights, save_weights
from coarse2fine.runtime.device import Device, pick_device, pick_dtype
from coarse2fine.runtime.files import write_text
from coarse2fine.runtime.threads import torch_threads
from coarse2fine.types import Image, Probabilities


@dataclass(frozen=True)
class TorchSegmenter(Segmenter):
    """A trained network, computed by torch.

    Attributes:
        network: Takes normalized images, returns logits.
        classes: Class names by index; ``classes[0]`` is ``background``.
        network_config: Settings from which the network is built.
        size_px: Longer side to which photos are resized for the network.
        flip: Whether the network also sees the photo mirrored; see :class:`Segmenter`.
        scales: Probabilities are averaged over these multiples of ``size_px``.
        foreground_first: How the class of a pixel follows from the probabilities; see :class:`Segmenter`.
        precision: Number format, as in training.
        crf: Settings of a fully connected CRF that aligns the probabilities with the edges of the photo.
        threads: Processor threads that compute one layer together; None: torch's own number.
        folded: A faster copy of the network, made by :meth:`to`, that computes the probabilities; None: the network.
    """

    network: nn.Module
    classes: tuple[str, ...]
    network_config: NetworkConfig
    size_px: int
    flip: bool = True
    scales: tuple[float, ...] = (1.0,)
    foreground_first: bool = True
    precision: str = "auto"
    crf: PredictCrfConfig = field(default_factory=PredictCrfConfig)
    threads: int | None = None
    folded: nn.Module | None = field(default=None, repr=False, compare=False)

    @classmethod
    def load(cls, path: Path | str, device: Device = "auto", threads: int | None = None) -> "TorchSegmenter":
        """Load a trained network from a run folder, or from the folder ``model`` in it; see :meth:`Segmenter.load`."""
        target = pick_device(device)
        folder = find_model_folder(path)
        description, weights = folder / DESCRIPTION, folder / WEIGHTS
        model = read_description(folder)
        config, predict = model.network, model.predict
        try:
            with limit_parameters(weights):
                network = build_network(config.model_copy(update={"encoder_weights": "none"}), len(model.classes))
        except ConfigError as error:
            raise DataError(f"The network that {description} describes cannot be built: {error}") from error
        load_weights(network, weights)
        return cls(
            network,
            model.classes,
            config,
            predict.size_px,
            flip=predict.flip,
            scales=predict.scales,
            foreground_first=predict.foreground_first,
            precision=predict.precision,
            crf=predict.crf,
            threads=threads,
        ).to(target)

    def save(self, folder: Path) -> None:
        """Write ``weights.safetensors`` and ``model.toml`` into a folder; :meth:`load` reads them."""
        save_weights(self.network, folder / WEIGHTS)
        settings = {
            "classes": list(self.classes),
            "network": self.network_config.model_dump(mode="json"),
            "predict": {
                "size_px": self.size_px,
                "flip": self.flip,
                "scales": list(self.scales),
                "foreground_first": self.foreground_first,
                "precision": self.precision,
                "crf": self.crf.model_dump(mode="json"),
            },
        }
        write_text(folder / DESCRIPTION, tomli_w.dumps(settings))

    def to(self, device: torch.device | Device = "auto") -> "TorchSegmenter":
        """Return the same segmenter on a device, in evaluation mode, with a folded copy of the network for speed.

        Call it again after a change of the network's weights.

        Args:
            device: A torch device; or ``auto``: the CUDA GPU if the machine has one.
        """
        target = device if isinstance(device, torch.device) else pick_device(device)
        network = self.network.to(target).to(memory_format=torch.channels_last).eval()
        return replace(self, network=network, folded=fold(network))

    @property
    def device(self) -> torch.device:
        """Device that computes the network."""
        return next(self.network.parameters()).device

    @property
    def crf_device(self) -> torch.device:
        """Device that computes the CRF: the device of the network."""
        return self.device

    def run_network(self, batch: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.float32]:
        """See :meth:`Segmenter.run_network`; computed in the number format ``precision``."""
        with torch_threads(self.threads), torch.inference_mode():
            device = self.device
            dtype = pick_dtype(self.precision, device)  # type: ignore[arg-type]
            network = self.folded or self.network
            images = normalize(torch.from_numpy(batch).permute(0, 3, 1, 2).to(device), self.network_config.encoder)
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                logits = network(images)
            probabilities = logits.float().softmax(1)
            if probabilities.shape[-2:] != shape:
                probabilities = nn.functional.interpolate(probabilities, shape, mode="bilinear", align_corners=False)
            return np.asarray(probabilities.cpu().numpy(), dtype=np.float32)

    def apply_crf(self, photos: Sequence[tuple[Probabilities, Image]]) -> list[Probabilities]:
        """See :meth:`Segmenter.apply_crf`."""
        with torch_threads(self.threads):
            return super().apply_crf(photos)
