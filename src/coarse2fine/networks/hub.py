"""Networks that timm knows by name, and weights that are published on the hub."""

import difflib
from pathlib import Path

import timm
from huggingface_hub import hf_hub_download

from coarse2fine.errors import ConfigError


def is_timm_network(name: str) -> bool:
    """Return whether timm has a network of this name. A tag (``resnet18.a1_in1k``) must name published weights."""
    return name in timm.list_models(pretrained=True) or ("." not in name and bool(timm.is_model(name)))


def find_similar_timm_names(name: str) -> list[str]:
    """Return up to three names of timm that resemble a name; with a tag if the name has one."""
    return difflib.get_close_matches(name, timm.list_models(pretrained="." in name))


def find_timm_repository(name: str) -> str | None:
    """Return the repository on the hub with timm's weights of a network; None if no weights are published."""
    record = timm.models.get_pretrained_cfg(name)
    return record.hf_hub_id or None if record else None


def download_weights(repository: str, title: str, remedy: str, revision: str | None = None) -> Path:
    """Download the safetensors file of a repository, or take it from the cache of the hub.

    Args:
        repository: Repository on the hub.
        title: Name of the weights, for the error message.
        remedy: What to do without the weights, for the error message.
        revision: Revision of the repository; None: the newest.

    Raises:
        ConfigError: The file cannot be downloaded.
    """
    try:
        return Path(hf_hub_download(repository, "model.safetensors", revision=revision))
    except Exception as error:  # the client of the hub also raises the errors of its HTTP library
        raise ConfigError(f"The {title} could not be downloaded from the hub ({repository}). {remedy}") from error
