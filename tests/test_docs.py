import importlib.util
import re
from pathlib import Path

import numpy as np

import coarse2fine
from coarse2fine.cli import exit_status
from coarse2fine.data.synthetic import draw_dataset
from coarse2fine.masks.png import read_mask

ROOT = Path(__file__).parents[1]


def test_settings_page__is_made_from_the_classes():
    spec = importlib.util.spec_from_file_location("make_settings", ROOT / "docs" / "make_settings.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == maker.page(), "run python docs/make_settings.py"
    assert "`refine.constrain`" in page


def test_links__lead_somewhere():
    for file in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", file.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (file.parent / target).exists(), f"{file.name} links to {target}"


def test_example__own_coarse_masks_teach_a_network(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("example", ROOT / "examples" / "own_coarse_masks.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    asked = []
    monkeypatch.setattr("coarse2fine.fit", lambda *arguments, **options: asked.append(arguments))
    draw_dataset(tmp_path / "data", train_per_class=1, val_photos=1, size_px=48)
    example.main(tmp_path / "data" / "train", tmp_path / "run")
    masks = asked[0][2].coarse.folder.path
    assert asked[0][2].coarse.method == "folder"
    assert len(list(masks.rglob("*.png"))) == 6
    assert any(read_mask(path).any() for path in masks.rglob("*.png"))


def test_commands_page__lists_the_exit_statuses():
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    listed = {int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert listed == {0, 1, exit_status.BAD_INPUT, exit_status.INTERRUPTED, exit_status.TERMINATED}


def test_readme__each_stage_alone_runs_as_written():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    image = np.full((40, 60, 3), 128, np.uint8)
    image[10:30, 15:45] = (230, 20, 20)
    probabilities = np.stack([np.full((40, 60), 0.2), np.full((40, 60), 0.8)]).astype(np.float32)
    names = {"coarse2fine": coarse2fine, "image": image, "probabilities": probabilities}
    exec(blocks[2], names)
    assert names["soft"].max() == 1 and names["coarse"][20, 30] == 1
    assert names["enhanced"].shape == (40, 60) and names["enhanced"][20, 30] == 1 and names["enhanced"][0, 0] == 0
    assert names["refined"].all() and names["fine"].shape == (2, 40, 60)
