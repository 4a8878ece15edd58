"""Keys of the last attention layer of a vision transformer of timm: what self-supervision makes alike within objects.

Source: the keys are those in which LOST (Simeoni et al., BMVC 2021) found objects, and which TokenCut (Wang et al.,
CVPR 2022) and Deep Spectral Methods (Melas-Kyriazi et al., CVPR 2022) cut.
"""

import difflib
from pathlib import Path

import numpy as np
import timm
import torch
from huggingface_hub import hf_hub_download
from numpy.typing import NDArray
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from coarse2fine.errors import ConfigError
from coarse2fine.networks.backbone import IMAGENET_MEAN, IMAGENET_STD
from coarse2fine.networks.weights import check_fit, find_weights, read_weights
from coarse2fine.types import Image

PRETRAINED = "pretrained"
SETTING = "coarse.features.weights"


class KeyNetwork(nn.Module):
    """A vision transformer that ends at the keys of its last attention layer; one network serves many threads.

    The last block is reduced to what makes keys, so nothing is computed beyond them and no hook has to catch them.

    Args:
        vit: From :func:`make_vit`; it is changed.

    Attributes:
        patch_px: Side of a patch.
    """

    def __init__(self, vit: VisionTransformer) -> None:
        super().__init__()
        last = vit.blocks[-1]
        vit.blocks[-1] = nn.Sequential(last.norm1, last.attn.qkv)
        vit.norm = nn.Identity()
        self.vit = vit
        self.patch_px: int = vit.patch_embed.patch_size[0]

    def forward(self, images: Tensor) -> Tensor:
        """Keys of all patches, those of the heads side by side.

        Args:
            images: Normalized, shape (N, 3, H, W), H and W multiples of ``patch_px``.

        Returns:
            Shape (N, H / patch_px, W / patch_px, C); class, register and distillation tokens are left out.
        """
        tokens = self.vit.forward_features(images)[:, self.vit.num_prefix_tokens :]
        keys = tokens.unflatten(-1, (3, -1))[:, :, 1]
        grid: Tensor = keys.unflatten(1, (images.shape[-2] // self.patch_px, images.shape[-1] // self.patch_px))
        return grid


def build_key_network(name: str, weights: str) -> KeyNetwork:
    """Make a vision transformer that gives keys, with its weights, on the CPU, ready to be asked.

    Args:
        name: A plain vision transformer of timm.
        weights: ``pretrained``, fetched from timm's hub; or a safetensors file in timm's names, which are DINO's own
            too. Its classifier is left out, all other tensors must fit.

    Raises:
        ConfigError: timm has no such transformer; the weights cannot be had or do not fit.
    """
    vit = make_vit(name)
    path = _fetch(name) if weights == PRETRAINED else find_weights(weights, SETTING, PRETRAINED)
    wanted = vit.state_dict()
    stored = read_weights(path)
    found = {key: tensor for key, tensor in stored.items() if key in wanted or not key.startswith("head")}
    check_fit(wanted, found, name, path)
    vit.load_state_dict(found)
    return KeyNetwork(vit).eval().requires_grad_(False)


def make_vit(name: str) -> VisionTransformer:
    """Make a vision transformer for photos of any size, without classifier, its weights random.

    Its position embedding is resampled to each photo's grid of patches.

    Raises:
        ConfigError: timm has none of this name, or it is no plain vision transformer.
    """
    tagged_names = timm.list_models(pretrained=True)
    if name not in tagged_names and ("." in name or not timm.is_model(name)):
        near = difflib.get_close_matches(name, tagged_names if "." in name else timm.list_models())
        hint = f"did you mean {', '.join(near)}?" if near else "try vit_small_patch16_224.dino."
        raise ConfigError(f"timm has no network '{name}' (coarse.features.model); {hint}")
    try:
        vit = timm.create_model(name, pretrained=False, num_classes=0, dynamic_img_size=True)
    except Exception as error:  # each architecture refuses unknown arguments in its own way
        raise _not_plain(name) from error
    if not isinstance(vit, VisionTransformer) or not isinstance(vit.blocks[-1], Block):
        raise _not_plain(name)
    return vit


def extract_keys(network: KeyNetwork, photo: Image) -> NDArray[np.float32]:
    """Keys of one photo.

    Photos are brought to ImageNet's mean and spread, those of DINO, whatever timm records for the architecture.

    Args:
        network: On any device.
        photo: Both sides are multiples of the network's ``patch_px``.

    Returns:
        Shape (H / patch_px, W / patch_px, C).

    Raises:
        ConfigError: The keys are not finite: the weights are damaged.
    """
    device = next(network.parameters()).device
    mean, std = (255 * torch.tensor(values, device=device) for values in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.inference_mode():
        normalized = (torch.from_numpy(photo).to(device) - mean) / std
        keys = network(normalized.permute(2, 0, 1)[None])[0].cpu()
    if not keys.isfinite().all():
        raise ConfigError(
            f"The keys of a photo must be finite numbers, found others: the weights of {SETTING} are damaged; "
            "fetch or copy the file again."
        )
    return np.asarray(keys.numpy(), np.float32)


def _not_plain(name: str) -> ConfigError:
    return ConfigError(
        f"coarse.features.model must be a plain vision transformer of timm, found '{name}', which has no keys to "
        "cut; choose vit_small_patch16_224.dino."
    )


def _fetch(name: str) -> Path:
    """The safetensors file of timm's makers, through the hub's cache."""
    record = timm.models.get_pretrained_cfg(name)
    if not record or not record.hf_hub_id:
        raise ConfigError(
            f"No weights are published for '{name}'; set {SETTING} to a safetensors file, or coarse.features.model to "
            "vit_small_patch16_224.dino."
        )
    try:
        return Path(hf_hub_download(record.hf_hub_id, "model.safetensors"))
    except Exception as error:  # besides its own errors, the hub's client passes on those of its http library
        raise ConfigError(
            f"The weights of '{name}' could not be fetched from the hub ({record.hf_hub_id}); set {SETTING} to the "
            "model.safetensors of that repository, copied from a machine that reaches it, or choose another "
            "coarse.method."
        ) from error
