"""``coarse2fine doctor``: devices, versions, and what is missing for which command."""

from collections.abc import Sequence
from typing import Any

from coarse2fine.cli.parser import Json, Quiet, parse_and_call


def run(arguments: Sequence[str]) -> None:
    """Parse the options and print."""
    parse_and_call(doctor, arguments, "doctor")


def doctor(quiet: Quiet = False, json: Json = False) -> dict[str, Any]:
    """Show devices, cores, memory and versions of this machine, and what is missing for which command.

    For each extra that is not installed, it prints the pip command that installs it from where coarse2fine came from.
    Nothing is downloaded or changed. Include the output in a report of an error.

    For example:
      coarse2fine doctor
      coarse2fine doctor --json

    Args:
        quiet: Print only warnings and errors.
        json: Print the result as one JSON object; all other output goes to standard error.
    """
    from coarse2fine.cli.info import as_table
    from coarse2fine.config import NetworkConfig
    from coarse2fine.networks.backbone import has_cached_weights
    from coarse2fine.runtime.console import Console
    from coarse2fine.runtime.environment import describe_environment, list_extras

    console = Console(quiet or json)
    found = describe_environment()
    console.show(as_table({name: value for name, value in found.items() if name != "missing"}))
    for name in found["missing"]:
        console.warn(f"needed by every command, but not installed or too old: {name}")
    extras = list_extras()
    for extra, state in extras.items():
        missing = f"missing: {', '.join(state['missing'])}. {state['install']}" if state["missing"] else "installed"
        console.say(f"extra {extra} ({state['commands']}): {missing}", style="yellow" if state["missing"] else "green")
    encoder = NetworkConfig().encoder
    is_cached = has_cached_weights(encoder)
    console.say(
        f"ImageNet weights of {encoder}, the encoder of fit: "
        + ("downloaded" if is_cached else "not downloaded yet; without internet use --network.encoder-weights FILE"),
        style="green" if is_cached else "yellow",
    )
    return found | {"extras": extras, "encoder_weights": {"encoder": encoder, "downloaded": is_cached}}
