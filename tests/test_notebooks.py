"""The notebooks run from an empty folder to their end, and are stored without results."""

import ast
import json
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def read_cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook__is_stored_without_results(path):
    cells = [cell for cell in read_cells(path) if cell["cell_type"] == "code"]
    assert len(cells) > 3 and not any(cell["outputs"] or cell["execution_count"] for cell in cells)


def test_notebook__installs_only_what_is_missing():
    """The magic command of the first cell is not Python; apart from it, every cell is."""
    first, *others = ["".join(cell["source"]) for cell in read_cells(NOTEBOOKS[0]) if cell["cell_type"] == "code"]
    assert re.search(r'find_spec\("coarse2fine"\) is None:\n    %pip install', first)
    for source in others:
        ast.parse(source)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook__runs_from_an_empty_folder(path, tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):  # nothing of this machine, and nothing left on it
        monkeypatch.setenv(name, str(tmp_path / name))
    paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "work"
    folder.mkdir()
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    texts = "".join(output.get("text", "") for output in outputs)
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(list((folder / "first" / "data" / "train").rglob("*.jpg"))) == 40
    assert len(pictures) == 8  # one of the photos, four of masks, three of predictions
    measured = re.search(r"mIoU ([\d.]+) on 60 photos", texts)
    assert measured and 0.15 < float(measured[1]) < 1
    masks = json.loads((folder / "first" / "run" / "round-1" / "metrics.json").read_text())["training_masks_iou"]
    assert masks["enhanced"] > 0.7
    assert "'SegmentationClass'" in outputs[-1]["data"]["text/plain"]
