"""Weights and photos in, scores out, by torch. Knows no labels; what it shares with other runtimes is in `scoring`."""

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch
from numpy.typing import NDArray
from torch import nn

from coarse2fine.config import NetworkConfig, PredictCrfConfig
from coarse2fine.errors import DataError
from coarse2fine.inference.segmenter import Segmenter
from coarse2fine.networks.build import build_network
from coarse2fine.networks.folding import fold
from coarse2fine.networks.normalization import normalize
from coarse2fine.networks.weights import load_weights, save_weights
from coarse2fine.runtime.device import pick_device, pick_dtype
from coarse2fine.runtime.files import write_text


@dataclass(frozen=True)
class TorchSegmenter(Segmenter):
    """A network that finds its classes in any photo.

    Attributes:
        network: Takes normalized photos, gives logits.
        classes: Names by index; ``classes[0]`` is ``background``.
        network_config: How the network is built.
        size_px: Longer side at which the network sees a photo.
        flip: Average the scores with those of the mirrored photo.
        scales: Average the scores over these multiples of ``size_px``.
        precision: Number format, as in training.
        crf: Whether and how a fully connected CRF draws the scores to the photo's edges.
        folded: What computes, once :meth:`ready` was called: a faster copy of the network as it then was.
    """

    network: nn.Module
    classes: tuple[str, ...]
    network_config: NetworkConfig
    size_px: int
    flip: bool = True
    scales: tuple[float, ...] = (1.0,)
    precision: str = "auto"
    crf: PredictCrfConfig = field(default_factory=PredictCrfConfig)
    folded: nn.Module | None = field(default=None, repr=False, compare=False)

    @classmethod
    def load(cls, path: Path | str) -> "TorchSegmenter":
        """Load a finished network.

        Args:
            path: A run folder, or the ``model`` folder in it.

        Raises:
            DataError: There is no finished network, or its files do not fit together.
        """
        root = Path(path)
        folder = root if (root / "model.toml").exists() else root / "model"
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

    def ready(self, device: torch.device | None = None) -> "TorchSegmenter":
        """The same segmenter on ``device`` (default: the GPU if there is one), in evaluation mode.

        To be called again after a change of the network's weights.
        """
        network = self.network.to(device or pick_device()).to(memory_format=torch.channels_last).eval()
        return replace(self, network=network, folded=fold(network))

    @property
    def device(self) -> torch.device:
        """Where the network is computed."""
        return next(self.network.parameters()).device

    @property
    def crf_device(self) -> torch.device:
        """Where the CRF is computed: with the network."""
        return self.device

    @torch.inference_mode()
    def probabilities(self, batch: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.float32]:
        """See :meth:`Segmenter.probabilities`; computed in the number format ``precision``."""
        device = self.device
        dtype = pick_dtype(self.precision, device)  # type: ignore[arg-type]
        network = self.folded or self.network
        images = normalize(torch.from_numpy(batch).permute(0, 3, 1, 2).to(device), self.network_config.encoder)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            logits = network(images)
            if self.flip:
                mirrored = network(images.flip(-1).contiguous(memory_format=torch.channels_last)).flip(-1)
        probabilities = logits.float().softmax(1)
        if self.flip:
            probabilities = (probabilities + mirrored.float().softmax(1)) / 2
        if probabilities.shape[-2:] != shape:
            probabilities = nn.functional.interpolate(probabilities, shape, mode="bilinear", align_corners=False)
        return np.asarray(probabilities.cpu().numpy(), dtype=np.float32)


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
