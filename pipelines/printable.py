"""Text of somebody else's on a terminal or page: what would move the cursor, set the title, make a link or
turn the text is only shown.

Stages, models and file names can hold escape sequences; logs on disk keep their bytes, people see `\\x1b`.
"""

from __future__ import annotations

import html
import re

# C0 but tab and newline, DEL, C1, line separators, marks and overrides of the writing direction, invisible
# tags, lone surrogates
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """`text` with every such character as its escape; a carriage return before a newline goes."""
    return _UNSAFE.sub(_escaped, text.replace("\r\n", "\n"))


def escape(text: str, quote: bool = True) -> str:
    """The same for a page: `html.escape` besides."""
    return html.escape(printable(text), quote)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
