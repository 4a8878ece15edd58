"""Who may import whom, from the ground up. docs/architecture.md has the same rows, and a test compares them."""

import ast
import re
from importlib.metadata import version
from pathlib import Path

import pytest

import coarse2fine

ROWS = (
    {"errors", "types"},
    {"config", "runtime"},
    {"masks", "networks"},
    {"data", "enhance"},
    {"coarse", "corrections", "inference", "store", "training"},
    {"distillation", "evaluation", "serving"},
    {"app", "report"},
    {"export"},
    {"pipeline"},
    {"__init__", "cli"},
    {"__main__"},
)
ROOT = Path(coarse2fine.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


def package_of(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def row_of(package: str) -> int:
    return next(number for number, row in enumerate(ROWS) if package in row)


def packages_imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} if node.module != "coarse2fine" else {f"coarse2fine.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("coarse2fine.")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports__go_down_only(path):
    package = package_of(path)
    upward = {other for other in packages_imported(path) - {package} if row_of(other) >= row_of(package)}
    assert not upward, f"{package} may not import {upward}"


def test_rows__name_every_package():
    assert {package_of(path) for path in FILES} == set().union(*ROWS)


def test_rows__are_those_of_the_docs():
    page = (Path(__file__).parent.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = re.search(r"## Who may import whom.*?```\n(.*?)```", page, re.DOTALL)
    assert listed is not None
    assert tuple(set(line.split()) for line in listed[1].splitlines()) == ROWS


def test_packages__list_their_modules():
    """A package of several modules describes each of them in the docstring of its ``__init__``."""
    for folder in sorted({path.parent for path in FILES if path.parent != ROOT}):
        modules = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
        docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
        missing = [name for name in sorted(modules) if name not in docstring]
        assert not missing, f"{folder.relative_to(ROOT)}/__init__.py must describe {', '.join(missing)}"


def test_tests__mirror_the_package():
    """Every folder of tests is named after a package; ``benchmarks`` and ``experiments`` test scripts beside it.

    ``fuzz`` tests readers of all packages.
    """
    here = Path(__file__).parent
    folders = {path.parent.relative_to(here) for path in here.rglob("test_*.py")} - {
        Path(),
        Path("benchmarks"),
        Path("experiments"),
        Path("fuzz"),
    }
    assert all((ROOT / folder).is_dir() for folder in folders), folders


def test_public_names__are_the_same_for_type_checkers():
    tree = ast.parse(Path(coarse2fine.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    for_checkers = {(node.module, alias.name, alias.asname) for node in imports for alias in node.names}
    at_runtime = {
        (f"coarse2fine.{module}", name, name) for module, names in coarse2fine._PUBLIC.items() for name in names
    }
    assert for_checkers == at_runtime


def test_public_names__exist():
    assert coarse2fine.__all__ == sorted(set(coarse2fine.__all__))
    assert all(getattr(coarse2fine, name) is not None for name in coarse2fine.__all__)
    assert {"__version__", *coarse2fine.__all__} <= set(dir(coarse2fine))
    assert coarse2fine.__version__ == version("coarse2fine")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = coarse2fine.nothing
