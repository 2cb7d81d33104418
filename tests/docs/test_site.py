"""The site: it builds without a warning, every page stands in its navigation, and nothing of it is loaded
from elsewhere.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT

pytest.importorskip("mkdocs", reason="mkdocs-material is in requirements.lock: `make test` installs it")
LOADED = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']?(https?:)?//", re.IGNORECASE
)
IMPORTED = re.compile(r"(?:url\(|@import\s)[\"']?(?:https?:)?//", re.IGNORECASE)


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--config-file", str(config), "--site-dir", str(site)]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, timeout=120
    )


def test_it_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    done = build(ROOT / "mkdocs.yml", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 90
    assert [page.name for page in pages if LOADED.search(page.read_text())] == []
    assert [sheet.name for sheet in tmp_path.rglob("*.css") if IMPORTED.search(sheet.read_text())] == []


def test_a_page_outside_the_navigation_and_a_link_to_nowhere_are_errors(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# One\n\n[gone](gone.md)\n")
    (tmp_path / "docs/other.md").write_text("# Other\n")
    text = (ROOT / "mkdocs.yml").read_text()
    (tmp_path / "mkdocs.yml").write_text(text[: text.index("nav:")] + "nav:\n  - index.md\n")
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 1
    assert "other.md" in done.stderr
    assert "gone.md" in done.stderr
