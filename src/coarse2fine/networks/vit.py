"""Keys of the last attention layer of a vision transformer of timm; self-supervision makes them similar within objects.

Source: LOST (Simeoni et al., BMVC 2021) found objects in these keys; TokenCut (Wang et al., CVPR 2022) and Deep
Spectral Methods (Melas-Kyriazi et al., CVPR 2022) cut graphs of them.
"""

from pathlib import Path

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from coarse2fine.errors import ConfigError
from coarse2fine.networks.backbone import IMAGENET_MEAN, IMAGENET_STD
from coarse2fine.networks.hub import download_weights, find_similar_timm_names, find_timm_repository, is_timm_network
from coarse2fine.networks.weights import check_fit, find_weights, read_weights
from coarse2fine.types import Image

PRETRAINED = "pretrained"
SETTING = "coarse.features.weights"


class KeyNetwork(nn.Module):
    """A vision transformer that returns the keys of its last attention layer. It can be used by many threads.

    The last block is reduced to the layers that compute keys, so nothing else is computed and no hook is needed.

    Args:
        vit: From :func:`build_vit`. It is changed.

    Attributes:
        patch_px: Side of a patch in pixels.
    """

    def __init__(self, vit: VisionTransformer) -> None:
        super().__init__()
        last = vit.blocks[-1]
        vit.blocks[-1] = nn.Sequential(last.norm1, last.attn.qkv)
        vit.norm = nn.Identity()
        self.vit = vit
        self.patch_px: int = vit.patch_embed.patch_size[0]

    def forward(self, images: Tensor) -> Tensor:
        """Compute the keys of all patches, with the heads concatenated.

        Args:
            images: Normalized RGB, shape (N, 3, H, W), H and W multiples of ``patch_px``.

        Returns:
            Keys, shape (N, H / patch_px, W / patch_px, C), without class, register and distillation tokens.
        """
        tokens = self.vit.forward_features(images)[:, self.vit.num_prefix_tokens :]
        keys = tokens.unflatten(-1, (3, -1))[:, :, 1]
        grid: Tensor = keys.unflatten(1, (images.shape[-2] // self.patch_px, images.shape[-1] // self.patch_px))
        return grid


def build_key_network(name: str, weights: str) -> KeyNetwork:
    """Build a vision transformer that returns keys, with its weights, on the CPU and in evaluation mode.

    Args:
        name: Name of a plain vision transformer of timm.
        weights: ``pretrained``, downloaded from the hub of timm; or a safetensors file with the tensor names of timm,
            which are also those of DINO. Its classifier is ignored, all other tensors must fit.

    Raises:
        ConfigError: timm has no such transformer, or the weights cannot be downloaded, cannot be read or do not fit.
    """
    vit = build_vit(name)
    path = _fetch(name) if weights == PRETRAINED else find_weights(weights, SETTING, PRETRAINED)
    wanted = vit.state_dict()
    stored = read_weights(path)
    found = {key: tensor for key, tensor in stored.items() if key in wanted or not key.startswith("head")}
    check_fit(wanted, found, name, path)
    vit.load_state_dict(found)
    return KeyNetwork(vit).eval().requires_grad_(False)


def build_vit(name: str) -> VisionTransformer:
    """Build a vision transformer with random weights, without classifier, for images of any size.

    Its position embedding is resampled to the grid of patches of each image.

    Raises:
        ConfigError: timm has no network of this name, or it is not a plain vision transformer.
    """
    if not is_timm_network(name):
        near = find_similar_timm_names(name)
        hint = f"did you mean {', '.join(near)}?" if near else "try vit_small_patch16_224.dino."
        raise ConfigError(f"timm has no network '{name}' (coarse.features.model); {hint}")
    try:
        vit = timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True)
    except Exception as error:  # architectures raise different types for unknown arguments
        raise _not_plain(name) from error
    if not isinstance(vit, VisionTransformer) or not isinstance(vit.blocks[-1], Block):
        raise _not_plain(name)
    return vit


def extract_keys(network: KeyNetwork, photo: Image) -> NDArray[np.float32]:
    """Compute the keys of one photo.

    The photo is normalized with the mean and standard deviation of ImageNet, as for DINO, even if timm records other
    values for the architecture.

    Args:
        network: Network on any device.
        photo: RGB, shape (H, W, 3); both sides are multiples of ``network.patch_px``.

    Returns:
        Keys, shape (H / patch_px, W / patch_px, C).

    Raises:
        ConfigError: The keys are not finite, because the weights are damaged.
    """
    device = next(network.parameters()).device
    mean, std = (255 * torch.tensor(values, device=device) for values in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.inference_mode():
        normalized = (torch.from_numpy(photo).to(device) - mean) / std
        keys = network(normalized.permute(2, 0, 1)[None])[0].cpu()
    if not keys.isfinite().all():
        raise ConfigError(
            f"The keys of a photo must be finite numbers, but are not: the weights of {SETTING} are damaged. "
            "Download or copy the file again."
        )
    return np.asarray(keys.numpy(), np.float32)


def _not_plain(name: str) -> ConfigError:
    return ConfigError(
        f"coarse.features.model must be a plain vision transformer of timm, but '{name}' is not. "
        "Choose vit_small_patch16_224.dino."
    )


def _fetch(name: str) -> Path:
    repository = find_timm_repository(name)
    if repository is None:
        raise ConfigError(
            f"No weights are published for '{name}'. Set {SETTING} to a safetensors file, or coarse.features.model to "
            "vit_small_patch16_224.dino."
        )
    remedy = (
        "Download its file model.safetensors on a machine with access and add --coarse.features.weights FILE, or "
        "choose another --coarse.method."
    )
    return download_weights(repository, f"weights of '{name}'", remedy)
