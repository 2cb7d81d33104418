"""An answer as it was typed -> one spelling: Unicode mathematics becomes LaTeX or ASCII, delimiters and layout commands go.

Nothing here reads the meaning; two answers with the same tidy text are the same answer, and the readers of numbers, units and structure
(`numerals`, `units`, `equivalence`) only ever see tidy text.
"""

from __future__ import annotations

import re
import unicodedata

SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
SUPERSCRIPT_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
FRACTIONS = {
    "½": "1/2",
    "⅓": "1/3",
    "⅔": "2/3",
    "¼": "1/4",
    "¾": "3/4",
    "⅕": "1/5",
    "⅙": "1/6",
    "⅛": "1/8",
    "⅜": "3/8",
    "⅝": "5/8",
    "⅞": "7/8",
}
SYMBOLS = {
    "−": "-", "–": "-", "﹣": "-", "×": r"\times ", "⋅": r"\cdot ", "·": r"\cdot ", "∙": r"\cdot ", "÷": "/", "∕": "/", "⁄": "/",
    "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ", "≠": r"\ne ", "∪": r"\cup ", "∩": r"\cap ",
    "∅": r"\emptyset ", "Ø": r"\emptyset ", "±": r"\pm ", "∈": r"\in ", "°": r"^\circ ", "º": r"^\circ ", "µ": r"\mu ", "μ": r"\mu ",
    "Ω": r"\Omega ", "…": r"\ldots ", "“": '"', "”": '"', "‘": "'", "’": "'", "。": ".", "、": ",", "″": "''", "′": "'",
}  # fmt: skip
ROOT = re.compile(r"√\s*(\d+(?:\.\d+)?|[A-Za-z]|\([^()]*\))")
COMMANDS = {
    r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\leqslant": r"\le ", r"\geqslant": r"\ge ", r"\leq": r"\le ", r"\geq": r"\ge ",
    r"\neq": r"\ne ", r"\varnothing": r"\emptyset ", r"\lbrace": r"\{", r"\rbrace": r"\}", r"\degree": r"^\circ ", r"\dots": r"\ldots ",
    r"\cdots": r"\ldots ", r"\sim": "~",
}  # fmt: skip
COMMAND = re.compile("|".join(re.escape(name) + "(?![A-Za-z])" for name in sorted(COMMANDS, key=len, reverse=True)))
NO_LAYOUT = re.compile(r"\\(?:left|right|big|Big|bigg|Bigg|displaystyle|limits|quad|qquad)(?![A-Za-z])|\\[!>]")
THIN = re.compile(r"(?<=\d)(?:\\[,!]|\{,\}\\?!?|,\\!)(?=\d{3}(?!\d))")  # a thousands mark as TeX sets it
SPACES = re.compile(r"(?<!\\)\\[,;: ]|(?<!\\)~|\s+")
WRAPPED = re.compile(r"\\(?:mathrm|text|textbf|textit|textrm|mathbf|mathit|mathsf|operatorname|mbox|rm|unit)\s*\{([^{}]*)\}")
CIRCLE = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))|\{\s*\}\s*\^\s*\{?\\circ\}?")
MATHS = re.compile(r"\$\$?([^$]+)\$\$?")
OUTER = re.compile(r"^\s*(?:\\\((.*)\\\)|\\\[(.*)\\\])\s*$", re.S)
CURRENCY = re.compile(r"(?<![\w}])(?:US|A|HK)?\s*\\?\$(?=\s*-?[\d.])|[€£¥￥]")
WORDS_OF_MATHS = {
    r"\b(?:positive )?infinity\b": r"\\infty",
    r"^(?:the )?(?:empty|null) set$|^no (?:real )?(?:solutions?|answer)$|^\\\{\s*\\\}$|^空集$|^无解$": r"\\emptyset",
    r"\bpi\b": r"\\pi ",
    r"\bdegrees?\b": r"^\\circ ",
    r"\bper ?cent\b": "%",
}
NAMED = [(re.compile(pattern, re.I), put) for pattern, put in WORDS_OF_MATHS.items()]
TOKENS = re.compile(r"-?\d+(?:\.\d+)?%?|[㐀-鿿豈-﫿]|[^\W\d_㐀-鿿豈-﫿]+(?:'[a-z]+)?|[^\w\s.,;:!?'\"()`_]")
ARTICLES = frozenset(("the", "a", "an"))
WORDY = re.compile(r"(?<![\\A-Za-z])[^\W\d_]{2,}|[㐀-鿿]")
MATHY = re.compile(r"[\d\\^=<>{}+*/|]")


def tidy(text: str) -> str:
    """One spelling of an answer. Signs, thousands marks of TeX, fractions, superscripts, degrees and delimiters are made alike."""
    text = SUPERSCRIPT_RUN.sub(lambda run: "^{" + run.group().translate(SUPERSCRIPTS) + "}", text)
    if not text.isascii():
        for sign, value in FRACTIONS.items():
            text = text.replace(sign, f" {value}" if sign in text else sign)
        text = ROOT.sub(lambda found: r"\sqrt{" + found.group(1).strip("()") + "}", text.replace("√ ", "√"))
        text = "".join(SYMBOLS.get(character, character) for character in text)
        text = unicodedata.normalize("NFKC", text)
        text = "".join(SYMBOLS.get(character, character) for character in text)  # what the full-width forms and units decompose to
    outer = OUTER.match(text)
    text = next((part for part in outer.groups() if part is not None), "") if outer else text
    text = MATHS.sub(r" \1 ", CURRENCY.sub(" ", text) if text.count("$") % 2 or "$" not in text else text)
    text = CURRENCY.sub(" ", text).replace("\\$", " ").replace("$", " ").replace("\\%", "%")
    text = THIN.sub("", NO_LAYOUT.sub("", COMMAND.sub(lambda found: COMMANDS[found.group()], text)))
    for _ in range(3):  # \mathrm{\text{cm}}
        text = WRAPPED.sub(r" \1 ", text)
    text = CIRCLE.sub(r"^\\circ ", SPACES.sub(" ", text))
    for pattern, put in NAMED:
        text = pattern.sub(put, text.strip())
    return SPACES.sub(" ", text).rstrip(".,;: ").strip().strip('"*_').strip()


def compact(tidied: str) -> str:
    """Without blanks: `2 \\sqrt{3}` and `2\\sqrt{3}` are one."""
    return tidied.replace(" ", "")


def wordy(tidied: str) -> bool:
    """Whether it holds a word (two letters in a row that are no command, or a Chinese character)."""
    return WORDY.search(tidied) is not None


def mathy(tidied: str) -> bool:
    """Whether it holds a digit, a command or an operator."""
    return MATHY.search(tidied) is not None


def tokens(text: str) -> list[str]:
    """Words, numbers with their sign, single CJK characters and operators, case folded, articles and punctuation dropped."""
    return [token for token in TOKENS.findall(text.casefold()) if token not in ARTICLES]
