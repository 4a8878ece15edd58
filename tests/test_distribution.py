"""What a release contains: the wheel, the source distribution, and one version everywhere."""

import os
import subprocess
import sys
import tarfile
import tomllib
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAME = f"coarse2fine-{PROJECT['version']}"
LARGEST_BYTES = 3_000_000  # the student network


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> list[Path]:
    """Two folders, each with the result of one build."""
    folders = [tmp_path_factory.mktemp("dist") for _ in range(2)]
    for folder in folders:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", folder]
        environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
        shown = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert shown.returncode == 0, shown.stderr
    return folders


def list_package() -> set[str]:
    folder = ROOT / "src" / "coarse2fine"
    return {
        f"coarse2fine/{path.relative_to(folder).as_posix()}"
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel__has_the_package_and_nothing_else(built):
    with ZipFile(built[0] / f"{NAME}-py3-none-any.whl") as wheel:
        sizes = {one.filename: one.file_size for one in wheel.infolist()}
    assert {name for name in sizes if ".dist-info/" not in name} == list_package()
    assert "coarse2fine/coarse/student.safetensors" in sizes and "coarse2fine/config/recipes/demo.toml" in sizes
    assert max(sizes.values()) < LARGEST_BYTES
    assert not [name for name in sizes if name.endswith((".png", ".jpg", ".pyc"))]


def test_sdist__has_what_a_build_needs_and_nothing_else(built):
    with tarfile.open(built[0] / f"{NAME}.tar.gz") as archive:
        names = {name.removeprefix(f"{NAME}/") for name in archive.getnames()}
    package = {name for name in names if name.startswith("src/")}
    assert package == {f"src/{name}" for name in list_package()}
    others = {".gitignore", "CHANGELOG.md", "CITATION.cff", "LICENSE", "PKG-INFO", "README.md", "SECURITY.md"}
    assert names - package == others | {"pyproject.toml"}


def test_builds__are_equal_byte_for_byte(built):
    hashes = [{path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()} for folder in built]
    assert hashes[0] == hashes[1] and len(hashes[0]) == 2


def test_version__is_written_once_and_has_a_section_in_the_changelog():
    assert f"\n## {PROJECT['version']}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for path in ("CITATION.cff", "src/coarse2fine/__init__.py"):
        assert PROJECT["version"] not in (ROOT / path).read_text(encoding="utf-8")


def test_pythons__are_those_of_the_workflows():
    listed = {line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line}
    for workflow in ("ci.yml", "release.yml"):
        text = (ROOT / ".github" / "workflows" / workflow).read_text(encoding="utf-8")
        quoted = ", ".join(f'"{one}"' for one in sorted(listed))
        assert f"python: [{quoted}]" in text, workflow
