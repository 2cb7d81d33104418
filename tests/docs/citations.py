"""Citations of docs/methods: their one form, and what they may name.

`BOOK.md 1.2` is a section, `BOOK.md 9.2.17` the 17th item of section 9.2 (of a numbered list, or a table's
row of that number), `BOOK.md 8.8.C1` an item with a label, `BOOK.md U3` a row of a book's table of open
questions. Several follow one another with commas, `and`, `or`, `to`. Only Markdown files may have a path
before the name, as links have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

REFERENCE = r"(?:[1-9]?\d(?:\.\d+)*(?:\.[A-Z]\d*)?(?![\w%])|U\d+\b)"
GAP = r"(?:[ \t]+|[ \t]*\n[ \t]*(?:#[ \t]*)?)"  # a citation may go on in the next line, of a comment too
FOLLOWS = rf"(?:(?:,|;)?{GAP}(?:and|or|to){GAP}|,{GAP}){REFERENCE}"
CITATION = re.compile(
    rf"(?P<path>(?:[\w.-]+/)*)(?P<book>[A-Za-z][\w-]*)\.md(?P<all>{GAP}(?P<first>{REFERENCE})(?P<rest>(?:{FOLLOWS})*))?"
)
WORD = rf"^[,;]?{GAP}(?:sections?|items?|identit(?:y|ies)|pitfalls?|no\.|§)"
# after a reference: what would not be looked at
MORE = re.compile(rf"^\s?[-–/+&]\s?\d|^;{GAP}\d+\.\d|{WORD}", re.I)
LOOSE = re.compile(rf"^[:,;]?\s?[(#]?\d|{WORD}", re.I)  # the same after a book's name alone
OTHER_BOOKS = re.compile(r"\bdesign\d?(?:\.md)?\s(?:§|sections?\b|\d)|\bmethods/\w+ \d", re.I)
BARE = re.compile(
    r"\b(?:dpo_vs_ppo|reward_bridge|spo) \d+\.\d|\b(?:[Pp]itfalls?|[Ii]dentit(?:y|ies)) \d|\"\"\"(?:Section )?[1-9]\d?(?:\.\d+)+[:., ]"
)  # of which book?
HEADING = re.compile(r"^#{2,4} (\d+(?:\.\d+)*)\.? ")
ITEM = re.compile(r"^(?:(\d+)\. |\| (\d+|[A-Z]\d*) \||- \*\*([A-Z]\d*)\*\*)")
WITHIN = re.compile(r"\b(?:[Ss]ections?|see) (\d+(?:\.\d+)*|U\d+)\b|\(([1-9]\d?\.\d{1,2}|U\d+)\)")


def anchors(text: str) -> set[str]:
    """All that a citation of this book may name."""
    found, section = set[str](), ""
    for line in text.splitlines():
        if heading := HEADING.match(line):
            section = heading[1]
            found.add(section)
        elif (item := ITEM.match(line)) and section:
            label = item[1] or item[2] or item[3]
            found.add(f"{section}.{label}")
            if label.startswith("U"):
                found.add(label)
    return found


def books(folder: Path) -> dict[str, set[str]]:
    """Name -> anchors of each book."""
    return {
        file.stem: anchors(file.read_text(encoding="utf-8"))
        for file in sorted(folder.glob("*.md"))
        if file.stem != "index"
    }


def problems(text: str, shelf: Mapping[str, set[str]], markdown: bool = False) -> Iterator[tuple[int, str]]:
    """(line, what is wrong) of each citation in `text` that is not in the form above, or names what no book
    has.
    """
    for match in CITATION.finditer(text):
        line = text.count("\n", 0, match.start("book")) + 1
        if match["book"] not in shelf:
            if match["all"]:
                yield line, f"{match[0]!r}: docs/methods has no {match['book']}.md"
            continue
        if match["path"] and not markdown:
            yield line, f"{match[0]!r}: without a path, {match['book']}.md alone"
        if (MORE if match["all"] else LOOSE).match(text[match.end() : match.end() + 20]):
            yield (
                line,
                f"{match[0]!r} is followed by more: write {match['book']}.md 1.2 or {match['book']}.md 1.2.3",
            )
        for reference in re.findall(REFERENCE, match["all"] or ""):
            if reference not in shelf[match["book"]]:
                yield line, f"{match['book']}.md has no {reference}"
    for match in [] if markdown else BARE.finditer(text):
        yield (
            text.count("\n", 0, match.start()) + 1,
            f"{match[0]!r} does not say which book: write BOOK.md 1.2",
        )
    for match in OTHER_BOOKS.finditer(text):
        yield (
            text.count("\n", 0, match.start()) + 1,
            f"{match[0]!r} names what this repository does not have: say the fact",
        )


def within(text: str) -> Iterator[tuple[int, str]]:
    """(line, reference) of each reference of a book to a section or item of its own that it does not have."""
    own = anchors(text)
    for match in WITHIN.finditer(text):
        reference = match[1] or match[2]
        before = text[: match.start()].rpartition("\n")[2]
        if reference not in own and not re.search(r"\.md$|arXiv|\d{4}\.\d+\S*$", before.rstrip(" (")):
            yield text.count("\n", 0, match.start()) + 1, reference
