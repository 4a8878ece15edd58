import importlib.util
import re
from pathlib import Path

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
