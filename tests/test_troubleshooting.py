"""docs/troubleshooting.md explains messages; each must still exist in the source."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "troubleshooting.md"
QUOTES = [" ".join(line[2:].split()) for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("> ")]
VARIABLE = "…"


@cache
def messages() -> tuple[str, ...]:
    """Return every text of the source, with ``…`` for its variable parts."""
    files = (ROOT / "src" / "coarse2fine").rglob("*.py")
    return tuple(text for file in files for node in ast.walk(ast.parse(file.read_text())) if (text := text_of(node)))


def text_of(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or VARIABLE for part in node.values)
    return ""


def pattern_of(quote: str) -> re.Pattern[str]:
    return re.compile(r".*".join(re.escape(part.strip()) for part in quote.split(VARIABLE)), re.DOTALL)


def test_page__quotes_many_messages():
    assert len(QUOTES) == len(set(QUOTES)) > 30


@pytest.mark.parametrize("quote", QUOTES)
def test_message__is_still_written(quote):
    assert len(quote.replace(VARIABLE, "")) > 12, "quote more of the message"
    assert any(pattern_of(quote).search(text) for text in messages()), "no message of the source reads like this"


def test_message__that_was_reworded_is_found():
    assert not any(pattern_of("Every photo needs a picture in coarse.folder.path").search(text) for text in messages())
