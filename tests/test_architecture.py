"""Who may import whom, from the ground up; the same order stands in docs/architecture.md."""

import ast
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
    {"app", "export", "report"},
    {"pipeline"},
    {"__init__", "cli"},
    {"__main__"},
)
ROOT = Path(coarse2fine.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


def room_of(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def row_of(room: str) -> int:
    return next(number for number, row in enumerate(ROWS) if room in row)


def rooms_imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} if node.module != "coarse2fine" else {f"coarse2fine.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("coarse2fine.")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports__go_down_only(path):
    room = room_of(path)
    upward = {other for other in rooms_imported(path) - {room} if row_of(other) >= row_of(room)}
    assert not upward, f"{room} may not import {upward}"


def test_rows__name_every_room():
    rooms = {room_of(path) for path in FILES}
    assert rooms <= set().union(*ROWS)
    assert {"pipeline", "cli", "errors"} <= rooms


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
