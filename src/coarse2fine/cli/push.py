"""``coarse2fine push``: the network of a run, with its model card, to the Hugging Face Hub."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from coarse2fine.cli.parser import Json, Quiet, parse_and_call


def run(arguments: Sequence[str]) -> None:
    """Parse the options and upload."""
    parse_and_call(push, arguments, "push")


def push(
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|DIR")],
    repository: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="USER/NAME")],
    license: Annotated[str | None, tyro.conf.arg(metavar="ID")] = None,
    private: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    branch: str | None = None,
    create_pr: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> dict[str, Any]:
    """Upload the network of a run to the Hugging Face Hub, with a model card written from the run.

    Uploaded are the weights (safetensors), model.toml and the card; no photo, no mask, no path of this machine. To see
    or complete the card first, write the folder, and upload that.

    For example:
      coarse2fine push runs/pets user/pets --license cc-by-4.0
      coarse2fine export runs/pets --format pretrained --out pets-hub && coarse2fine push pets-hub user/pets

    Args:
        run: Run folder of fit; or a folder written by export --format pretrained.
        repository: Repository on the hub; it is created if it does not exist.
        license: License of the weights, such as cc-by-4.0; default: unknown.
        private: Make a new repository private.
        branch: Branch; default: main.
        create_pr: Propose the upload as a pull request.
        quiet: Print only warnings and errors.
        json: Print the result as one JSON object; all other output goes to standard error.
    """
    from coarse2fine.inference.description import find_model_folder, read_description

    read_description(find_model_folder(run))  # importing torch takes seconds: check first
    from coarse2fine.export.hub import push_to_hub

    address = push_to_hub(run, repository, license, private or None, None, branch, create_pr, quiet)
    return {"repository": repository, "commit": address}
