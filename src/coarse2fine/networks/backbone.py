"""Encoders of segmentation-models-pytorch and timm at a given output stride, with safetensors weights."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import segmentation_models_pytorch as smp
import timm
import torch
from torch import Tensor, nn

from coarse2fine.errors import Coarse2FineError, ConfigError
from coarse2fine.networks.hub import (
    download_weights,
    find_cached,
    find_similar_timm_names,
    find_timm_repository,
    is_timm_network,
)
from coarse2fine.networks.weights import check_fit, find_weights, read_weights

Triple: TypeAlias = tuple[float, float, float]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)

PROBE_PX = 64


def build_encoder(name: str, output_stride: int, weights: str) -> nn.Module:
    """Build an encoder with its deepest features at ``output_stride``.

    Its forward pass takes images, shape (N, 3, H, W), and returns a list of feature maps. Item 0 is the images, item 2
    has stride 4, the last item has ``output_stride``. ``encoder.out_channels`` holds their numbers of channels.

    Args:
        name: Name of an encoder of segmentation-models-pytorch (``resnet101``) or of timm (``mobilenetv2_100``).
        output_stride: Factor by which the deepest features are smaller than the image. Larger strides become dilations.
        weights: ``none``; ``imagenet``, downloaded from the hub; or a safetensors file with the tensor names of either
            library or of torchvision. Tensors of its classifier are ignored, all others must fit.

    Raises:
        ConfigError: There is no encoder of this name, it does not support the stride, or the weights cannot be
            downloaded, cannot be read or do not fit.

    Source: Chen et al., "Rethinking atrous convolution", 2017, section 3.1 (strides become dilations).
    """
    known_name = _find_encoder(name)
    encoder = _make_dilated_encoder(known_name, output_stride)
    if weights == "imagenet":
        _load_weights(encoder, name, _fetch_imagenet_weights(known_name))
    elif weights != "none":
        _load_weights(encoder, name, find_weights(weights, "network.encoder_weights", "imagenet, none"))
    return encoder


def has_cached_weights(name: str) -> bool:
    """Return whether the ImageNet weights of an encoder were downloaded before.

    Raises:
        ConfigError: There is no encoder of this name.
    """
    source = _find_imagenet_source(_find_encoder(name))
    return source is not None and find_cached(*source) is not None


def find_mean_and_std(name: str) -> tuple[Triple, Triple]:
    """Return mean and standard deviation per RGB channel (0 to 1) with which the encoder's weights were trained.

    They come from timm's record of the architecture, so nothing is downloaded. An encoder without a record gets the
    usual values of ImageNet.

    Raises:
        ConfigError: There is no encoder of this name.
    """
    record = timm.models.get_pretrained_cfg(_find_encoder(name).removeprefix("tu-").removeprefix("timm-"))
    return (tuple(record.mean), tuple(record.std)) if record else (IMAGENET_MEAN, IMAGENET_STD)


def find_stage_parameters(encoder: nn.Module, stages: int) -> list[nn.Parameter]:
    """Return the parameters of the first ``stages`` stages: all on which the features of stage ``stages`` depend.

    For a ResNet, stage 1 is the stem and stage 2 is ``layer1``; for MobileNetV2, stage 1 is the stem with ``blocks.0``
    and stage 2 is ``blocks.1``. All parameters of ``encoder`` must require a gradient.

    Raises:
        ConfigError: The encoder has fewer stages.
    """
    if stages == 0:
        return []
    parameters = list(encoder.parameters())
    features = [feature for feature in _probe(encoder) if feature.requires_grad]
    if stages > len(features):
        raise ConfigError(f"network.frozen_stages must be at most {len(features)} for this encoder, found {stages}.")
    gradients = torch.autograd.grad(features[stages - 1].sum(), parameters, allow_unused=True)
    return [parameter for parameter, gradient in zip(parameters, gradients, strict=True) if gradient is not None]


def _find_encoder(name: str) -> str:
    """Return the name of the encoder in segmentation-models-pytorch, where names of timm start with ``tu-``."""
    smp_names = smp.encoders.get_encoder_names()
    if name in smp_names:
        return name
    timm_name = name.removeprefix("tu-")
    if is_timm_network(timm_name):
        return f"tu-{timm_name}"
    near = difflib.get_close_matches(timm_name, smp_names) + find_similar_timm_names(timm_name)
    hint = f"did you mean {', '.join(dict.fromkeys(near))}?" if near else "try resnet101 or mobilenetv2_100."
    raise ConfigError(f"Neither segmentation-models-pytorch nor timm has an encoder '{name}'; {hint}")


def _make_dilated_encoder(known_name: str, output_stride: int) -> nn.Module:
    try:
        encoder: nn.Module = smp.encoders.get_encoder(known_name, depth=5, weights=None, output_stride=output_stride)
        with torch.no_grad():
            features = _probe(encoder)
        found = [PROBE_PX // feature.shape[-1] for feature in (features[2], features[-1])]
        if found != [4, output_stride]:
            raise ValueError(f"its features lie at strides {found[0]} and {found[1]}")
    except Coarse2FineError:
        raise
    except Exception as error:  # architectures raise many types, from AssertionError to TypeError
        raise ConfigError(
            f"The encoder '{known_name.removeprefix('tu-')}' must have features at strides 4 and {output_stride}, but "
            f"has none there ({' '.join(str(error).split()) or type(error).__name__}). Choose another network.encoder, "
            "such as resnet101 or mobilenetv2_100."
        ) from error
    return encoder


def _probe(encoder: nn.Module) -> list[Tensor]:
    """Return the features of one black image, without changing batch norm statistics."""
    training = encoder.training
    device = next(encoder.parameters()).device
    features: list[Tensor] = encoder.eval()(torch.zeros(1, 3, PROBE_PX, PROBE_PX, device=device))
    encoder.train(training)
    return features


def _fetch_imagenet_weights(known_name: str) -> Path:
    shown_name = known_name.removeprefix("tu-")
    source = _find_imagenet_source(known_name)
    if source is None:
        raise ConfigError(
            f"No ImageNet weights are published for the encoder '{shown_name}'. "
            "Set network.encoder_weights to a safetensors file, or to none."
        )
    repository, revision = source
    remedy = (
        "Download its file model.safetensors on a machine with access and add --network.encoder-weights FILE, or add "
        "--network.encoder-weights none --network.no-freeze-batch-norm --network.frozen-stages 0 to train without."
    )
    return download_weights(repository, f"ImageNet weights of '{shown_name}'", remedy, revision)


def _find_imagenet_source(known_name: str) -> tuple[str, str | None] | None:
    """Return the repository on the hub and its revision (None: the newest)."""
    if known_name.startswith("tu-"):
        repository = find_timm_repository(known_name.removeprefix("tu-"))
        return (repository, None) if repository else None
    source = smp.encoders.encoders[known_name]["pretrained_settings"].get("imagenet")
    return (source["repo_id"], source["revision"]) if source else None


def _load_weights(encoder: nn.Module, name: str, path: Path) -> None:
    """Copy all tensors of ``encoder`` from a file, which may hold further tensors of modules that the encoder lacks."""
    stored = read_weights(path)
    wanted = encoder.state_dict()
    found = _rename(stored, wanted)
    check_fit(wanted, found, name, path)
    nn.Module.load_state_dict(encoder, found)  # the own method of some encoders would rename keys again


def _rename(stored: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the stored tensors under the encoder's names, without those of modules that the encoder lacks."""
    names = {_plain(key): key for key in wanted}
    modules = {_first_module(key) for key in stored}
    shared = {module for module in modules if any(name.startswith(f"{_plain(module)}.") for name in names)}
    return {names.get(_plain(key), key): tensor for key, tensor in stored.items() if _first_module(key) in shared}


def _first_module(key: str) -> str:
    return key.removeprefix("model.").split(".")[0]


def _plain(key: str) -> str:
    """Return a tensor's name without differences between libraries: ``model.stages_0.norm`` -> ``stages.0.norm``."""
    return key.removeprefix("model.").replace("_", ".")
