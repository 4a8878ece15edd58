"""Publish the network of a run on the Hugging Face Hub: weights as safetensors, description and model card.

The functions follow huggingface_hub's contract of ``save_pretrained``, ``push_to_hub`` and ``from_pretrained``. Its
class ModelHubMixin does not fit: it stores the arguments of ``__init__``, and a segmenter is a frozen record of a
network. `~coarse2fine.inference.segmenter.Segmenter.from_pretrained` loads what is published here.
"""

import re
import tempfile
from dataclasses import replace
from pathlib import Path

from huggingface_hub import HfApi, constants, get_token

from coarse2fine.errors import ConfigError
from coarse2fine.inference.description import DESCRIPTION, WEIGHTS
from coarse2fine.inference.torch_segmenter import TorchSegmenter
from coarse2fine.networks.hub import check_reachable
from coarse2fine.report.model_card import UNKNOWN_LICENSE, make_model_card
from coarse2fine.runtime.console import Console
from coarse2fine.runtime.files import check_new_folder, write_new_folder, write_text

CARD = "README.md"
FILES = (DESCRIPTION, WEIGHTS, CARD)
"""All that is published: no other file of a folder is uploaded."""


def check_license(license: str) -> None:
    """Check that a license is an identifier, as the hub has them, such as ``apache-2.0`` or ``cc-by-4.0``.

    Raises:
        ConfigError: It is not.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", license):
        raise ConfigError(
            f"The license must be an identifier such as apache-2.0, cc-by-4.0 or other, found '{license}'; the list is "
            "on https://huggingface.co/docs/hub/repositories-licenses."
        )


def save_pretrained(run: Path | str, out: Path | str, license: str = UNKNOWN_LICENSE, quiet: bool = True) -> Path:
    """Write a folder with the network of a run and its model card, ready for the Hugging Face Hub.

    It holds ``weights.safetensors``, ``model.toml`` and ``README.md``, the card: classes, data, figures if they were
    measured, limits, license. No file contains a path of this machine. Look at the card, and complete it, before you
    publish.

    Args:
        run: A run folder, or the ``model`` folder in it.
        out: New or empty folder. It loads with ``Segmenter.load`` and ``Segmenter.from_pretrained``.
        license: License of the weights, such as ``cc-by-4.0``.
        quiet: Print only warnings.

    Returns:
        The folder.

    Raises:
        ConfigError: The license is no identifier.
        DataError: The run is not finished, or ``out`` has content or cannot be written.
    """
    check_license(license)
    check_new_folder(Path(out))
    _write(Path(run), Path(out), license, "")
    Console(quiet).say(f"network and model card: {out}", style="green")
    return Path(out)


def push_to_hub(
    source: Path | str,
    repository: str,
    license: str | None = None,
    private: bool | None = None,
    token: str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    quiet: bool = True,
) -> str:
    """Upload the network of a run, with its model card, to a repository on the Hugging Face Hub.

    Args:
        source: A run folder, or a folder that :func:`save_pretrained` wrote, whose card is uploaded as it is.
        repository: Repository, such as ``user/name``. It is created if it does not exist.
        license: License of the weights, such as ``cc-by-4.0``; None: unknown, or that of the card in the folder.
        private: Whether a new repository is private; None: as the account is set.
        token: Token of the hub; None: that of ``hf auth login``, or the environment variable ``HF_TOKEN``.
        revision: Branch; None: the main branch.
        create_pr: Propose the upload as a pull request.
        quiet: Print only warnings.

    Returns:
        Address of the commit.

    Raises:
        ConfigError: There is no token, the hub cannot be reached, or it refuses the upload.
        DataError: The run is not finished.
    """
    source = Path(source)
    has_card = all((source / name).exists() for name in FILES)
    if license is not None:
        check_license(license)
        if has_card:
            raise ConfigError(f"{source} has a license in its {CARD}: change it there, and leave --license out.")
    if not (token or get_token()):
        raise ConfigError("The hub needs a token that may write: run 'hf auth login' first, or set HF_TOKEN.")
    with tempfile.TemporaryDirectory() as temporary:
        if has_card:
            TorchSegmenter.load(source, "cpu")  # checks both files
            folder = source
        else:
            folder = Path(temporary) / "network"
            _write(source, folder, license or UNKNOWN_LICENSE, repository)
        try:
            check_reachable()
            api = HfApi(token=token)
            name = api.create_repo(repository, private=private, exist_ok=True).repo_id
            commit = api.upload_folder(
                repo_id=name,
                folder_path=folder,
                allow_patterns=list(FILES),
                commit_message="Upload a network of coarse2fine",
                revision=revision,
                create_pr=create_pr,
            )
        except Exception as error:  # the client of the hub also raises the errors of its HTTP library
            reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
            raise ConfigError(
                f"{repository} could not be uploaded to {constants.ENDPOINT} ({reason}). Check name, connection "
                "and that the token may write; coarse2fine export --format pretrained writes the files for another way."
            ) from error
    address = str(commit.commit_url)
    Console(quiet).say(f"published: {constants.ENDPOINT}/{name}", style="green")
    return address


def _write(run: Path, out: Path, license: str, repository: str) -> None:
    segmenter = TorchSegmenter.load(run, "cpu")
    config = segmenter.network_config
    without_path = config.model_copy(update={"encoder_weights": Path(config.encoder_weights).name})
    card = make_model_card(run, license, repository)
    with write_new_folder(out) as folder:
        replace(segmenter, network_config=without_path).save(folder)
        write_text(folder / CARD, card)
