"""Networks that timm knows by name, and weights that are published on the hub."""

import difflib
from pathlib import Path

import timm
from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.utils import get_session  # type: ignore[attr-defined]  # documented, but not in __all__

from coarse2fine.errors import ConfigError

FILE = "model.safetensors"
REACHABLE_WITHIN_S = 5.0


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
    """Take the safetensors file of a repository from the cache of the hub, or download it.

    Without a network the client of the hub retries for minutes. Therefore one request asks first whether the hub can be
    reached at all.

    Args:
        repository: Repository on the hub.
        title: Name of the weights, for the error message.
        remedy: What to do without the weights, for the error message.
        revision: Revision of the repository; None: the newest.

    Raises:
        ConfigError: The file is not in the cache and cannot be downloaded.
    """
    if cached := find_cached(repository, revision):
        return cached
    try:
        check_reachable()
        return Path(hf_hub_download(repository, FILE, revision=revision))
    except Exception as error:  # the client of the hub also raises the errors of its HTTP library
        raise ConfigError(
            f"The {title} could not be downloaded from {constants.ENDPOINT}/{repository}. {remedy}"
        ) from error


def find_cached(repository: str, revision: str | None = None) -> Path | None:
    """Return the file in the cache of the hub that :func:`download_weights` would return; None if it is not there."""
    cached = try_to_load_from_cache(repository, FILE, revision=revision)
    return Path(cached) if isinstance(cached, str) else None


def check_reachable() -> None:
    """Send one request to the hub; raise the error of its HTTP client if there is no answer within some seconds."""
    get_session().head(constants.ENDPOINT, timeout=REACHABLE_WITHIN_S)
