import importlib.util
from pathlib import Path

import numpy as np
import pytest

import coarse2fine

DOCS = Path(__file__).parents[1] / "docs"


def load_maker():
    spec = importlib.util.spec_from_file_location("make_api", DOCS / "make_api.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    return maker


@pytest.mark.skipif(np.__version__.startswith("1."), reason="NumPy 1 writes its array types in another way")
def test_api_page__is_made_from_the_docstrings():
    assert (DOCS / "api.md").read_text(encoding="utf-8") == load_maker().page(), "run python docs/make_api.py"


def test_api_page__has_every_public_name():
    names = [name for names in load_maker().SECTIONS.values() for name in names]
    assert sorted(names) == coarse2fine.__all__
