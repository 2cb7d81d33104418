"""What a Markdown file says that other files rely on: its links, and the anchors of its headings."""

from __future__ import annotations

import re
import subprocess
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)  # a scheme or a host


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository that match one of the patterns, also those that are not added yet."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return sorted(ROOT / name for name in set(names) if name and (ROOT / name).is_file())


def links(text: str) -> Iterator[tuple[int, str]]:
    """(line, target) of each link and image that stays in the repository; reference links count where they
    are used.
    """
    for block in MarkdownIt("commonmark").enable("table").parse(text):
        for token in block.children or []:
            target = (
                token.attrGet("href" if token.type == "link_open" else "src")
                if token.type in ("link_open", "image")
                else None
            )
            if target and not ELSEWHERE.match(str(target)):
                yield (block.map or [0])[0] + 1, str(target)


@cache
def anchors(path: Path) -> frozenset[str]:
    """Anchors that work on GitHub and in a built site alike: the two make them by different rules."""
    github, site = set[str](), set[str]()
    for title in headings(path.read_text()):
        github.add(numbered(github_anchor(title), github, "-"))
        site.add(numbered(site_anchor(title), site, "_"))
    return frozenset(github & site)


def headings(text: str) -> Iterator[str]:
    tokens = MarkdownIt("commonmark").parse(text)
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            yield plain(inline.children or [])


def plain(tokens: list[Token]) -> str:
    return "".join(token.content for token in tokens if token.type in ("text", "code_inline"))


def github_anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


def site_anchor(title: str) -> str:
    """As Python-Markdown's `toc` makes it."""
    ascii_only = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_only).strip().lower())


def numbered(anchor: str, taken: set[str], mark: str) -> str:
    """A heading that comes again gets a number."""
    names = [anchor, *(f"{anchor}{mark}{number}" for number in range(1, len(taken) + 1))]
    return next(name for name in names if name not in taken)
