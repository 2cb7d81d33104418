"""Words as the paper's rules count them: words and numbers, case folded, and single CJK characters
(reward_bridge.md 11).
"""

from __future__ import annotations

import re
import unicodedata

WORD = re.compile(r"[㐀-鿿豈-﫿]|\d+(?:[.,]\d+)*|[^\W\d㐀-鿿豈-﫿]+")


def words(text: str) -> list[str]:
    """Returns the words of `text` in order, without signs and punctuation; separators inside a number belong
    to it.
    """
    return [word.replace(",", "") for word in WORD.findall(unicodedata.normalize("NFKC", text).casefold())]
