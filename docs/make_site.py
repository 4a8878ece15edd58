"""Build the documentation site into .site/html: python docs/make_site.py. A warning is an error.

The pages are the Markdown files of the repository, so that they also read well on GitHub. MkDocs takes them from one
folder, and links may not leave it. So the pages, and the files that they link to, are first copied to .site/pages, at
the same relative paths. Settings and navigation: mkdocs.yml.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / ".site" / "pages"
PATTERNS = ("*.md", "docs/**/*.md", "benchmarks/results/*.md", "experiments/results/*.md")
LINK = re.compile(r"\]\(([^)#\s]+)")


def main() -> None:
    """Copy the pages and build the site."""
    shutil.rmtree(PAGES, ignore_errors=True)
    for page in find_pages():
        for file in (page, *find_linked_files(page)):
            target = PAGES / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    sys.exit(subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=False).returncode)


def find_pages() -> list[Path]:
    """Return every page of the site."""
    return sorted(page for pattern in PATTERNS for page in ROOT.glob(pattern))


def find_linked_files(page: Path) -> list[Path]:
    """Return the files of the repository, apart from pages, to which a page links."""
    links = LINK.findall(page.read_text(encoding="utf-8"))
    files = [(page.parent / link).resolve() for link in links if "://" not in link and not link.endswith(".md")]
    return [file for file in files if file.is_file() and file.is_relative_to(ROOT)]


if __name__ == "__main__":
    main()
