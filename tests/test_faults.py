"""Small inputs that users have and that once went wrong: each example has a test, and ``make faults`` runs them all."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
EXAMPLES = TESTS.parents[1] / "shared" / "faults"


@pytest.mark.fault("all")
def test_faults__every_example_has_a_test():
    """The tests write their inputs themselves; the folder of examples may lie beside the repository."""
    if not EXAMPLES.is_dir():
        pytest.skip("the folder of examples ../shared/faults is not here; the tests of its examples do not need it")
    examples = {folder.name for folder in EXAMPLES.iterdir() if folder.is_dir()}
    tested = {
        name for file in TESTS.rglob("test_*.py") for name in re.findall(r'mark\.fault\("([^"]+)"\)', file.read_text())
    }
    assert examples
    assert examples - tested == set()
