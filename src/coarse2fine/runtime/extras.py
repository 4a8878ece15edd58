"""The optional dependencies of this package (its extras), and how to install them."""

import json
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version

from packaging.requirements import Requirement

PACKAGE = "coarse2fine"

EXTRAS = {
    "app": "app",
    "serve": "serve",
    "onnx": "export --format onnx, and .onnx files in predict, evaluate, serve, info",
    "export": "export --format coco, coco-panoptic, yolo, ultralytics, lightly, labelstudio, cvat, huggingface",
    "parquet": "fit with a Parquet file",
    "video": "teacher with video files",
    "tensorboard": "logs of trainings for TensorBoard",
    "wandb": "fit --logger wandb",
    "mlflow": "fit --logger mlflow",
}
"""The extras for users, and the commands that need them."""


def install_command(*extras: str) -> str:
    """Return the command that installs this package with extras, from the place where it was installed from.

    pip records that place (PEP 610): a folder, an archive, a repository; nothing for a package index.

    Args:
        extras: Names of extras, such as ``onnx``.
    """
    name = f"{PACKAGE}[{','.join(extras)}]"
    url, record = _read_origin()
    if record.get("dir_info", {}).get("editable"):
        return f"pip install --editable '{_to_path(url)}[{','.join(extras)}]'"
    if "dir_info" in record:
        return f"pip install '{_to_path(url)}[{','.join(extras)}]'"
    if "vcs_info" in record:
        return f"pip install '{name} @ {record['vcs_info'].get('vcs', 'git')}+{url}'"
    return f"pip install '{name} @ {url}'" if url else f"pip install '{name}'"


def find_missing(extra: str = "") -> list[str]:
    """List the dependencies that are not installed or too old, such as ``onnx>=1.21 (found 1.14)``.

    Args:
        extra: Name of an extra; empty: the dependencies that are always needed.
    """
    missing = []
    for needed in _list_requirements(extra):
        try:
            found = version(needed.name)
        except PackageNotFoundError:
            missing.append(f"{needed.name}{needed.specifier}")
            continue
        if not needed.specifier.contains(found, prereleases=True):
            missing.append(f"{needed.name}{needed.specifier} (found {found})")
    return missing


def _list_requirements(extra: str) -> Iterator[Requirement]:
    for line in distribution(PACKAGE).requires or ():
        needed = Requirement(line)
        belongs = needed.marker.evaluate({"extra": extra}) if needed.marker else not extra
        if belongs and not (extra and needed.marker and needed.marker.evaluate({"extra": ""})):
            yield needed


def _read_origin() -> tuple[str, dict[str, dict[str, object]]]:
    try:
        record = json.loads(distribution(PACKAGE).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return "", {}
    return str(record.get("url", "")), record


def _to_path(url: str) -> str:
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    return url2pathname(urlsplit(url).path)
