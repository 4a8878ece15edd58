"""Encoders of segmentation-models-pytorch and timm at a chosen output stride, with safetensors weights."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import segmentation_models_pytorch as smp
import timm
import torch
from huggingface_hub import hf_hub_download
from torch import Tensor, nn

from coarse2fine.errors import ConfigError
from coarse2fine.networks.weights import check_fit, find_weights, read_weights

Triple: TypeAlias = tuple[float, float, float]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)

PROBE_PX = 64


def build_encoder(name: str, output_stride: int, weights: str) -> nn.Module:
    """Make an encoder whose deepest features lie at ``output_stride``.

    Its forward pass takes images, shape (N, 3, H, W), and returns a list of features, the images themselves first;
    number 2 lies at stride 4, the last at ``output_stride``. ``encoder.out_channels`` holds their channels.

    Args:
        name: An encoder of segmentation-models-pytorch (``resnet101``), else one of timm (``mobilenetv2_100``).
        output_stride: How much smaller than the image the deepest features are, 8 or 16; strides beyond it become
            dilations.
        weights: ``none``; ``imagenet``, fetched from the hub; or a safetensors file in the names of either library or
            of torchvision. Tensors of its classifier are left out, all others must fit.

    Raises:
        ConfigError: No encoder has this name; this one cannot give the stride; the weights cannot be had or do not fit.

    Source: Chen et al., "Rethinking atrous convolution", 2017, section 3.1 (strides become dilations).
    """
    known_name = _find_encoder(name)
    encoder = _make_dilated_encoder(known_name, output_stride)
    if weights == "imagenet":
        _load_weights(encoder, name, _fetch_imagenet_weights(known_name))
    elif weights != "none":
        _load_weights(encoder, name, find_weights(weights, "network.encoder_weights", "imagenet, none"))
    return encoder


def normalization(name: str) -> tuple[Triple, Triple]:
    """Mean and standard deviation per RGB channel, on a scale of 0 to 1, that the encoder's weights were made with.

    They come from timm's record of the architecture, so nothing is fetched; an encoder that timm does not record has
    ImageNet's usual numbers.

    Raises:
        ConfigError: No encoder has this name.
    """
    record = timm.models.get_pretrained_cfg(_find_encoder(name).removeprefix("tu-").removeprefix("timm-"))
    return (tuple(record.mean), tuple(record.std)) if record else (IMAGENET_MEAN, IMAGENET_STD)


def find_first_stages(encoder: nn.Module, stages: int) -> list[nn.Parameter]:
    """Parameters of the first ``stages`` stages: those on which the features of stage number ``stages`` depend.

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
    """The name under which segmentation-models-pytorch makes the encoder; timm's names start with ``tu-`` there."""
    smp_names = smp.encoders.get_encoder_names()
    if name in smp_names:
        return name
    timm_name = name.removeprefix("tu-")
    tagged_names = timm.list_models(pretrained=True)
    if timm_name in tagged_names or ("." not in timm_name and timm.is_model(timm_name)):
        return f"tu-{timm_name}"
    timm_names = tagged_names if "." in timm_name else timm.list_models()
    near = difflib.get_close_matches(timm_name, smp_names) + difflib.get_close_matches(timm_name, timm_names)
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
    except Exception as error:  # each architecture refuses in its own way, from AssertionError to TypeError
        raise ConfigError(
            f"The encoder '{known_name.removeprefix('tu-')}' must give features at strides 4 and {output_stride}, and "
            f"it cannot ({' '.join(str(error).split()) or type(error).__name__}); "
            "choose another one, such as resnet101 or mobilenetv2_100."
        ) from error
    return encoder


def _probe(encoder: nn.Module) -> list[Tensor]:
    """Features of one black image; batch norm statistics stay as they are."""
    training = encoder.training
    device = next(encoder.parameters()).device
    features: list[Tensor] = encoder.eval()(torch.zeros(1, 3, PROBE_PX, PROBE_PX, device=device))
    encoder.train(training)
    return features


def _fetch_imagenet_weights(known_name: str) -> Path:
    """Fetch the safetensors file of the encoder's makers, through the hub's cache."""
    shown_name = known_name.removeprefix("tu-")
    source = _find_imagenet_source(known_name)
    if source is None:
        raise ConfigError(
            f"No ImageNet weights are published for the encoder '{shown_name}'; "
            "set network.encoder_weights to a safetensors file, or to none."
        )
    repository, revision = source
    try:
        return Path(hf_hub_download(repository, "model.safetensors", revision=revision))
    except Exception as error:  # besides its own errors, the hub's client passes on those of its http library
        raise ConfigError(
            f"The ImageNet weights of '{shown_name}' could not be fetched from the hub ({repository}); "
            "set network.encoder_weights to a safetensors file that you have, or to none."
        ) from error


def _find_imagenet_source(known_name: str) -> tuple[str, str | None] | None:
    """Repository on the hub and, where it is pinned, its revision."""
    if known_name.startswith("tu-"):
        record = timm.models.get_pretrained_cfg(known_name.removeprefix("tu-"))
        return (record.hf_hub_id, None) if record and record.hf_hub_id else None
    source = smp.encoders.encoders[known_name]["pretrained_settings"].get("imagenet")
    return (source["repo_id"], source["revision"]) if source else None


def _load_weights(encoder: nn.Module, name: str, path: Path) -> None:
    """Copy every tensor of ``encoder`` from ``path``; the file may hold more only in modules the encoder lacks."""
    stored = read_weights(path)
    wanted = encoder.state_dict()
    found = _rename(stored, wanted)
    check_fit(wanted, found, name, path)
    nn.Module.load_state_dict(encoder, found)  # some encoders' own method renames keys once more


def _rename(stored: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The stored tensors of modules that the encoder has, under the encoder's names; the classifier falls away."""
    names = {_plain(key): key for key in wanted}
    modules = {_first_module(key) for key in stored}
    shared = {module for module in modules if any(name.startswith(f"{_plain(module)}.") for name in names)}
    return {names.get(_plain(key), key): tensor for key, tensor in stored.items() if _first_module(key) in shared}


def _first_module(key: str) -> str:
    return key.removeprefix("model.").split(".")[0]


def _plain(key: str) -> str:
    """A tensor's name without what the libraries change in it: ``model.stages_0.norm`` is ``stages.0.norm``."""
    return key.removeprefix("model.").replace("_", ".")
