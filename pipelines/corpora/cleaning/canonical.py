r"""The canonical form of a question: two questions with one form are duplicates. It keeps whatever can change
the meaning and drops what cannot.

Kept: numbers, signs, operators, brackets, symbols, letters of any script, letter case except of the first
word of a sentence, the indentation of laid-out text (programs), whitespace inside quotes and code. Dropped:
kind and number of spaces elsewhere, quote styles, dashes, thousands separators, the end of the last sentence,
bold type of Markdown, HTML entities (`&lt;`) where the text is not about HTML, ½ for 1/2 where it can only
mean that, and what LaTeX has several ways to write (`\dfrac`, `\left(`, `$…$`, `\leq` for ≤, x^2 for x²).
"""

from __future__ import annotations

import html
import re
import unicodedata

from pipelines.corpora.cleaning.text import NOT_ASCII, UNSEEN, safe_decomposition

ALIKE = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u300c\u300d\u300e\u300f\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032", "'"),
        "\uff0c": ", ",  # between numbers it makes a list, never one number of thousands
        "\u3002": ".",
        "\u22c5": "·",
        "\u2022": "·",
        "\u2044": "/",
        "\u2215": "/",
        "\u2223": "|",
        "\u2236": ":",
        "\u2264": "≤",
        "\u2a7d": "≤",
        "\u2a7e": "≥",
        "\u00ba": "°",
    }
)
SUPERSCRIPTS = {
    **dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ", "0123456789+-=()ni", strict=True)),
    **dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎", "0123456789+-=()", strict=True)),
}
RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ]+")
LOWERED = re.compile("[₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎]+")
WIDE_THOUSANDS = re.compile("(?<=\\d)[\u00a0\u2009\u202f](?=\\d{3}(?!\\d))")
# a comma of thousands, unless the number directly follows a bracket or a comma, or before one more number:
# then it may be a list
NUMBER = re.compile(r"(?<![\d.,\[({_\w])[1-9]\d{0,2}(?:(?:,|\{,\})\d{3})+(?!\d|,\d)")
ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
ABOUT_MARKUP = re.compile(
    r"`|\b(?:html|xml|xss|svg|markup|entit(?:y|ies)|escap\w*|encod\w*)\b", re.IGNORECASE
)
BOLD = re.compile(r"(?<![\w*)\]])\*\*(?=[^\s*])([^*`\n]*[^\W\d_]{2}[^*`\n]*)(?<=[^\s*])\*\*(?![\w*(\[])")
VULGAR = re.compile("[\u00bc-\u00be\u2150-\u215e\u2189]")
TAKES_A_FRACTION = re.compile(r"\s*(?:[\^/*÷×·(√π]|[^\W\d]\b)")  # ½x is no 1/2x, which may be 1/(2x)
# Pandoc's rule: $5 and $6 is money
MATHS = re.compile(r"(?<![\\$])\$(?=[^\s$])((?:[^$\n]|\n(?!\s*\n)){1,400}?)(?<=[^\s\\$])\$(?![\d$])")
COMMAND = re.compile(r"\\([A-Za-z]+)(?:[ \t]+(?=[A-Za-z]))?")
UNWRAPPED = re.compile(
    r"\\(?:text|mathrm|textrm|textnormal|textbf|textit|emph|mbox|operatorname)\s*\{([^{}]*)\}"
)
BARE_FRACTION = re.compile(r"\\frac\s*(?:(\w)|(\{[^{}]*\}))\s*(?:(\w)|(\{))")
DEGREES = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))|\\degree(?![A-Za-z])")
ONE_IN_BRACES = re.compile(r"([\^_√])\{\s*([^{}\s])\s*\}")
EMPTY_BRACES = re.compile(r"[\^_]\{\s*\}")
LATEX_SPACE = re.compile(r"\\[,;:! ]|\\q?quad(?![A-Za-z])")
SAME = {
    **dict.fromkeys(("dfrac", "tfrac", "cfrac"), "\\frac"),
    **dict.fromkeys(("left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr",
                     "displaystyle", "limits"), ""),
    "times": "×", "cdot": "·", "div": "÷", "pm": "±", "mp": "∓", "le": "≤", "leq": "≤", "leqslant": "≤",
    "ge": "≥", "geq": "≥",
    "geqslant": "≥", "ne": "≠", "neq": "≠", "lt": "<", "gt": ">", "approx": "≈", "equiv": "≡", "infty": "∞",
    "to": "→", "rightarrow": "→",
    "leftarrow": "←", "Rightarrow": "⇒", "in": "∈", "notin": "∉", "subset": "⊂", "subseteq": "⊆",
    "supset": "⊃", "cup": "∪", "cap": "∩",
    "wedge": "∧", "land": "∧", "vee": "∨", "lor": "∨", "neg": "¬", "lnot": "¬", "forall": "∀", "exists": "∃",
    "angle": "∠", "perp": "⊥",
    "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "langle": "⟨", "rangle": "⟩", "vert": "|",
    "lvert": "|", "rvert": "|",
    "mid": "|", "ldots": "...", "cdots": "...", "dots": "...", "sum": "∑", "prod": "∏", "int": "∫",
    "sqrt": "√", "alpha": "α",
    "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "theta": "θ", "lambda": "λ", "mu": "μ",
    "pi": "π",
    "rho": "ρ", "sigma": "σ",
    "tau": "τ", "phi": "φ", "varphi": "φ", "varepsilon": "ε", "omega": "ω", "Delta": "Δ", "Omega": "Ω",
    "Sigma": "Σ", "lbrace": "{",
    "rbrace": "}",
}  # fmt: skip
FENCE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`|\"[^\"\n]{1,200}\"|(?<!\w)'[^'\n]{1,200}'(?!\w)", re.DOTALL)
HAS_LAYOUT = re.compile(
    r"\n(?: {2,}|[ ]*\t\s*)\S|(?:\{|\b(?:if|for|while|def|class|else|elif|with|try|except)\b[^\n]*:)[ \t]*\n "
    r"\S"
)
# whitespace that must stay, replaced by private-use characters in the meantime
PROTECTED = dict(zip(map(ord, " \t\n"), "\ue000\ue001\ue002", strict=True))
UNPROTECTED = {ord(stand_in): chr(blank) for blank, stand_in in PROTECTED.items()}
UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
)  # scripts without blanks
START = re.compile(r"(?:\A[\s\"'(]*|(?<=[.?!])\s+)([A-Z][a-z]*)(?=[\s,'.?!:;]|\Z)")
SHORT = frozenset(
    [
        "An",
        "As",
        "At",
        "Be",
        "By",
        "Do",
        "Go",
        "He",
        "If",
        "In",
        "Is",
        "It",
        "My",
        "No",
        "Of",
        "On",
        "Or",
        "So",
        "To",
        "Up",
        "Us",
        "We",
    ]
)
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
BETWEEN_DIGITS = re.compile(r"(?<=\d)(?:(\.)|[^\w+\-*/^%=<>]+)(?=\d)")
REST = re.compile(r"[^\w+\-*/^%=<>. ]|_|(?<!\d)[. ]|[. ](?!\d)")
TAIL = 12
END = re.compile(r"(?:\s|[?？]|(?<!\.)\.(?!\.)|(?<=[^\W\d]{2})[!！]|(?<=[?\"'])[!！])+\Z")


def canonical_form(text: str) -> str:
    """Returns the canonical form of `text`. Texts with equal forms ask the same. It is idempotent in what it
    distinguishes, and not empty for a text with a visible character.
    """
    form = _without_latex_styles(_written_alike(text))
    form = _folded_starts(form)
    form = NUMBER.sub(lambda match: match.group().replace("{,}", "").replace(",", ""), form)
    form = form[:-TAIL] + END.sub("", form[-TAIL:]) or form
    return _normalised_spaces(form)


def loose_form(text: str) -> str:
    """Returns a looser form than the canonical one: NFKC, case folded, only letters, digits and some
    operators; numbers stay separate and complete.

    Texts with equal canonical forms have equal loose forms, but so have other texts that ask for something
    else. It therefore never removes a row: it is used to shuffle, and to keep near-twins on one side of a
    split.
    """
    return loosen(canonical_form(text))


def loosen(form: str) -> str:
    """Returns the loose form of a text whose canonical form is `form`."""
    folded = THOUSANDS.sub("", unicodedata.normalize("NFKC", form).casefold())
    return REST.sub("", BETWEEN_DIGITS.sub(lambda match: match.group(1) or " ", folded))


def _written_alike(text: str) -> str:
    text = _without_entities(text.replace("\r\n", "\n").replace("\r", "\n"))
    if not text.isascii():
        text = VULGAR.sub(_fraction, text)
        text = WIDE_THOUSANDS.sub("", text).translate(ALIKE)
        text = RAISED.sub(lambda match: _script("^", match.group()), text)
        text = LOWERED.sub(lambda match: _script("_", match.group()), text)
        text = unicodedata.normalize(
            "NFC", NOT_ASCII.sub(lambda match: safe_decomposition(match.group()), text.translate(UNSEEN))
        )
    return text.replace("``", '"').replace("''", '"') if "```" not in text else text


def _without_entities(text: str) -> str:
    """Returns the text with `&lt;` as the `<` that a reader sees. A text about markup, or with code in it,
    means the entity itself and is returned unchanged.
    """
    if "&" not in text or ";" not in text or ABOUT_MARKUP.search(text):
        return text
    while (unescaped := ENTITY.sub(lambda match: html.unescape(match.group()), text)) != text:
        text = unescaped
    return text


def _fraction(match: re.Match[str]) -> str:
    """Returns 1/2 for ½, and 2 1/2 for 2½, where nothing around it could take the numerator or the
    denominator for itself; else the match unchanged.
    """
    text, (start, end) = match.string, match.span()
    context = text[max(0, start - 3) : start]
    adjacent, preceding = context[-1:], context.rstrip()[-1:]
    ambiguous = adjacent.isalpha() or not (
        preceding.isalnum() or preceding in "(+-=,:;.?$"
    )  # "" is in every string
    if ambiguous or text[end : end + 1].isalnum() or TAKES_A_FRACTION.match(text, end):
        return match.group()
    plain = unicodedata.normalize("NFKC", match.group()).replace("\u2044", "/")
    return f" {plain}" if adjacent.isdigit() else plain


def _script(mark: str, run: str) -> str:
    plain = "".join(SUPERSCRIPTS[character] for character in run)
    return mark + (plain if len(plain) == 1 else f"{{{plain}}}")


def _without_latex_styles(text: str) -> str:
    if "$" in text:
        text = MATHS.sub(r"\1", text.replace("$$", " "))
    if "**" in text:
        text = BOLD.sub(r"\1", text)
    if "\\" in text:
        text = re.sub(r"(?<!\\)\\[()\[\]]", " ", text)  # its delimiters
        text = LATEX_SPACE.sub(" ", UNWRAPPED.sub(r"\1", DEGREES.sub("°", text)))
        text = COMMAND.sub(lambda match: SAME.get(match[1], match.group()), text)
        text = BARE_FRACTION.sub(_braced_fraction, re.sub(r"\\([%$#&{}_])", r"\1", text))
    if "{" in text:
        text = ONE_IN_BRACES.sub(r"\1\2", EMPTY_BRACES.sub("", text))
    return text.replace("<=", "≤").replace(">=", "≥").replace("!=", "≠")


def _braced_fraction(match: re.Match[str]) -> str:
    """Returns `\\frac12` and `\\frac n{9}` with braces."""
    return f"\\frac{match[2] or f'{{{match[1]}}}'}{match[4] or f'{{{match[3]}}}'}"


def _folded_starts(text: str) -> str:
    """Returns the text with the first word of each sentence in lower case, if it is an ordinary word. The
    case of a text in capitals alone carries no information: all of it is folded.
    """
    if text.isupper() and text.count(" ") >= 4:
        return text.casefold()

    def fold(match: re.Match[str]) -> str:
        word = match[1]
        ordinary = (
            len(word) > 2 or word in SHORT or (word == "A" and re.match(r" [a-z]{2}", text[match.end() :]))
        )
        return match.group()[: -len(word)] + word.lower() if ordinary else match.group()

    return START.sub(fold, text)


def _normalised_spaces(text: str) -> str:
    if HAS_LAYOUT.search(text):  # a program, a table, a poem: lines and what they begin with are part of it
        return "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))
    protected = (
        FENCE.sub(lambda match: match.group().translate(PROTECTED), text)
        if any(mark in text for mark in "\"'`")
        else text
    )
    first, *others = protected.split() or [""]
    parts = [first]
    for part in others:
        if _needs_space(parts[-1][-1], part):
            parts.append(" ")
        parts.append(part)
    return "".join(parts).translate(UNPROTECTED)


def _needs_space(left: str, right: str) -> bool:
    """Returns whether a space between two parts is kept: between two letters and between two digits; before a
    sign, where it may separate two entries (`[1 -2]`); and before a number that follows a full stop or a
    bracket. It is dropped in scripts that are written without spaces.
    """
    start = right[0]
    if start.isalnum() or start == "_" or not (start.isascii() or unicodedata.category(start)[0] != "M"):
        if start.isdigit():
            return left.isdigit() or left in ".)]}"
        letter = (
            left.isalpha() or left == "_" or (not left.isascii() and unicodedata.category(left)[0] == "M")
        )
        return letter and not (UNSPACED.match(left) or UNSPACED.match(start))
    if start == "-" and left == "<":
        return True  # `a <- 5` is no `a < -5`
    return start in "+-" and len(right) > 1 and (left.isalnum() or left in ".)]}")
