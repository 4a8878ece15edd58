import importlib.util
import re
from pathlib import Path

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
    for file in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
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
