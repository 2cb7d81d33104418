"""Normalizes the text of an answer: Unicode mathematics becomes LaTeX or ASCII; delimiters and layout
commands are removed.

Nothing here interprets an answer. Two answers with the same normalized text are equal, and the parsers of
numbers, units and structure (`numerals`, `units`, `structure`) take normalized text only.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from functools import lru_cache

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
    "−": "-", "–": "-", "﹣": "-", "×": r"\times ", "⋅": r"\cdot ", "·": r"\cdot ", "∙": r"\cdot ", "÷": "/",
    "∕": "/", "⁄": "/",
    "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ", "≠": r"\ne ",
    "∪": r"\cup ", "∩": r"\cap ",
    "∅": r"\emptyset ", "Ø": r"\emptyset ", "±": r"\pm ", "∈": r"\in ", "°": r"^\circ ", "º": r"^\circ ",
    "µ": r"\mu ", "μ": r"\mu ",
    "Ω": r"\Omega ", "…": r"\ldots ", "“": '"', "”": '"', "‘": "'", "’": "'", "。": ".", "、": ",", "″": "''",
    "′": "'",
    "≈": r"\approx ", "→": r"\to ", "⇒": r"\Rightarrow ", "¢": " cents", "`": "",
    "㎡": " m^{2}", "㎥": " m^{3}",
    "〈": r"\langle ", "〉": r"\rangle ", "⟨": r"\langle ", "⟩": r"\rangle ",
}  # fmt: skip
ROOT = re.compile(r"√\s*(\d+(?:\.\d+)?|[A-Za-z]|\([^()]*\))")
COMMANDS = {
    r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\leqslant": r"\le ", r"\geqslant": r"\ge ", r"\leq": r"\le ",
    r"\geq": r"\ge ",
    r"\neq": r"\ne ", r"\varnothing": r"\emptyset ", r"\lbrace": r"\{", r"\rbrace": r"\}",
    r"\degree": r"^\circ ", r"\dots": r"\ldots ",
    r"\cdots": r"\ldots ", r"\sim": "~", r"\quad": " , ", r"\qquad": " , ",
    r"\langle": "(", r"\rangle": ")", r"\cfrac": r"\frac", 
    r"\iff": r"\Leftrightarrow ", r"\vee": r"\lor ",
}  # fmt: skip
COMMAND = re.compile(
    "|".join(re.escape(name) + "(?![A-Za-z])" for name in sorted(COMMANDS, key=len, reverse=True))
)
NO_LAYOUT = re.compile(
    r"\\(?:left|right|middle|[bB]igg?[lrm]?|displaystyle|textstyle|scriptstyle|limits|tiny|scriptsize|"
    r"hfill?|blacksquare|qed|notag|(?:math)?strut|checkmark|therefore|footnotesize|small|normalsize|large"
    r"|Large|LARGE"
    r"|huge|Huge|bf|it|rm|sf|tt|boldmath|centering|noindent|nonumber)(?![A-Za-z])|\\[!>]|\\(?:tag|label|"
    r"phantom|style|class|hspace|vspace|hphantom|vphantom)\*?\s*\{[^{}]*\}"
)
COLOUR = re.compile(
    r"\\color\s*(?:\[[^\]]*\])?\s*\{[^{}]*\}|\\(?:textcolor|colorbox)\s*(?:\[[^\]]*\])?\s*\{[^{}]*\}\s*(?=\{)"
)
ARRAY = re.compile(
    r"\\left\s*[(\[]\s*\\begin\{array\}\s*\{[^{}]*\}(.*?)\\end\{array\}\s*\\right\s*[)\]]", re.S
)
ROW = re.compile(r"\\\\\[\s*-?[\d.]+\s*(?:ex|em|pt|mm|cm|in)\s*\]")  # the distance between rows of a matrix
INNER = re.compile(r"(?<!\\)\\[()\[\]]")
# the `=` of a sum's index is no equation's
INDEX = re.compile(r"(\\(?:sum|prod)\s*(?:\\limits\s*)?_\s*\{[^{}=]*)=([^{}=]*\})")
SYSTEM = re.compile(
    r"\\left\s*(?:\\\{|\\lbrace)\s*\\begin\{(array|aligned"
    r"|matrix)\}(?:\s*\{[lcr]*\})?(.*?)\\end\{\1\}\s*\\right\s*\.",
    re.S,
)
MARKS = re.compile("[✅✔✓☑🎉🎯🏆💡👍\ufe0f]+")
OVERLINED = re.compile("(?:\\d[\u0304\u0305])+")
THIN = re.compile(r"(?<=\d)(?:\\[,!]|,\\!)(?=\d{3}(?!\d))")  # a thousands mark as TeX sets it
COMMA = re.compile(r"(?<![\d.])(\d[\d.]*)((?:\{,\}(?:\\!)?\d+)+)")
SPACES = re.compile(r"(?<!\\)\\[,;: ]|(?<!\\)~|\s+")
WRAPPED = re.compile(
    r"\\(?:math(?:rm|bf|it|sf|tt|normal|ord)|text(?:bf|it|rm|sf|tt|sc|sl|up|normal|md)?|operatorname\*?|"
    r"[mhf]box|rm|unit|boldsymbol|bm|pmb|bold|emph|underline|ensuremath"
    r"|boxed|bbox|underbrace|overbrace|smash)\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"
)
WORDS_ASIDE = re.compile(r"\\text\s*\{\s*(and|or)\s*\}")
CIRCLE = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))|\{\s*\}\s*\^\s*\{?\\circ\}?")
MATHS = re.compile(r"\$\$?([^$]+)\$\$?")
OUTER = re.compile(r"^\s*(?:\\\((.*)\\\)|\\\[(.*)\\\])\s*$", re.S)
CURRENCY = re.compile(r"(?<![\w}])(?:US|A|HK)?\s*\\?\$(?=\s*-?[\d.])|[€£¥￥]")
MONEY = {"$": "dollars", "€": "euros", "£": "pounds", "¥": "yuan", "￥": "yuan"}
AMOUNT = re.compile(
    r"(?<![\w}])(?:US)?\s*(-?)\s*(?:\\?(\$)|([€£¥￥]))\s*(-?(?:\d{1,3}(?:,\d{3})+|"
    r"\d+)?(?:\.\d+)?)(?<=\d)(\s*(?:thousand|million|billion|trillion)\b)?"
    r"(?=\s*$|[.,;)](?:\s|$)|\s+[A-Za-z(]|\s*/)(?:\s+(?:dollars?|euros?|pounds?|yuan|USD)\b)?"
)
REPEATED = re.compile(
    r"(?<![\d.])(-?\d*)\.(\d*?)(?:\\(?:overline|bar|dot)\s*(?:\{\s*(\d+)\s*\}|"
    r"(\d))(?:(\d*)\\dot\s*(?:\{\s*(\d)\s*\}|(\d)))?|\((\d+)\))(?![\d(])"
)
AGAIN = re.compile(r"(?<![\d.])(-?\d*)\.(\d{0,20}?)(\d{1,6}?)\3{2,}(?:\\ldots|\.{3})(?!\d)")
DOTS = re.compile(r"\.{3,}|(?<=[\s,])(?:etc\b\.?|and so (?:on|forth)\b)")
PLAIN = re.compile(r"-?\d+(?:\.\d+)?")
GAP = re.compile(r"(?<=\d) (?=\d)")
GROUPS = re.compile(r"(?<![\d.,])\d{1,3}(?: \d{3})+(?![\d,]| \d)")  # 1 234 567
WORDS_OF_MATHS = {
    r"\b(?:positive )?infinity\b": r"\\infty",
    r"^(?:the )?(?:empty|null) set$|^no (?:real )?(?:solutions?|answer)$"
    r"|^\\\{\s*\\\}$|^空集$|^无解$": r"\\emptyset",
    r"\bpi\b": r"\\pi ",
    r"\bdegrees?\b": r"^\\circ ",
    r"\bper ?cent\b": "%",
    r"^approximately ": r"\\approx ",
    r"^(-?\d+) squared$": r"\1^2",
    r"^(-?\d+) cubed$": r"\1^3",
    r"^(-?\d+) (?:over|out of|divided by) (\d+)$": r"\1/\2",
    r"^(?=[A-F]*\d)([\dA-F]+),? \(?(?:in )?base[- ](\d+|two|three|eight|sixteen)\)?$": r"\1_{\2}",
    r"^(\S*\d(?:[个個つ人円元%])?)\s*(?:です|である|だ|입니다|이다|개입니다)[.]?$": r"\1",
    r"^\]([^\[\]]+[,;][^\[\]]+)\[$": r"(\1)",
    r"^\[([^\[\]]+[,;][^\[\]]+)\[$": r"[\1)",
    r"^\]([^\[\]]+[,;][^\[\]]+)\]$": r"(\1]",
    r"^(?:USD|US dollars?) (?=[\d.])(.*)$": r"\1 dollars",
    r"^(?:Rs\.?|INR) (?=[\d.])(.*)$": r"\1 rupees",
    r"^none$": r"\\emptyset",
    r"^DNE$": "does not exist",
    r"^(?:all|the set of(?: all)?) real numbers$|^\\?all reals$": r"\\mathbb{R}",
    r"\b(?:minus|negative) (?=\d)": "-",
}
NAMED = [(re.compile(pattern, re.I), put) for pattern, put in WORDS_OF_MATHS.items()]
# what one of them needs: most answers hold none of it, and one search costs less than all the patterns
NAMEABLE = re.compile(
    r"infinity|set|no |空集|无解|\\[{}]|pi|degree|cent|approximately|squared|cubed|over|out of|divided|base|"
    r"です|である|だ|입니다|이다|[\[\]]|USD|US dollar|Rs|INR|none|DNE|real|minus|negative",
    re.I,
)
TOKENS = re.compile(r"-?\d+(?:\.\d+)?%?|[㐀-鿿豈-﫿]|[^\W\d_㐀-鿿豈-﫿]+(?:'[a-z]+)?|[^\w\s.,;:!?'\"()`_]")
LEADING = re.compile(
    r"^(?:(?:=|,|\\(?:approx|simeq|doteq|Rightarrow|implies)(?![A-Za-z]))\s*)+"
)  # `= 5`, `\approx 5`: what the answer is equal to stands before the box
# a full stop, or the backslash of a line's end; dots of an ellipsis are no such thing
EDGE = re.compile(r"(?:[.,;: ]|(?<![A-Za-z])\\+)+$")
ARTICLES = frozenset(("the", "a", "an"))
WORDY = re.compile(r"(?<![\\A-Za-z])[^\W\d_]{2,}|[㐀-鿿]")
MATHY = re.compile(r"[\d\\^=<>{}+*/|]")


@lru_cache(maxsize=8192)
def normalize(text: str) -> str:
    """Returns `text` in one spelling of signs, TeX thousands marks, fractions, superscripts, degrees and
    delimiters.
    """
    if PLAIN.fullmatch(text):
        return text
    text = _ascii_mathematics(text) if not text.isascii() else text.replace("`", "")
    outer = OUTER.match(text)
    text = next((part for part in outer.groups() if part is not None), "") if outer else text
    if "\\" in text:
        if "_" in text and ("\\sum" in text or "\\prod" in text):
            text = INDEX.sub(r"\1≔\2", text)
        if "\\right" in text and "\\begin" in text:
            text = SYSTEM.sub(lambda match: f"\\begin{{cases}}{match[2]}\\end{{cases}}", text)
        text = text.replace("{,}\\", ".\\")  # 0{,}\overline{3}
        text = ARRAY.sub(r"\\begin{pmatrix}\1\\end{pmatrix}", text) if "array" in text else text
        text = INNER.sub(" ", COLOUR.sub("", ROW.sub(r"\\\\ ", text)))
    if "{" in text:
        text = COMMA.sub(_decimal_comma, text.replace("{:}", ":").replace("{=}", "="))
    if "$" in text:
        single = text.count("$") % 2 or text.count("$") == text.count("\\$")
        text = AMOUNT.sub(_amount, text) if single else text
        text = MATHS.sub(r" \1 ", CURRENCY.sub(" ", text) if single else text)
    if "$" in text or not text.isascii():
        text = CURRENCY.sub(" ", AMOUNT.sub(_amount, text)).replace("\\$", " ").replace("$", " ")
    if "." in text and ("\\" in text or "(" in text):
        text = REPEATED.sub(_repeating_decimal, text)
    if "..." in text or "\\ldots" in text or "etc" in text or "so on" in text or "so forth" in text:
        text = DOTS.sub(r"\\ldots ", AGAIN.sub(_repeated_digits, text))
    if "\\" in text:
        text = THIN.sub(
            "",
            NO_LAYOUT.sub("", COMMAND.sub(lambda match: COMMANDS[match.group()], text.replace("\\%", "%"))),
        )
        for _ in range(3):  # \mathrm{\text{cm}}
            text = WRAPPED.sub(r" \1 ", text)
        text = CIRCLE.sub(r"^\\circ ", text)
    text = SPACES.sub(" ", text)
    text = GROUPS.sub(lambda match: match[0].replace(" ", ""), text)
    if NAMEABLE.search(text):
        for pattern, put in NAMED:
            text = pattern.sub(put, text.strip())
    text = SPACES.sub(" ", text).strip()
    text = EDGE.sub("", LEADING.sub("", text)).strip('"*_ ')
    # `{5}` groups; `{1,2}` is a set
    while text[:1] == "{" and text[-1:] == "}" and "," not in text and _is_group(text):
        text = text[1:-1].strip()
    return text


def _is_group(text: str) -> bool:
    """Returns whether the first brace is closed by the last character."""
    depth = 0
    for place, character in enumerate(text):
        if character in "{}" and text[place - 1 : place] != "\\":
            depth += 1 if character == "{" else -1
            if depth == 0:
                return place == len(text) - 1
    return False


def _ascii_mathematics(text: str) -> str:
    """Replaces Unicode mathematics by LaTeX or ASCII."""
    text = OVERLINED.sub(
        lambda run: r"\overline{" + re.sub(r"\D", "", run.group()) + "}", MARKS.sub(" ", text)
    )
    text = SUPERSCRIPT_RUN.sub(lambda run: "^{" + run.group().translate(SUPERSCRIPTS) + "}", text)
    for sign, value in FRACTIONS.items():
        text = text.replace(sign, f" {value}" if sign in text else sign)
    text = ROOT.sub(lambda match: r"\sqrt{" + match.group(1).strip("()") + "}", text.replace("√ ", "√"))
    text = "".join(SYMBOLS.get(character, character) for character in text)
    text = unicodedata.normalize("NFKC", text)
    # what the full-width forms and units decompose to
    return "".join(SYMBOLS.get(character, character) for character in text)


def _decimal_comma(match: re.Match[str]) -> str:
    """`1{,}234` is a thousand and more, `3{,}14` and `0{,}125` are decimals."""
    head, groups = match[1], re.findall(r"\d+", match[2])
    if re.fullmatch(r"[1-9]\d{0,2}", head) and all(len(group) == 3 for group in groups):
        return head + "".join(groups)
    return f"{head.replace('.', '')}.{groups[0]}" if len(groups) == 1 else match[0]


def _amount(match: re.Match[str]) -> str:
    return f" {match[1]}{match[4]}{match[5] or ''} {MONEY[match[2] or match[3]]}"


def _repeating_decimal(match: re.Match[str]) -> str:
    """`0.1\\overline{6}`, `0.1\\dot{6}` and `0.1(6)` as a fraction."""
    cycle = (match[3] or match[4] or match[8] or "") + (match[5] or "") + (match[6] or match[7] or "")
    return _fraction(match[1], match[2], cycle)


def _repeated_digits(match: re.Match[str]) -> str:
    """`0.333...` as a fraction: digits written three times before an ellipsis repeat for ever."""
    return _fraction(match[1], match[2], match[3])


def _fraction(integer: str, before: str, cycle: str) -> str:
    if len(before) + len(cycle) > 40 or not cycle:
        return f"{integer}.{before}{cycle}"
    below = 10 ** len(before) * (10 ** len(cycle) - 1)
    value = Fraction(int(before + cycle) - int(before or 0), below) + int(integer.lstrip("-") or 0)
    return f"{'-' if integer.startswith('-') else ''}{value.numerator}/{value.denominator}"


def without_spaces(text: str) -> str:
    """Removes spaces, so that `2 \\sqrt{3}` equals `2\\sqrt{3}`; those between two digits stay, as a NUL."""
    return GAP.sub("\x00", text).replace(" ", "") if " " in text else text  # `4 2` is not 42


def has_words(text: str) -> bool:
    """Returns whether the text has a word: two consecutive letters outside of a command, or a Chinese
    character.
    """
    return WORDY.search(text) is not None


def has_mathematics(text: str) -> bool:
    """Returns whether the text has a digit, a command or an operator."""
    return MATHY.search(text) is not None


def word_tokens(text: str) -> list[str]:
    """Returns words, numbers with their sign, single CJK characters and operators in order: case folded,
    without articles and punctuation.
    """
    return [token for token in TOKENS.findall(text.casefold()) if token not in ARTICLES]
